"""Does a server let anybody new in? A connection that lives on says nothing of that."""

from __future__ import annotations

from replclus.model.observation import Reach
from replclus.model.spec import Account, NodeSpec
from replclus.server.session import Failure, Session


def why_shut(node: NodeSpec, account: Account, *, connect_timeout_s: float, timeout_s: float) -> str:
    """Log in anew and leave: why that is impossible, or an empty string. Takes the two timeouts at most.

    `account` is one without rights, because servers keep a place for administrators. To be told that it may not log in is
    an answer like any other: the door was opened for that.
    """
    try:
        Session.open(node, account, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s).leave()
    except Failure as failure:
        return "" if failure.reach is Reach.DENIED else failure.message
    return ""
