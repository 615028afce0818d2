"""What an application may ask of a session itself: its number, and what it begins with."""

from __future__ import annotations

from replclus.dbapi.link import Link
from replclus.dbapi.session import Session


def identity(session: Session) -> Link:
    """The link whose number is the connection's: the one to the primary, if there is a primary."""
    backends = session.backends
    if backends.writer is not None and backends.writer._sock is not None:
        return backends.writer
    if backends.watcher.map.primary is None and session.last in backends.held():
        assert session.last is not None
        return session.last
    return session.primary.do(lambda link: None, repeatable=True)


def learn_defaults(session: Session) -> str:
    """The sql_mode that the session begins with, by which its statements are to be read; its isolation level is noted."""
    pool = session.backends.pool
    if pool.defaults is None:
        link = session.on_any(lambda link: None)
        (answer,) = link.queries(link.speech.defaults)
        mode, level = answer.rows[0]
        pool.defaults = str(mode), str(level).replace("-", " ").upper()
    mode, level = pool.defaults
    session.begin_with(level)
    return mode
