"""Is every server fit to join? Pure: inspections in, sentences out, all of them at once, each with its fix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from replclus.config.grammar import same_place
from replclus.dialect import check_host
from replclus.model.observation import Channel
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec, Durability, Flavour, NodeSpec
from replclus.provision.inspection import Inspection, Unfit
from replclus.provision.planning import LEASE_USER, OWN_USERS

_ADMINISTRATORS = frozenset({"root", "mysql", "mariadb.sys", "PUBLIC"})
_SAME_EVERYWHERE = ("lower_case_table_names", "character_set_server", "collation_server")


def complaints(spec: ClusterSpec, record: ClusterRecord | None, seen: Sequence[Inspection | Unfit]) -> tuple[str, ...]:
    """Why `init` must not begin; empty when nothing speaks against it. In the order of the configuration file."""
    fit = tuple(one for one in seen if isinstance(one, Inspection))
    found = list(_about_cluster(spec, record))
    for one in seen:
        match one:
            case Unfit(_, sentence):
                found.append(sentence)
            case Inspection():
                found += [f"{_who(one.node)}: {sentence}" for sentence in _about_server(spec, record, one, fit)]
    found += _about_pairs(spec, fit)
    return tuple(found)


def warnings(spec: ClusterSpec, record: ClusterRecord | None, seen: Sequence[Inspection]) -> tuple[tuple[str, str], ...]:
    """(node, sentence) of what does not stop `init`, and should be known."""
    found = []
    for one in seen:
        others = tuple(_others_with_power(spec, one))
        if others:
            said = f"these accounts can write to a read-only server, use them for administration only: {', '.join(others)}"
            found.append((one.name, said))
        volatile = one.lines if one.option_file is None and not one.persists else ()
        if (ruled_out := lease_ruled_out(spec, one)) is not None:
            found.append((one.name, ruled_out))
        if volatile and (record is None or record.forming):
            said = f"a restart forgets what was set here: add to its option file, under [mysqld]: {_lines(volatile)}"
            found.append((one.name, said))
    if record is not None and not record.forming and record.durability is not spec.durability:
        said = f"durability stays {record.durability}, as recorded, although the configuration says {spec.durability}"
        found.append((record.primary, said))
    return tuple(found)


def lease_ruled_out(spec: ClusterSpec, one: Inspection) -> str | None:
    """Why this server cannot have the lease it should have, None if it can."""
    if not spec.timings.lease_s or one.variables.get("event_scheduler") != "DISABLED":
        return None
    return (
        "event_scheduler=DISABLED, so it will not turn itself read-only when it is cut off as the primary: take that out of its "
        "option file, restart it and run `replclus init` again, or set cluster.lease_s = 0"
    )


def _others_with_power(spec: ClusterSpec, one: Inspection) -> Iterator[str]:
    """Accounts that write to a read-only MariaDB, but for administrators. On MySQL super_read_only stops everybody."""
    if one.identity.flavour is Flavour.MYSQL:
        return
    known = {*_ADMINISTRATORS, *OWN_USERS, LEASE_USER} | ({spec.admin.user} if spec.admin else set())
    known |= {spec.app.account.user} if spec.app else set()
    for user, host, right in sorted(one.privileged):
        if user not in known:
            yield f"{user}@{host} ({right})"


def _about_cluster(spec: ClusterSpec, record: ClusterRecord | None) -> Iterator[str]:
    if len(spec.nodes) == 1 and spec.durability is Durability.LOSSLESS:
        yield (
            "a cluster of one server cannot be lossless, because no other server holds a copy of what it acknowledges: "
            'add a second [[node]], or set durability = "available"'
        )
    if record is None or record.forming:
        return
    described, admitted = {node.name for node in spec.nodes}, {member.name for member in record.members}
    for name in sorted(described - admitted):
        yield f"{name} is in the configuration and not in the cluster: `replclus add {name}` brings it in"
    for name in sorted(admitted - described):
        yield f"{name} is in the cluster and not in the configuration: put it back, or run `replclus remove {name}`"


def _about_server(spec: ClusterSpec, record: ClusterRecord | None, one: Inspection, fit: Sequence[Inspection]) -> Iterator[str]:
    cluster_id = one.identity.cluster_id
    if cluster_id is not None and (record is None or cluster_id != record.cluster_id):
        yield _foreign(spec, record, cluster_id)
        return
    admitted = record is not None and not record.forming
    yield from _wrong_settings(one)
    yield from _nameless_client(one)
    yield from _too_powerful(spec, one)
    if record is not None and admitted:
        yield from _not_who_was_admitted(record, one)
        return
    if cluster_id is None and one.schemas:
        names = ", ".join(one.schemas)
        yield f"holds data (schemas {names}): `init` takes empty servers only, so use another server, or drop them"
    channel = one.facts.channel
    if channel is not None and not _is_ours(channel, record):
        yield (
            f"replicates from {channel.source_host}:{channel.source_port} already: use another server, or make it forget "
            f"that source ({'; '.join(map(str, one.forget_source))})"
        )
    if record is not None and cluster_id is not None:
        yield from _diverged(record, one, fit)


def _foreign(spec: ClusterSpec, record: ClusterRecord | None, cluster_id: str) -> str:
    if record is not None:
        return f"belongs to another cluster ({cluster_id}, ours is {record.cluster_id}) and is never touched: use another server"
    return (
        f"belongs to cluster {cluster_id} already, of which {spec.state_dir} holds no record, and is never touched: use "
        "another server, or, if it is this very cluster, bring back that directory from where the cluster was initialised"
    )


def _wrong_settings(one: Inspection) -> Iterator[str]:
    """Static settings need the user and a restart; then the dynamic ones are listed along with them, to be set at once."""
    unmet = one.unmet
    if any(not wish.dynamic for wish in unmet):
        found = ", ".join(f"{wish.name}={one.variables.get(wish.name, '(not known)')}" for wish in unmet)
        lines = _lines(tuple(wish.line for wish in unmet))
        yield f"has wrong settings ({found}): add to its option file, under [mysqld]: {lines} and restart it"


def _nameless_client(one: Inspection) -> Iterator[str]:
    """An account is made for the host that the server sees us come from, so that must be one."""
    try:
        check_host(one.seen_from)
    except ValueError:
        yield (
            f"sees this machine as {one.seen_from!r}, which no account can be made for: correct its name service, or add "
            "skip_name_resolve to the option file"
        )


def _too_powerful(spec: ClusterSpec, one: Inspection) -> Iterator[str]:
    if spec.app is None:
        return
    user = spec.app.account.user
    rights = sorted({right for name, _, right in one.privileged if name == user})
    if rights:
        yield (
            f"the application's account {user!r} has {', '.join(rights)}, so it could write to a read-only replica: revoke "
            "that, or use another account in [accounts.app]"
        )


def _not_who_was_admitted(record: ClusterRecord, one: Inspection) -> Iterator[str]:
    known = {member.name: member for member in record.members}.get(one.name)
    if known is None:
        return
    if one.identity.cluster_id is None:
        yield "was admitted to this cluster and is an empty server now: `replclus rebuild` brings it back"
    elif (known.server_id, known.uuid) != (one.identity.server_id, one.identity.uuid):
        yield (
            f"is not the server that was admitted under this name (server_id {one.identity.server_id} instead of "
            f"{known.server_id}): correct its host and port"
        )


def _diverged(record: ClusterRecord, one: Inspection, fit: Sequence[Inspection]) -> Iterator[str]:
    primary = next((other for other in fit if other.name == record.primary), None)
    if primary is None or primary is one or primary.identity.cluster_id is None:
        return
    extra = one.facts.executed.subtract(primary.facts.executed)
    if extra:
        yield f"has transactions that {primary.name} has not ({extra}): empty it, then run `replclus init` again"


def _about_pairs(spec: ClusterSpec, fit: Sequence[Inspection]) -> Iterator[str]:
    """What can only be seen by comparing servers."""
    if not fit:
        return
    first = next((one for one in fit if one.name == spec.first_primary.name), fit[0])
    for flavour in sorted({one.identity.flavour for one in fit} - {first.identity.flavour}):
        names = ", ".join(one.name for one in fit if one.identity.flavour is flavour)
        mine = first.identity.flavour
        yield f"{first.name} is {mine} and {names} {flavour}: a cluster is of one flavour, so replace one or the other"
    yield from _doubles(fit)
    for one in fit:
        if one.identity.flavour is not first.identity.flavour:
            continue
        if _series(one) < _series(first):
            yield (
                f"{_who(one.node)}: runs {one.identity.version} and {first.name}, the primary, {first.identity.version}: a "
                "replica must not be older than its source, so upgrade it, or mark the oldest server with primary = true"
            )
        for name in _SAME_EVERYWHERE:
            its, theirs = one.variables.get(name), first.variables.get(name)
            if its != theirs:
                yield f"{_who(one.node)}: has {name}={its} and {first.name} has {theirs}: set {name}={theirs} in its option file"


def _doubles(fit: Sequence[Inspection]) -> Iterator[str]:
    ids = Counter(one.identity.server_id for one in fit)
    for server_id in sorted(number for number, times in ids.items() if times > 1):
        names = " and ".join(one.name for one in fit if one.identity.server_id == server_id)
        yield f"{names} have one server_id ({server_id}): give each its own (server_id = N in the option file) and restart"
    uuids = Counter(one.identity.uuid or "" for one in fit)
    for uuid in sorted(text for text, times in uuids.items() if text and times > 1):
        names = " and ".join(one.name for one in fit if one.identity.uuid == uuid)
        yield f"{names} have one server_uuid ({uuid}): stop all but one, delete auto.cnf in the data directory, start again"


def _series(one: Inspection) -> tuple[int, int]:
    return one.identity.version.major, one.identity.version.minor


def _is_ours(channel: Channel, record: ClusterRecord | None) -> bool:
    """Does it replicate from a member, as an interrupted `init` leaves it?"""
    source = same_place(channel.source_host), channel.source_port
    return record is not None and any((same_place(member.host), member.port) == source for member in record.members)


def _who(node: NodeSpec) -> str:
    return f"{node.name} ({node.address})"


def _lines(lines: tuple[str, ...]) -> str:
    return "; ".join(lines)
