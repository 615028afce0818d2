"""What an error proves."""

from __future__ import annotations

import pytest
from pymysql import err

from replclus.dbapi.failures import Fate, fate_of, sentence

READ_ONLY = "The MariaDB server is running with the --read-only option so it cannot execute this statement"
SUPER = "The MySQL server is running with the --super-read-only option so it cannot execute this statement"
FILES = "The MySQL server is running with the --secure-file-priv option so it cannot execute this statement"


def timed_out() -> err.OperationalError:
    try:
        try:
            raise TimeoutError("timed out")
        except TimeoutError:
            raise err.OperationalError(2013, "Lost connection (timed out)")  # noqa: B904  # as PyMySQL does
    except err.OperationalError as error:
        return error


@pytest.mark.parametrize(
    ("error", "broken", "fate"),
    [
        (err.ProgrammingError(1064, "syntax"), False, Fate.ANSWERED),
        (err.OperationalError(1213, "deadlock"), False, Fate.ANSWERED),
        (err.OperationalError(1290, READ_ONLY), False, Fate.REFUSED),
        (err.OperationalError(1290, SUPER), False, Fate.REFUSED),
        (err.OperationalError(1290, FILES), False, Fate.ANSWERED),
        (err.OperationalError(1836, "Running in read-only mode"), False, Fate.REFUSED),
        (err.OperationalError(1792, "Cannot execute statement in a READ ONLY transaction"), False, Fate.REFUSED),
        (err.OperationalError(1053, "Server shutdown in progress"), False, Fate.UNKNOWN),
        (err.OperationalError(1927, "Connection was killed"), False, Fate.UNKNOWN),
        (err.OperationalError(4031, "inactivity"), False, Fate.NOT_RUN),
        (err.InterfaceError(0, ""), True, Fate.NOT_RUN),
        (err.OperationalError(2006, "MySQL server has gone away (BrokenPipeError())"), True, Fate.NOT_RUN),
        (err.OperationalError(2013, "Lost connection to MySQL server during query"), True, Fate.UNKNOWN),
        (err.InternalError("Packet sequence number wrong - got 1 expected 2"), True, Fate.UNKNOWN),
        (timed_out(), True, Fate.TIMED_OUT),
    ],
)
def test_fate(error: err.Error, broken: bool, fate: Fate) -> None:
    assert fate_of(error, broken=broken) is fate


def test_sentence() -> None:
    assert sentence(err.OperationalError(1213, "Deadlock found")) == "Deadlock found (1213)"
    assert sentence(err.InternalError("out of step")) == "out of step"
    assert sentence(OSError()) == "OSError"
