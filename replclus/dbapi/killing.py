"""KILL, which must reach the server where a connection lives.

Servers number their connections each on its own, and a logical connection has up to two of them. So the number of either stands
for both: whatever the logical connection is doing, on whichever server, is ended.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from replclus.dbapi.errors import StatementRefused
from replclus.dbapi.link import Link
from replclus.routing import Destination

if TYPE_CHECKING:
    from replclus.dbapi.session import Session

_KILL = re.compile(r"\s*+(KILL(?:\s++(?:HARD|SOFT))?+(?:\s++(?:CONNECTION|QUERY))?+)\s++([0-9]++)\s*+;?+\s*+", re.IGNORECASE)


def understood(sql: str | bytes) -> tuple[str, int] | None:
    """`KILL QUERY 7` → ("KILL QUERY", 7). None for what names no number, as MariaDB's KILL USER, or holds more than that."""
    found = _KILL.fullmatch(sql if isinstance(sql, str) else sql.decode("latin-1"))
    return (found[1], int(found[2])) if found is not None else None


def end_connection(session: Session, verb: str, thread_id: int) -> Link:
    """`KILL` a connection of this process, or what it is doing, on every server where it has a link. Any other number is taken
    to be one of the primary's. StatementRefused if connections on different servers have the number. Returns where it was said.
    """
    found = session.backends.watcher.in_use_as(thread_id)
    # The number of a logical connection is that of its link to the primary. Others may have it on their servers by chance.
    found = [link for link in found if link.writes] or found
    nodes = sorted({link.node.name for link in found})
    if len(nodes) > 1:
        raise StatementRefused(
            f"connections on {' and '.join(nodes)} have the number {thread_id}: "
            f"say which with KILL {thread_id} /* replclus: node=… */"
        )
    if not found:
        return session.primary.do(lambda link: link.query(f"{verb} {thread_id:d}"))
    said = found[0]
    for target in {id(mate): mate for link in found for mate in _mates(link)}.values():
        # Whatever is under way there must not be sent again. A connection at rest is replaced, and nobody notices.
        target.killed = target._result is None
        said = session.on_node(Destination("node", "kills a connection", target.node.name), f"{verb} {target.thread_id():d}")
    return said


def _mates(link: Link) -> tuple[Link, ...]:
    """All links of the logical connection that holds this one."""
    held = link.owner() if link.owner is not None else None
    return held() if held is not None else (link,)
