"""Real database servers in one directory, to try a cluster on this machine. They run on until they are stopped."""

from __future__ import annotations

from replclus.sandbox.sandbox import REPLICAS_MAX, Sandbox, create, open_sandbox
from replclus.sandbox.throwaway import in_memory, throw_away

__all__ = ["REPLICAS_MAX", "Sandbox", "create", "in_memory", "open_sandbox", "throw_away"]
