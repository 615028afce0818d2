"""What a session holds on one connection, and what ends it.

A temporary table, a lock, a prepared statement live on the connection that made them, so the session must stay there; but
not for ever. `Holds` is the account of it, kept from the statements that succeeded. It errs on one side only: whatever it
cannot follow stays held until the connection is gone. The rules were tried on real servers of both families.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from replclus.model.spec import Flavour
from replclus.routing import clauses
from replclus.routing.classify import classify
from replclus.routing.clauses import Name, Parsed
from replclus.routing.sqlmode import SqlMode
from replclus.routing.statements import CHANGES_SESSION
from replclus.routing.verdict import Classified, StatementKind, Target

# The answer of a statement that had none, or whose rows are still to come. NULL is None.
NO_ANSWER: Final = object()
_NOT_GOT = (0, None, "0", b"0")
_NESTING_MAX = 3
_ENDS_TABLE_LOCKS = frozenset({StatementKind.BEGIN, StatementKind.BEGIN_READ_ONLY})
# None of these can succeed while a prepared XA transaction is attached to the connection.
_NOT_INSIDE_XA = frozenset({StatementKind.WRITE, StatementKind.LOCKING_READ, *_ENDS_TABLE_LOCKS})
_NEUTRAL = frozenset(
    {StatementKind.COMMIT, StatementKind.ROLLBACK, StatementKind.SAVEPOINT, StatementKind.USE, StatementKind.SET_AUTOCOMMIT}
)
_FOR_NEXT_WRITE = frozenset({"insert_id", "last_insert_id", "identity"})


class Holds:
    """Of one connection to the primary. False in a condition when nothing is held.

    Statements need only be noted while something is held, or if their verdict `pins`.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """The connection is gone or was reset, and everything with it."""
        self._tables: set[Name] = set()
        self._locks: Counter[str] = Counter()
        self._variables: set[str] = set()
        self._settings: set[str] = set()
        self._handlers: set[str] = set()
        # By name, the text they were prepared from, if it is known.
        self._prepared: dict[str, str | None] = {}
        # What there is only one of, such as "table locks", each with its clause.
        self._single: dict[str, str] = {}
        # What nothing but the end of the connection is known to end.
        self._for_good = ""

    def __bool__(self) -> bool:
        return bool(
            self._tables
            or self._locks
            or self._variables
            or self._settings
            or self._handlers
            or self._prepared
            or self._single
            or self._for_good
        )

    def for_good(self, why: str) -> None:
        """Hold `why`, a clause, until the connection is gone."""
        self._for_good = why

    @property
    def forbids_transactions(self) -> bool:
        """A transaction of ours would end what is held (table locks), or would be refused (XA)."""
        return bool(self._single)

    @property
    def why(self) -> str:
        """One of the things held, as a clause; empty if there is none."""
        if self._tables:
            return f"temporary table {_shown(min(self._tables))}"
        if self._locks:
            return f"lock '{min(self._locks)}'"
        if self._single:
            return next(iter(self._single.values()))
        if self._handlers:
            return f"handler {min(self._handlers)}"
        if self._prepared:
            return f"prepared statement {min(self._prepared)}"
        if self._variables:
            return f"user variable {min(self._variables)}"
        if self._settings:
            return f"value of {min(self._settings)}"
        return self._for_good

    def note(
        self,
        verdict: Classified,
        sql: str,
        mode: SqlMode,
        flavour: Flavour,
        answer: object = NO_ANSWER,
        schema: str | None = None,
    ) -> None:
        """A statement has succeeded on the connection.

        `sql` is the text as it was sent, `answer` the only value of its only row, if that is what it returned, `schema` the
        session's before it. None means that names without a schema cannot be told from those of other schemas after a USE.
        """
        self._note(verdict, sql, mode, flavour, answer, schema or "", 0)

    def _note(
        self, verdict: Classified, sql: str, mode: SqlMode, flavour: Flavour, answer: object, schema: str, nesting: int
    ) -> None:
        if self._end_in_passing(verdict, schema):
            return
        parsed = clauses.parse(sql, mode, flavour) if nesting <= _NESTING_MAX else None
        if parsed is None:
            understood = False
        else:
            understood = self._keyword(verdict, parsed, schema, flavour)
            understood |= self._assign(clauses.assigned(parsed))
            understood |= self._named_locks(parsed, answer, flavour)
            if parsed.words[0] == "EXECUTE":
                understood = self._execute(parsed, flavour, schema, nesting)
        if verdict.pins and not understood:
            self._for_good = verdict.reason

    def _end_in_passing(self, verdict: Classified, schema: str) -> bool:
        """What the kind alone says. True if there is nothing else to learn from the statement."""
        kind = verdict.kind
        if kind in _NOT_INSIDE_XA and not verdict.pins:
            self._single.pop("prepared xa", None)
        if kind in _ENDS_TABLE_LOCKS:
            self._single.pop("table locks", None)
            return True
        if verdict.target is Target.SESSION and kind in {StatementKind.SET_USER_VARIABLE, StatementKind.SET_SESSION}:
            self._variables.difference_update(verdict.variables)
            self._settings.difference_update(verdict.variables)
            return True
        if kind is StatementKind.USE and not schema:
            # An unqualified name does not mean the same table from here on.
            self._tables = {name.within("?") for name in self._tables}
        return kind in _NEUTRAL

    def _keyword(self, verdict: Classified, parsed: Parsed, schema: str, flavour: Flavour) -> bool:
        """Whether the statement is one whose effect on the account is known."""
        match parsed.words:
            case ["CREATE", *_]:
                name = clauses.created(parsed)
                if name is None:
                    return False
                self._tables.add(name.within(schema))
            case ["DROP" | "DEALLOCATE", "PREPARE", *_]:
                self._prepared.pop(clauses.statement_name(parsed), None)
            case ["DROP", *_]:
                self._tables.difference_update(name.within(schema) for name in clauses.dropped(parsed))
            case ["RENAME" | "ALTER", *_]:
                self._rename(parsed, schema, flavour)
            case ["LOCK", "INSTANCE", *_]:
                self._single["instance"] = "LOCK INSTANCE FOR BACKUP"
            case ["UNLOCK", "INSTANCE", *_]:
                self._single.pop("instance", None)
            case ["LOCK", *_]:
                self._single["table locks"] = "LOCK TABLES"
            case ["UNLOCK", *_]:
                self._single.pop("table locks", None)
                self._single.pop("global read lock", None)
            case ["FLUSH", *_]:
                self._flush(parsed)
            case ["BACKUP", *_]:
                self._backup(parsed)
            case ["HANDLER", *_]:
                self._handler(parsed)
            case ["PREPARE", *_]:
                self._prepared[clauses.statement_name(parsed)] = clauses.prepared_text(parsed)
            case ["XA", *_]:
                self._xa(parsed, flavour)
            case ["SET", *_]:
                return self._set(verdict)
            case ["INSERT" | "REPLACE" | "LOAD", *_]:
                self._settings -= _FOR_NEXT_WRITE
                return False
            case _:
                return False
        return True

    def _set(self, verdict: Classified) -> bool:
        """A SET that pins: of its variables, those with constant values are held too, until set alone."""
        self._settings.update(name for name in verdict.variables if name[0] != "@")
        return bool(verdict.variables) & self._assign([name for name in verdict.variables if name[0] == "@"], empty=True)

    def _assign(self, names: Sequence[str], *, empty: bool = False) -> bool:
        """False if a name could not be read, or there is none."""
        self._variables.update(name for name in names if name != "@")
        return "@" not in names and (empty or bool(names))

    def _rename(self, parsed: Parsed, schema: str, flavour: Flavour) -> None:
        for old, new in clauses.renamed(parsed, flavour):
            if old.within(schema) in self._tables:
                self._tables.remove(old.within(schema))
                self._tables.add(new.within(schema))

    def _flush(self, parsed: Parsed) -> None:
        """UNLOCK TABLES ends both kinds of locks; BEGIN does not end the global one."""
        words = [word for word in parsed.words if word not in {"LOCAL", "NO_WRITE_TO_BINLOG"}]
        if words[2:5] == ["WITH", "READ", "LOCK"]:
            self._single["global read lock"] = "FLUSH TABLES WITH READ LOCK"
        elif "LOCK" in words or "EXPORT" in words:
            self._single["table locks"] = "FLUSH TABLES, which locked them"

    def _backup(self, parsed: Parsed) -> None:
        match parsed.words[1:3]:
            case ["STAGE", "END"]:
                self._single.pop("backup stage", None)
            case ["STAGE", *_]:
                self._single["backup stage"] = "BACKUP STAGE"
            case ["UNLOCK", *_]:
                self._single.pop("backup lock", None)
            case _:
                self._single["backup lock"] = "BACKUP LOCK"

    def _handler(self, parsed: Parsed) -> None:
        if parsed.words[2:3] == ["OPEN"]:
            self._handlers.add(clauses.handler_name(parsed))
        elif parsed.words[2:] == ["CLOSE"]:
            self._handlers.discard(clauses.handler_name(parsed))

    def _xa(self, parsed: Parsed, flavour: Flavour) -> None:
        """MySQL lets go of a transaction once it is prepared, unless xa_detach_on_prepare is off; MariaDB keeps it."""
        match parsed.words[1:2]:
            case ["START" | "BEGIN"]:
                # It would have been refused while another was attached.
                self._single.pop("prepared xa", None)
                self._single["xa"] = "XA transaction"
            case ["COMMIT" | "ROLLBACK"]:
                self._single.pop("xa", None)
                self._single.pop("prepared xa", None)
            case ["PREPARE"] if flavour is Flavour.MYSQL and "xa" in self._single:
                self._single["prepared xa"] = self._single.pop("xa")
            case _:
                pass

    def _named_locks(self, parsed: Parsed, answer: object, flavour: Flavour) -> bool:
        call = clauses.lock_call(parsed)
        if call is None:
            taken = clauses.takes_locks(parsed)
            if taken == {"GET_LOCK"}:
                # Inside of something larger, perhaps once per row: only RELEASE_ALL_LOCKS() surely ends them.
                self._single["locks"] = "locks taken by GET_LOCK"
            elif taken:
                self._for_good = "locks of a locking service"
            return bool(taken)
        function, argument = call
        # MySQL compares the names without regard to case, MariaDB does not.
        name = argument.lower() if flavour is Flavour.MYSQL else argument
        match function:
            case "GET_LOCK":
                # 0: somebody else has it. NULL: the wait was broken off.
                if answer is NO_ANSWER or answer not in _NOT_GOT:
                    self._locks[name] += 1
            case "RELEASE_LOCK":
                if self._locks[name] <= 1 or answer in _NOT_GOT:
                    del self._locks[name]
                else:
                    self._locks[name] -= 1
            case "RELEASE_ALL_LOCKS":
                self._locks.clear()
                self._single.pop("locks", None)
            case "SERVICE_GET_READ_LOCKS" | "SERVICE_GET_WRITE_LOCKS":
                self._single[f"service {argument}"] = f"locks of the locking service in '{argument}'"
            case "SERVICE_RELEASE_LOCKS":
                self._single.pop(f"service {argument}", None)
            case "VERSION_TOKENS_UNLOCK":
                self._single.pop("version tokens", None)
            case _:
                self._single["version tokens"] = "locks of version tokens"
        return True

    def _execute(self, parsed: Parsed, flavour: Flavour, schema: str, nesting: int) -> bool:
        """Whatever the text does is done here. A text that is not known may have left anything."""
        text = clauses.prepared_text(parsed)
        if text is None and parsed.words[1:2] != ["IMMEDIATE"]:
            text = self._prepared.get(clauses.statement_name(parsed))
        if text is None:
            return False
        verdict = classify(text, flavour=flavour, sql_mode=parsed.mode)
        if verdict.kind in CHANGES_SESSION:
            return False
        if verdict.pins or self:
            self._note(verdict, text, parsed.mode, flavour, NO_ANSWER, schema, nesting + 1)
        return True


def _shown(name: Name) -> str:
    return f"{name.schema}.{name.table}" if name.schema not in {"", "?"} else name.table
