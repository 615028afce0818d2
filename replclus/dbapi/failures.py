"""What an error says about the statement it answers. Pure."""

from __future__ import annotations

from enum import Enum

from pymysql import err

# A read-only server refused to write, or (1792) a read-only transaction did.
READ_ONLY_SERVER = frozenset({1290, 1836})
REFUSED = READ_ONLY_SERVER | {1792}
# Nothing was read: the table is being redefined, and to wait for that might be a deadlock (ER_WARN_I_S_SKIPPED_TABLE). On
# a replica that is the applier's doing, which the application knows nothing of.
REDEFINED = frozenset({1684})
# The server ends the session: it shuts down (1053), somebody killed the connection (1927 on MariaDB), it goes offline (3032).
ENDING = frozenset({1053, 1927, 3032})
# The server had closed the session before the statement came: too long idle (4031).
CLOSED_BEFORE = frozenset({4031})
# At connecting: this account will not get in, now or in a second.
NOT_LET_IN = frozenset({1044, 1045, 1049, 1130, 1698, 1820, 3118, 4151})
# At connecting: the server has as many connections as it takes (1040), or as this account may have (1203, 1226).
NO_ROOM = frozenset({1040, 1203, 1226})

_OPTION_PREVENTS = 1290
_NOT_SENT = frozenset({0, 2006})


class Fate(Enum):
    """What became of a statement that raised."""

    ANSWERED = "answered"  # the server's verdict about the statement itself: the application's business
    REFUSED = "refused"  # not executed: this server does not take writes
    NOT_RUN = "not run"  # not executed: it never left, or the server had hung up before
    UNKNOWN = "unknown"  # sent, and no answer came
    TIMED_OUT = "timed out"  # like UNKNOWN, after the time that the application itself had set


def fate_of(error: BaseException, *, broken: bool) -> Fate:
    """`broken`: the connection is closed now. `error` must have been raised while sending one statement, or reading its answer.

    A statement is executed only once its last byte has arrived. PyMySQL raises 2006 when the system did not take all of
    it, and 2013 when the answer did not come.
    """
    number = error.args[0] if error.args and isinstance(error.args[0], int) else -1
    if not broken:
        # 1290 is also what --secure-file-priv and the like answer; they name their option.
        if number in REFUSED and (number != _OPTION_PREVENTS or "read" in str(error.args[1:]).lower()):
            return Fate.REFUSED
        if number in CLOSED_BEFORE:
            return Fate.NOT_RUN
        return Fate.UNKNOWN if number in ENDING else Fate.ANSWERED
    if number in _NOT_SENT or number in CLOSED_BEFORE:
        return Fate.NOT_RUN
    if isinstance(error.__context__, TimeoutError):
        return Fate.TIMED_OUT
    return Fate.UNKNOWN


def is_sickness(error: BaseException) -> bool:
    """Does this error, met on the way to a node, speak of the node? Otherwise it is about the account, or what it asked for."""
    if not isinstance(error, err.MySQLError):
        return True
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    return number == 0 or 2000 <= number < 3000 or number in NO_ROOM | ENDING | REFUSED


def sentence(error: BaseException) -> str:
    """The error in a few words, for a message of ours."""
    if isinstance(error, err.MySQLError) and len(error.args) > 1:
        return f"{error.args[1]} ({error.args[0]})"
    return str(error) or type(error).__name__
