"""How often the catalogue asks, and what it remembers. The rows are what a MariaDB 10.11 answers."""

from __future__ import annotations

from replclus.dbapi.catalogue import ASK_AGAIN_S_MIN, FRESH_S_MAX, SCHEMAS_MAX, Catalogue, Rows
from replclus.model.spec import Flavour
from replclus.routing import FunctionName

_MODE = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION"
_READS = ("app", "reads", "SQL", "READS SQL DATA", "BEGIN SET p = p + 1; RETURN p; END", _MODE)
_CALLS = ("app", "Calls", "SQL", "READS SQL DATA", "RETURN reads(p)", _MODE)
_HIDDEN = ("app", "hidden", "SQL", "READS SQL DATA", None, _MODE)
_ROUND = ("app", "around", "SQL", "READS SQL DATA", "RETURN `AROUND`(p)", _MODE)
_PARAMETERS = (("reads", "p"), ("Calls", "p"), ("hidden", "p"), ("around", "p"))


class World:
    """A catalogue, its clock, and a server that counts the questions."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.rows: Rows = (_READS, _CALLS, _HIDDEN, _ROUND)
        self.up = True
        self.catalogue = Catalogue(Flavour.MARIADB, lambda: self.now)

    def ask(self, routines: str, parameters: str) -> tuple[Rows, Rows] | None:
        self.asked.append(routines)
        return (self.rows, _PARAMETERS) if self.up else None

    def safe(self, *names: str, schema: str | None = "app", asks: bool = True) -> bool:
        functions = [FunctionName(*(["", *name.split(".")][-2:])) for name in names]
        return self.catalogue.all_safe(functions, schema, self.ask if asks else None)


def test_a_schema_is_asked_about_once() -> None:
    world = World()
    assert world.safe("reads") and world.safe("calls", "app.reads") and not world.safe("hidden") and not world.safe("around")
    assert not world.safe("reads", "hidden")
    assert len(world.asked) == 1
    assert "LOWER(ROUTINE_SCHEMA) = 'app'" in world.asked[0]


def test_it_is_believed_for_a_while_and_no_longer() -> None:
    world = World()
    assert world.safe("reads")
    world.rows = ()
    world.now = FRESH_S_MAX - 0.1
    assert world.safe("reads")
    world.now = FRESH_S_MAX
    assert not world.safe("reads")
    assert len(world.asked) == 2


def test_a_missing_name_is_asked_for_again_but_not_at_once() -> None:
    world = World()
    for _ in range(5):
        assert not world.safe("missing")
    assert len(world.asked) == 1
    world.now = ASK_AGAIN_S_MIN
    assert not world.safe("missing")
    assert len(world.asked) == 2


def test_a_change_is_noticed_at_once() -> None:
    world = World()
    assert world.safe("reads")
    world.rows = ((*_READS[:3], "MODIFIES SQL DATA", *_READS[4:]),)
    world.catalogue.forget()
    assert not world.safe("reads")


def test_nothing_is_known_to_be_safe_while_nobody_answers() -> None:
    world = World()
    world.up = False
    assert not world.safe("reads") and not world.safe("reads")
    assert len(world.asked) == 1
    world.up, world.now = True, ASK_AGAIN_S_MIN
    assert world.safe("reads")


def test_without_asking() -> None:
    world = World()
    assert not world.safe("reads", asks=False)
    assert world.safe("reads")
    assert world.safe("reads", asks=False)
    assert len(world.asked) == 1


def test_explaining_does_not_spoil_what_is_asked_later() -> None:
    world = World()
    elsewhere = ("app", "far", "SQL", "READS SQL DATA", "RETURN other.reads(p)", _MODE)
    world.rows = (_READS, elsewhere)
    assert world.safe("reads")
    assert not world.safe("far", asks=False), "nobody has asked about the other schema"
    world.rows = (("other", *_READS[1:]),)
    assert world.safe("far")


def test_threads_do_not_stand_in_each_other_s_way() -> None:
    world = World()
    assert world.safe("reads") and not world.safe("hidden") and not world.safe("missing")
    with world.catalogue._asking:
        assert world.safe("reads"), "what is known needs no asking"
        assert not world.safe("hidden") and not world.safe("missing")
        world.now = FRESH_S_MAX
        assert not world.safe("reads"), "another thread is asking"
    assert world.safe("reads")


def test_names_that_cannot_be_asked_for() -> None:
    world = World()
    assert not world.safe("reads", schema=None)
    assert not world.safe("reads", schema="a'b")
    assert not world.safe("reads", schema="a\\")
    assert not world.asked


def test_two_schemas_that_differ_in_case_must_both_be_safe() -> None:
    world = World()
    world.rows = (_READS, ("APP", *_READS[1:3], "CONTAINS SQL", *_READS[4:]))
    assert not world.safe("reads")


def test_what_is_remembered_is_bounded() -> None:
    world = World()
    for number in range(SCHEMAS_MAX + 1):
        world.safe("reads", schema=f"s{number}")
    world.safe("reads", schema="s0")
    assert len(world.asked) == SCHEMAS_MAX + 2
