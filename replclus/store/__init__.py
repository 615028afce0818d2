"""Keeps what must survive the watchdog: the cluster record, the journal, the lock and the generated passwords."""

from __future__ import annotations

from replclus.store.protocol import JournalEntry, Lock, Store
from replclus.store.secrets import Secrets, create_secrets, load_secrets
from replclus.store.sqlite import SqliteStore

__all__ = ["JournalEntry", "Lock", "Secrets", "SqliteStore", "Store", "create_secrets", "load_secrets"]
