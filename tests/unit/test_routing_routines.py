"""Which stored functions may run on a replica, judged by their rows in the catalogue."""

from __future__ import annotations

import pytest

from replclus.model.spec import Flavour
from replclus.routing import FunctionName, Routine, classify, objection

FAMILIES = list(Flavour)
_SAFE = FunctionName("app", "safe")


def why_not(body: str | None, flavour: Flavour, *, access: str = "READS SQL DATA", mode: str = "", language: str = "SQL") -> str:
    routine = Routine(FunctionName("app", "f"), language, access, body, mode, frozenset({"p", "größe"}))
    return objection(routine, flavour, lambda name: name == _SAFE)


@pytest.mark.parametrize("flavour", FAMILIES)
@pytest.mark.parametrize(
    "body",
    [
        "RETURN p + 1",
        "RETURN (SELECT MAX(id) FROM t WHERE a = p)",
        "RETURN(p)",
        "BEGIN DECLARE x INT DEFAULT 0; SELECT COUNT(*) INTO x FROM t; RETURN x; END",
        "BEGIN DECLARE x, y VARCHAR(10) CHARACTER SET utf8mb4; "
        "SELECT a, b INTO x, y FROM t LIMIT 1; SET x = 1, y := LEFT(x, 2); RETURN x; END",
        "BEGIN SET p = p * 2; IF (p > 1) THEN RETURN 1; ELSEIF(p < 0) THEN RETURN 2; ELSE RETURN (3); END IF; END",
        "BEGIN WHILE (p < 5) DO SET p = p + 1; END WHILE; REPEAT SET p = p + 1; UNTIL (p > 9) END REPEAT; RETURN p; END",
        "BEGIN DECLARE x INT; DECLARE c CURSOR FOR (SELECT id FROM t); "
        "DECLARE CONTINUE HANDLER FOR NOT FOUND SET x = 1; OPEN c; FETCH c INTO x; CLOSE c; RETURN x; END",
        "BEGIN l: LOOP LEAVE l; END LOOP; RETURN CASE p WHEN 1 THEN (2) ELSE 3 END; END",
        "RETURN safe(p) + `APP`.Safe(2)",
        "RETURN CONCAT('INSERT INTO t', \"; UPDATE\", `update`) -- DELETE FROM t",
        "BEGIN SET größe = 5; RETURN größe; END",
        "RETURN NOW() + INTERVAL RAND() DAY",
    ],
)
def test_reads(body: str, flavour: Flavour) -> None:
    assert why_not(body, flavour) == ""


@pytest.mark.parametrize("flavour", FAMILIES)
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("BEGIN INSERT INTO t VALUES (1); RETURN 1; END", "writes"),
        ("BEGIN UPDATE t SET p = 1; RETURN 1; END", "locking read"),
        ("BEGIN DELETE FROM t; RETURN 1; END", "writes"),
        ("BEGIN REPLACE t VALUES (1); RETURN 1; END", "writes"),
        ("BEGIN CALL p(); RETURN 1; END", "CALL"),
        ("BEGIN TRUNCATE t; RETURN 1; END", "TRUNCATE"),
        ("BEGIN CREATE TEMPORARY TABLE x (a INT); RETURN 1; END", "CREATE"),
        ("BEGIN DROP TEMPORARY TABLE x; RETURN 1; END", "DROP"),
        ("BEGIN DECLARE x INT; SELECT id INTO x FROM t FOR UPDATE; RETURN x; END", "locking read"),
        ("BEGIN DECLARE x INT; SELECT id INTO x FROM t FOR SHARE; RETURN x; END", "locking read"),
        ("BEGIN DECLARE x INT; SELECT id INTO x FROM t LOCK IN SHARE MODE; RETURN x; END", "locking read"),
        ("BEGIN SELECT 1 INTO OUTFILE '/tmp/x'; RETURN 1; END", "INTO"),
        ("BEGIN SELECT 1 INTO @a; RETURN 1; END", "INTO"),
        ("BEGIN DECLARE x INT; SELECT 1, 2 INTO x, @a; RETURN 1; END", "user variables"),
        ("RETURN @a", "user variables"),
        ("RETURN (@a := p)", "user variable"),
        ("BEGIN SET @a = 1; RETURN 1; END", "has not declared"),
        ("RETURN @@server_id", "system variables"),
        ("BEGIN SET time_zone = 'UTC'; RETURN 1; END", "has not declared"),
        ("BEGIN SET p = 1, sql_log_bin = 0; RETURN 1; END", "has not declared"),
        ("BEGIN SET SESSION time_zone = 'UTC'; RETURN 1; END", "SESSION"),
        ("RETURN GET_LOCK('a', 1)", "GET_LOCK"),
        ("RETURN LAST_INSERT_ID()", "LAST_INSERT_ID"),
        ("RETURN FOUND_ROWS()", "FOUND_ROWS"),
        ("RETURN CONNECTION_ID()", "CONNECTION_ID"),
        ("RETURN (SELECT COUNT(*) FROM information_schema.processlist)", "information_schema"),
        ("RETURN other(p)", "app.other()"),
        ("RETURN elsewhere.safe(p)", "elsewhere.safe()"),
        ("BEGIN DO other(); RETURN 1; END", "app.other()"),
        ("RETURN 1 /*! + other(1) */", "another version"),
        ("RETURN 'unterminated", "cannot be parsed"),
        ("BEGIN HANDLER t OPEN; RETURN 1; END", "HANDLER"),
        ("", "may not see"),
        (None, "may not see"),
        ("RETURN '" + "x" * 70000 + "'", "too long"),
    ],
)
def test_objections(body: str | None, why: str, flavour: Flavour) -> None:
    assert why in why_not(body, flavour)


