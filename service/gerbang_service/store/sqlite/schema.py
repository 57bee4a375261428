"""The database's schema and its migrations. A migration is never changed once it was released; a new one is added."""

from __future__ import annotations

import sqlite3

from gerbang_service.domain.errors import StartupError

# "GBNG": tells a Gerbang database from any other SQLite file.
APPLICATION_ID = 0x47424E47

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value ANY NOT NULL
    ) WITHOUT ROWID, STRICT;
    INSERT INTO meta VALUES ('revision', 0);

    CREATE TABLE watchlists (
        watchlist_id TEXT PRIMARY KEY,
        title TEXT NOT NULL,
        direction TEXT NOT NULL,
        action INTEGER NOT NULL,
        threshold REAL,
        labels TEXT NOT NULL,
        create_time_ns INTEGER NOT NULL,
        update_time_ns INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;

    CREATE TABLE subjects (
        subject_key INTEGER PRIMARY KEY,
        subject_id TEXT NOT NULL UNIQUE,
        valid_from_ns INTEGER,
        expire_time_ns INTEGER,
        labels TEXT NOT NULL,
        create_time_ns INTEGER NOT NULL,
        update_time_ns INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE memberships (
        subject_key INTEGER NOT NULL REFERENCES subjects ON DELETE CASCADE,
        watchlist_id TEXT NOT NULL REFERENCES watchlists ON DELETE CASCADE,
        PRIMARY KEY (subject_key, watchlist_id)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX memberships_by_watchlist ON memberships (watchlist_id);

    -- AUTOINCREMENT: the id of a deleted template is never used again.
    CREATE TABLE templates (
        template_id INTEGER PRIMARY KEY AUTOINCREMENT,
        subject_key INTEGER NOT NULL REFERENCES subjects ON DELETE CASCADE,
        model TEXT NOT NULL,
        quality TEXT,
        create_time_ns INTEGER NOT NULL,
        vector BLOB NOT NULL
    ) STRICT;
    -- With the model, so that counting and listing templates at start reads this and not the vectors.
    CREATE INDEX templates_by_subject ON templates (subject_key, model);

    -- Answers to requests that carried a request_id. answer NULL: the subject was deleted since, and its data with it.
    CREATE TABLE requests (
        request_id TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        subject_id TEXT NOT NULL,
        answer BLOB
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX requests_by_subject ON requests (subject_id);
    """,
    """
    -- What the last changes were about, for processes that follow what others write. One of the ids is set.
    CREATE TABLE changes (
        revision INTEGER PRIMARY KEY,
        subject_id TEXT,
        watchlist_id TEXT,
        gone INTEGER NOT NULL
    ) STRICT;
    """,
    """
    -- The key that vectors and labels are encrypted with, itself encrypted ("wrapped") with the operator's key.
    CREATE TABLE data_keys (
        key_id INTEGER PRIMARY KEY CHECK (key_id = 1),
        wrapped BLOB NOT NULL,
        wrapping_key TEXT NOT NULL,
        create_time_ns INTEGER NOT NULL
    ) STRICT;

    -- API tokens: of the token itself only its SHA-256 is kept. watchlists: a JSON list, NULL for all.
    CREATE TABLE tokens (
        token_id TEXT PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        watchlists TEXT,
        create_time_ns INTEGER NOT NULL,
        expire_time_ns INTEGER,
        revoke_time_ns INTEGER
    ) WITHOUT ROWID, STRICT;
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest schema, each step in a transaction of its own.

    Raises StartupError for a file that is not Gerbang's, or is of a newer version than this program.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application_id != APPLICATION_ID and (application_id or objects):
        raise StartupError("the database file is not one of Gerbang's")
    if version > len(MIGRATIONS):
        raise StartupError(
            f"the database has schema {version}, this program knows up to {len(MIGRATIONS)}: it is too old for it"
        )
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE;{statements};PRAGMA application_id={APPLICATION_ID};PRAGMA user_version={number};COMMIT;"
        )
