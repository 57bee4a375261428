"""The epoch: a random id of a database's history, by which a client can tell that revisions began anew.

A backup that was restored gives revisions out again that the original had given to other changes.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from gerbang_service.store.folders import sync_folder
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.rows import row_of
from gerbang_service.store.sqlite.vault import EPOCH, seal_meta

# In a data folder that was made of a backup and not served yet: its epoch is still the original's.
RESTORED_FILE = "RESTORED"
"""Its name."""


def epoch_of(connection: Connection) -> str:
    """Return the epoch: 32 characters. Raises DataDamaged."""
    with row_of("table meta: its epoch"):
        return str(connection.execute("SELECT value FROM meta WHERE key = ?", (EPOCH,)).fetchone()[0])


def mark_restored(folder: Path) -> None:
    """Have the folder's database begin a new epoch when it is served next. Durable when this returns."""
    os.close(os.open(folder / RESTORED_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_folder(folder)


def begin_epoch(connection: Connection, folder: Path) -> None:
    """Give a new database its epoch, and a restored one another. In a transaction of its own.

    Raises sqlite3.Error, OSError.
    """
    restored = folder / RESTORED_FILE
    known = connection.execute("SELECT 1 FROM meta WHERE key = ?", (EPOCH,)).fetchone()
    if known and not restored.exists():
        return
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (EPOCH, uuid.uuid4().hex))
    seal_meta(connection)
    connection.execute("COMMIT")
    # After that: killed in between, it only begins yet another.
    restored.unlink(missing_ok=True)
    sync_folder(folder)
