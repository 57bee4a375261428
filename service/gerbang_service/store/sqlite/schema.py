"""The database's schema and its migrations. A migration is never changed once it was released; a new one is added."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

from gerbang_service.domain.errors import StartupError
from gerbang_service.store.sealing.cipher import NO_CIPHER, AnyCipher
from gerbang_service.store.sqlite.answers import earlier_answers, insert_answer
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.sealing_rows import seal_earlier_rows, seal_watchlists_anew

# "GBNG": tells a Gerbang database from any other SQLite file.
APPLICATION_ID = 0x47424E47
# The step that keeps answers to requests in another form.
_ANSWERS_ANEW = 4
# The step that seals whole rows. Steps after it that change what rows hold have to seal them anew.
ROWS_SEALED = 6
# The step that gives lists a target.
LISTS_HAVE_TARGETS = 7
# The step from which on changes may wait for a second person.
PROPOSALS = 9

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
    """
    -- Lists have a number that is never given twice: who was on a deleted list leaves it a few at a time, and one that
    -- is made anew under its name has nobody of it.
    CREATE TABLE watchlists_now (
        list_key INTEGER PRIMARY KEY AUTOINCREMENT,
        watchlist_id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        direction TEXT NOT NULL,
        action INTEGER NOT NULL,
        threshold REAL,
        labels TEXT NOT NULL,
        create_time_ns INTEGER NOT NULL,
        update_time_ns INTEGER NOT NULL
    ) STRICT;
    INSERT INTO watchlists_now (
        watchlist_id, title, direction, action, threshold, labels, create_time_ns, update_time_ns
    ) SELECT * FROM watchlists ORDER BY watchlist_id;

    -- By list and id, so that a page of a long list is read from its first row. list_key may be of a list that is gone.
    CREATE TABLE memberships_now (
        list_key INTEGER NOT NULL,
        subject_id TEXT NOT NULL,
        subject_key INTEGER NOT NULL REFERENCES subjects ON DELETE CASCADE,
        PRIMARY KEY (list_key, subject_id)
    ) WITHOUT ROWID, STRICT;
    INSERT INTO memberships_now
        SELECT list_key, subject_id, subject_key
        FROM memberships JOIN subjects USING (subject_key) JOIN watchlists_now USING (watchlist_id)
        ORDER BY list_key, subject_id;
    DROP TABLE memberships;
    DROP TABLE watchlists;
    ALTER TABLE watchlists_now RENAME TO watchlists;
    ALTER TABLE memberships_now RENAME TO memberships;
    CREATE INDEX memberships_by_subject ON memberships (subject_key, list_key);

    -- How many subjects are on each list, kept by the triggers.
    CREATE TABLE list_sizes (
        list_key INTEGER PRIMARY KEY REFERENCES watchlists ON DELETE CASCADE,
        subjects INTEGER NOT NULL
    ) STRICT;
    INSERT INTO list_sizes
        SELECT list_key, (SELECT count(*) FROM memberships m WHERE m.list_key = w.list_key) FROM watchlists w;
    -- Deleted lists that memberships are left of.
    CREATE TABLE gone_lists (
        list_key INTEGER PRIMARY KEY
    ) STRICT;
    CREATE TRIGGER list_made AFTER INSERT ON watchlists BEGIN
        INSERT INTO list_sizes VALUES (NEW.list_key, 0);
    END;
    CREATE TRIGGER list_gone AFTER DELETE ON watchlists BEGIN
        INSERT INTO gone_lists VALUES (OLD.list_key);
    END;
    CREATE TRIGGER list_joined AFTER INSERT ON memberships BEGIN
        UPDATE list_sizes SET subjects = subjects + 1 WHERE list_key = NEW.list_key;
    END;
    CREATE TRIGGER list_left AFTER DELETE ON memberships BEGIN
        UPDATE list_sizes SET subjects = subjects - 1 WHERE list_key = OLD.list_key;
    END;

    -- Answers to requests that carried a request_id: ids only, so that deleting a subject leaves nothing in those of
    -- others. samples: a JSON list, a template's id or the reason of its rejection each; NULL: the subject was deleted.
    DROP TABLE requests;
    CREATE TABLE requests (
        request_id TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        subject_id TEXT NOT NULL,
        samples TEXT,
        revision INTEGER NOT NULL,
        create_time_ns INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX requests_by_subject ON requests (subject_id);
    CREATE INDEX requests_by_time ON requests (create_time_ns);
    """,
    """
    -- At which revision a list and a subject were last changed. Of those that are there already it is not known: as if
    -- they had been changed last of all.
    ALTER TABLE watchlists ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE subjects ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    UPDATE watchlists SET revision = (SELECT value FROM meta WHERE key = 'revision');
    UPDATE subjects SET revision = (SELECT value FROM meta WHERE key = 'revision');
    """,
    # Rows are sealed. That of a subject has the keys of its lists, which vouch for table memberships; that of a token
    # has a seal.
    """
    ALTER TABLE subjects ADD COLUMN lists TEXT NOT NULL DEFAULT '';
    UPDATE subjects SET lists = coalesce((
        SELECT group_concat(list_key, ',') FROM memberships m
        WHERE m.subject_key = subjects.subject_key AND list_key IN (SELECT list_key FROM watchlists)
    ), '');
    ALTER TABLE tokens ADD COLUMN seal BLOB;
    """,
    """
    -- The share of strangers that a list may stop, and whether who takes somebody off it needs a second person.
    ALTER TABLE watchlists ADD COLUMN target_fpir REAL;
    ALTER TABLE watchlists ADD COLUMN two_person_removal INTEGER NOT NULL DEFAULT 0;
    """,
    # What a template's image went through, as JSON. A row without it is sealed as ever: nothing has to be sealed anew.
    """
    ALTER TABLE templates ADD COLUMN chain TEXT;
    """,
    """
    -- Changes that wait for a second person. One of subject_id and watchlist_id is not empty: whom it is about; lists:
    -- those that it would weaken, a JSON list; content: see proposals.py.
    CREATE TABLE proposals (
        proposal_id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        subject_id TEXT NOT NULL,
        watchlist_id TEXT NOT NULL,
        lists TEXT NOT NULL,
        request_id TEXT NOT NULL,
        proposed_by TEXT NOT NULL,
        role TEXT NOT NULL,
        revision INTEGER NOT NULL,
        propose_time_ns INTEGER NOT NULL,
        expire_time_ns INTEGER NOT NULL,
        content TEXT NOT NULL
    ) STRICT;
    CREATE INDEX proposals_by_subject ON proposals (subject_id);
    CREATE INDEX proposals_by_watchlist ON proposals (watchlist_id);
    CREATE INDEX proposals_by_request ON proposals (request_id);
    """,
)


def migrate(connection: Connection, cipher: Callable[[], AnyCipher] = lambda: NO_CIPHER) -> None:
    """Bring the database to the newest schema, each step in a transaction of its own.

    `cipher` finds what the values of an older database are sealed with, if that is needed. Raises StartupError for a
    file that is not Gerbang's, or is of a newer version than this program; what `cipher` raises; sqlite3.Error.
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
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            _step(connection, number, script, cipher)
            connection.execute("COMMIT")
        except BaseException:
            # An error may have ended it, which is then not hidden by another.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _step(connection: Connection, number: int, script: str, cipher: Callable[[], AnyCipher]) -> None:
    # What is read of the tables as they were, and written anew when they are as they shall be.
    answers = earlier_answers(connection, cipher()) if number == _ANSWERS_ANEW else []
    for statement in _statements(script):
        connection.execute(statement)
    for each in answers:
        insert_answer(connection, cipher(), each)
    if number >= ROWS_SEALED:
        connection.cipher = cipher()
    if number == ROWS_SEALED:
        seal_earlier_rows(connection)
    if number == LISTS_HAVE_TARGETS:
        seal_watchlists_anew(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, which sqlite3 itself would run outside of any transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
