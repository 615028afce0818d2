"""MySQL's clone plugin: the server fetches the donor's data itself, and starts anew with it.

https://dev.mysql.com/doc/refman/9.7/en/clone-plugin-remote.html. The configuration stays; the server gets a new
server_uuid, and everything else is the donor's, its replication settings and its executed transactions included.
"""

from __future__ import annotations

import time

from pymysql.constants import ER

from replclus.dialect import Statement
from replclus.errors import HostError, ServerError, ServerUnreachable
from replclus.model.spec import Flavour
from replclus.provision.case import Case
from replclus.provision.settle import Unsuitable, close, detach, left, settle, start, wait_back
from replclus.server.server import Server

# "Restart server failed (mysqld is not managed by supervisor process)": the data is there all the same.
_NO_SUPERVISOR = 3707
# An earlier run's clone is still going on.
_TOO_MANY = 3634
_BUSY_S_MAX = 600.0
_GONE_S_MAX = 60.0
_AGAIN_S = 0.5

_LOADED = Statement("SELECT 1 AS yes FROM information_schema.plugins WHERE plugin_name = 'clone' AND plugin_status = 'ACTIVE'")
_INSTALL = Statement("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")


def clone(case: Case) -> None:
    """Make `case.node` a clone of `case.donor`. Unsuitable before anything was touched, HostError or ServerError after."""
    if case.flavour is not Flavour.MYSQL:
        raise Unsuitable("only MySQL has a clone plugin")
    donor, account = case.donor, case.secrets.replication
    with case.server(case.node) as server, case.server(donor) as source:
        ours, theirs = server.dialect.version, source.dialect.version
        if (ours.major, ours.minor) != (theirs.major, theirs.minor):
            raise Unsuitable(f"{case.node.name} is MySQL {ours} and {donor.name} is {theirs}, which cannot be cloned")
        if not source.run(_LOADED):
            with source.administration():
                _install(source)
    case.say(f"cloning {donor.name} …")
    with case.server(case.node, timeout_s=case.bounds.left_s) as server:
        detach(server)
        server.kick_clients()
        for statement in server.dialect.admit_administrators():
            server.run(statement)
        _install(server)
        server.run(Statement("SET GLOBAL clone_valid_donor_list = %s", (donor.address,)))
        order = Statement(
            "CLONE INSTANCE FROM %s@%s:%s IDENTIFIED BY %s",
            (account.user, donor.host, donor.port, account.password.reveal()),
        )
        try:
            _order(case, server, order)
        except ServerError:
            if not case.bounds.stop.is_set():
                close(server)
            raise
    _restart(case)
    settle(case, None)


def _install(server: Server) -> None:
    try:
        server.run(_INSTALL)
    except ServerError as error:
        if error.errno != ER.UDF_EXISTS:
            raise Unsuitable(f"{server.node.name} cannot load the clone plugin: {error.message}") from error


def _order(case: Case, server: Server, order: Statement) -> None:
    """Returns when the data is there and the server is going down, or down already."""
    busy = case.bounds.at_most(_BUSY_S_MAX)
    while True:
        try:
            server.run(order)
            return
        except ServerUnreachable:
            # A supervised server restarts at once, which cuts our connection. If it was something else, the check of what
            # came back finds out.
            case.bounds.check(f"cloning {case.donor.name}")
            return
        except ServerError as error:
            if error.errno == _NO_SUPERVISOR:
                return
            if error.errno != _TOO_MANY:
                raise
        busy.check(f"waiting for an earlier clone of {case.node.name}")
        time.sleep(_AGAIN_S)


def _restart(case: Case) -> None:
    process = case.process(case.node)
    if process is not None:
        gone = case.bounds.at_most(_GONE_S_MAX)
        while process.is_running():
            gone.check(f"waiting for {case.node.name} to go down after cloning")
            time.sleep(0.05)
        case.say("starting it with the cloned data")
        start(case)
    wait_back(case, left(case, "waiting for the cloned server"))
    with case.server(case.node) as server:
        if server.identity().cluster_id != case.record.cluster_id:
            raise HostError(f"{case.node.name} came back without the data of {case.donor.name}: see its error log")
