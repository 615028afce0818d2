"""Hints in comments, ours and those people bring along."""

from __future__ import annotations

import pytest

from replclus.model.spec import Flavour
from replclus.routing import Hint, Target, classify


@pytest.mark.parametrize("flavour", list(Flavour))
@pytest.mark.parametrize(
    ("sql", "target", "hint"),
    [
        ("/* replclus: primary */ SELECT 1", Target.PRIMARY, Hint(Target.PRIMARY)),
        ("SELECT /* replclus: primary */ 1", Target.PRIMARY, Hint(Target.PRIMARY)),
        ("SELECT 1 -- replclus: primary", Target.PRIMARY, Hint(Target.PRIMARY)),
        ("SELECT 1 # REPLCLUS: PRIMARY\n", Target.PRIMARY, Hint(Target.PRIMARY)),
        ("/* replclus: replica */ SELECT fw(1)", Target.REPLICA, Hint(Target.REPLICA)),
        ("/* replclus: replica */ SELECT @@hostname", Target.REPLICA, Hint(Target.REPLICA)),
        ("/* replclus: last_used */ SELECT 1", Target.LAST_USED, Hint(Target.LAST_USED)),
        ("/* replclus: node=n3 */ SELECT 1", Target.REPLICA, Hint(node="n3")),
        ("/* replclus: node=n3 */ SET GLOBAL read_only = 0", Target.REFUSE, Hint(node="n3")),
        ("/*ms=master*/ SELECT 1", Target.PRIMARY, Hint(Target.PRIMARY)),
        ("/*ms=slave*/SELECT 1", Target.REPLICA, Hint(Target.REPLICA)),
        ("/*ms=last_used*/SELECT 1", Target.LAST_USED, Hint(Target.LAST_USED)),
        ("SELECT 1 -- maxscale route to master", Target.PRIMARY, Hint(Target.PRIMARY)),
        ("SELECT fw(1) -- maxscale route to slave", Target.REPLICA, Hint(Target.REPLICA)),
        ("/* hostgroup=1 */ SELECT 1", Target.REPLICA, Hint(ignored="hostgroup=1")),
        ("SELECT 1 -- maxscale route to server db1", Target.REPLICA, Hint(ignored="maxscale route to server db1")),
        # One that means something here wins over one that does not.
        ("/* hostgroup=1 */ /*ms=master*/ SELECT 1", Target.PRIMARY, Hint(Target.PRIMARY, ignored="hostgroup=1")),
        ("/* hostgroup=1; replclus: primary */ SELECT 1", Target.PRIMARY, Hint(Target.PRIMARY)),
        # A hint cannot make a write, a lock or a pinned read go to a replica.
        ("/* replclus: replica */ INSERT INTO t VALUES (1)", Target.PRIMARY, Hint(Target.REPLICA)),
        ("/* replclus: replica */ SELECT 1 FOR UPDATE", Target.PRIMARY, Hint(Target.REPLICA)),
        ("/* replclus: replica */ SELECT @a := 1", Target.PRIMARY, Hint(Target.REPLICA)),
        ("/* replclus: replica */ CALL p()", Target.PRIMARY, Hint(Target.REPLICA)),
        ("/* replclus: replica */ SELECT 'x", Target.PRIMARY, Hint(Target.REPLICA)),
        # What is not in a comment is not a hint.
        ("SELECT 'replclus: primary'", Target.REPLICA, None),
        ("SELECT '/* replclus: primary */'", Target.REPLICA, None),
        ("SELECT `/* replclus: primary */` FROM t", Target.REPLICA, None),
        ("/* replclus: somewhere */ SELECT 1", Target.REPLICA, None),
    ],
)
def test_hints(sql: str, target: Target, hint: Hint | None, flavour: Flavour) -> None:
    found = classify(sql, flavour=flavour)
    assert (found.target, found.hint) == (target, hint)
