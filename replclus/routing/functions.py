"""What a parenthesis behind a word means: a call that is safe on any server, one that is not, or no call at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from replclus.model.spec import Flavour
from replclus.routing import functions_mariadb, functions_mysql
from replclus.routing.verdict import Classified, FunctionName, StatementKind, Target
from replclus.routing.wordlist import words

BUILT_IN = {Flavour.MARIADB: functions_mariadb.BUILT_IN, Flavour.MYSQL: functions_mysql.BUILT_IN}

# These are functions only with the parenthesis directly behind them, unless sql_mode says IGNORE_SPACE. With a blank between
# they name a stored function. MySQL manual 11.2.5 "Function Name Parsing and Resolution".
NEED_PARENTHESIS = words(
    """
    ADDDATE BIT_AND BIT_OR BIT_XOR CAST COUNT CURDATE CURTIME DATE_ADD DATE_SUB EXTRACT GROUP_CONCAT MAX MID MIN NOW POSITION
    SESSION_USER STD STDDEV STDDEV_POP STDDEV_SAMP SUBDATE SUBSTR SUBSTRING SUM SYSDATE SYSTEM_USER TRIM VARIANCE VAR_POP
    VAR_SAMP JSON_ARRAYAGG JSON_OBJECTAGG ST_COLLECT
    """
)

# Keywords that a parenthesis may follow and that no stored function can be called by: reserved, or a type, or a syntax error
# in that place. Tried against both families.
_NOT_CALLS = words(
    """
    ALL AND AS BETWEEN BY CASE COLLATE CROSS DISTINCT DISTINCTROW DIV ELSE EXCEPT EXISTS FROM GROUP HAVING IN INDEX INNER
    INTERSECT IS JOIN KEY LEFT LIKE LIMIT MOD NATURAL NOT ON OR ORDER OVER PARTITION REGEXP RIGHT RLIKE SELECT SEPARATOR
    STRAIGHT_JOIN THEN UNION USING VALUES WHEN WHERE WINDOW WITH XOR
    HIGH_PRIORITY SQL_BIG_RESULT SQL_BUFFER_RESULT SQL_CALC_FOUND_ROWS SQL_NO_CACHE SQL_SMALL_RESULT
    CHARACTER DATETIME DEC DECIMAL DOUBLE FLOAT INT INTEGER BIGINT MEDIUMINT NCHAR NUMERIC NVARCHAR REAL SMALLINT TEXT TINYINT
    VARBINARY VARCHAR
    """
)
NOT_CALLS = {
    Flavour.MARIADB: _NOT_CALLS,
    Flavour.MYSQL: _NOT_CALLS | {"ARRAY", "LATERAL", "OF", "ROW", "VECTOR"},
}

# A parenthesis behind one of these signs opens an expression, a subquery or a list.
SIGNS_BEFORE = words("( , = < > ! + - * / % & | ^ ~ ? : { ;")


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a read may not go to any replica, or not be sent twice. `functions`: because nobody knows what these do."""

    target: Target
    reason: str
    kind: StatementKind = StatementKind.READ
    resend: bool = False
    pins: bool = False
    functions: tuple[FunctionName, ...] = ()

    def verdict(self) -> Classified:
        return Classified(self.target, self.reason, self.kind, is_select_like=self.resend, pins=self.pins)

    def unless_safe(self, otherwise: Classified) -> Classified:
        """The verdict, which knows what it would be if the functions were known to be safe."""
        return replace(self.verdict(), functions=self.functions, if_safe=otherwise)


def _primary(names: str, reason: str, *, kind: StatementKind = StatementKind.READ, pins: bool = False) -> dict[str, Finding]:
    return {name: Finding(Target.PRIMARY, f"{name}() {reason}", kind, pins=pins) for name in names.split()}


# Built-in functions that must not run on just any replica, by name.
UNSAFE: dict[str, Finding] = {
    **_primary(
        "GET_LOCK SERVICE_GET_READ_LOCKS SERVICE_GET_WRITE_LOCKS VERSION_TOKENS_LOCK_SHARED VERSION_TOKENS_LOCK_EXCLUSIVE",
        "takes a lock that one connection on one server holds",
        kind=StatementKind.LOCK,
        pins=True,
    ),
    **_primary(
        "RELEASE_LOCK RELEASE_ALL_LOCKS SERVICE_RELEASE_LOCKS VERSION_TOKENS_UNLOCK",
        "releases a lock held on the primary",
        kind=StatementKind.UNLOCK,
    ),
    **_primary("IS_FREE_LOCK IS_USED_LOCK", "asks about locks, which are held on the primary"),
    **_primary("LAST_INSERT_ID", "is known to the connection that inserted"),
    **_primary("CONNECTION_ID", "identifies one connection on one server"),
    **_primary("NEXTVAL SETVAL", "changes a sequence", kind=StatementKind.WRITE),
    **_primary("LASTVAL CURRVAL", "is known to the connection that advanced the sequence"),
    **_primary("LOAD_FILE", "reads a file of one host"),
    **_primary(
        """MASTER_POS_WAIT MASTER_GTID_WAIT SOURCE_POS_WAIT WAIT_FOR_EXECUTED_GTID_SET WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS
        WSREP_SYNC_WAIT_UPTO_GTID""",
        "waits for the replication of one server",
    ),
    **_primary(
        "BINLOG_GTID_POS PS_CURRENT_THREAD_ID PS_THREAD_ID WSREP_LAST_SEEN_GTID WSREP_LAST_WRITTEN_GTID",
        "tells the state of one server",
    ),
    **{name: Finding(Target.LAST_USED, f"{name}() is about the previous statement") for name in ("ROW_COUNT", "FOUND_ROWS")},
}