@pytest.mark.parametrize("flavour", FAMILIES)
def test_what_is_declared_counts_too(flavour: Flavour) -> None:
    assert why_not("RETURN 1", flavour, access="NO SQL") == ""
    assert why_not("RETURN 1", flavour, access="CONTAINS SQL") == "it is declared CONTAINS SQL"
    assert why_not("RETURN 1", flavour, access="MODIFIES SQL DATA") == "it is declared MODIFIES SQL DATA"
    assert why_not("return 1", flavour, language="JAVASCRIPT") == "it is written in JAVASCRIPT"
    assert why_not("RETURN NOW ()", flavour) != ""
    assert why_not("RETURN NOW ()", flavour, mode="IGNORE_SPACE") == ""
    assert why_not("RETURN 1", flavour, mode="ORACLE") != ""


@pytest.mark.parametrize("flavour", FAMILIES)
@pytest.mark.parametrize(
    ("sql", "functions"),
    [
        ("SELECT fw(1)", (("", "fw"),)),
        ("SELECT Fw(1), `App`.`fW` (2), fw(3)", (("", "fw"), ("app", "fw"))),
        ("SELECT NOW ()", (("", "now"),)),
        ("SHOW TABLES WHERE fw(1)", (("", "fw"),)),
        ("EXPLAIN SELECT `a``b`(1)", (("", "a`b"),)),
        ("/* hostgroup=1 */ SELECT fw(1)", (("", "fw"),)),
        # Something else speaks against a replica as well, so nothing would be gained.
        ("SELECT fw(1), @a", ()),
        ("SELECT fw(1) FOR UPDATE", ()),
        ("SELECT fw(1), GET_LOCK('a', 1)", ()),
        ("SELECT fw(1), ROW_COUNT()", ()),
        ("SELECT app.package.f(1)", ()),
        ("SELECT 'f'(1)", ()),
        ("SELECT 1", ()),
        ("INSERT INTO t VALUES (fw(1))", ()),
        ("SELECT fw(1); SELECT 2", ()),
        ("/* replclus: primary */ SELECT fw(1)", ()),
        ("/* replclus: node=n2 */ SELECT fw(1)", ()),
        ("SELECT fw(1) /*!99999 + g(1) */", ()),
    ],
)
def test_the_functions_of_a_statement(sql: str, functions: tuple[tuple[str, str], ...], flavour: Flavour) -> None:
    if flavour is Flavour.MARIADB and "99999" in sql:
        functions = (("", "fw"),)
    found = classify(sql, flavour=flavour)
    assert tuple(map(tuple, found.functions)) == functions
    assert (found.if_safe is not None) is bool(functions)
    if found.if_safe is not None:
        assert (found.target, found.if_safe.target) == ("primary", "replica")
