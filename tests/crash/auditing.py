"""The audit log of a server that was killed: it verifies, and has a record of whatever was acknowledged."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from crash.model import Truth, Wrong
from gerbang_service.audit.chain import PURPOSE, Seal
from gerbang_service.audit.files import chain_folders
from gerbang_service.audit.history import COMMITTED
from gerbang_service.audit.reading import Filter, records
from gerbang_service.audit.serving import AUDIT_FOLDER
from gerbang_service.audit.verifying import verify_folder
from gerbang_service.store.sqlite.connection import DATABASE_FILE, look
from gerbang_service.store.sqlite.vault import cipher_of
from running import operator_key


class Auditor:
    """Checks the logs of a data folder that a test server has begun, and of its workers."""

    def __init__(self, data: Path) -> None:
        self._folder = data / AUDIT_FOLDER
        # Once: the database of a server that was killed is not to be touched before the next one opens it.
        with closing(look(data / DATABASE_FILE)) as connection:
            self._seal = Seal(cipher_of(connection, operator_key()).derive(PURPOSE))

    def check(self, truth: Truth) -> None:
        """Raise Wrong unless every log is sound and all that was acknowledged is in them. While no server runs."""
        for each in chain_folders(self._folder):
            verdict = verify_folder(each, self._seal)
            if not verdict.sound:
                raise Wrong(f"the audit log does not verify: {verdict.breaks}")
        recorded, told = self._revisions()
        # A record is durable before its change is answered. Only what was answered again, and not the first time, may
        # have lost it to the kill; then the next start tells so.
        missing = {
            revision: name
            for revision, name in truth.revisions.items()
            if revision not in recorded and not (revision in truth.replayed and revision in told)
        }
        if missing:
            raise Wrong(f"acknowledged, and not in the audit log: {missing}")

    def _revisions(self) -> tuple[set[int], set[int]]:
        """Return the revisions that have a record, and those that are told to have none."""
        recorded: set[int] = set()
        told: set[int] = set()
        for record in records(self._folder, Filter()):
            if COMMITTED in record:
                recorded.add(record[COMMITTED])
            elif record.get("event") == "without_record":
                for first, last in record["revisions"]:
                    told.update(range(first, last + 1))
        return recorded, told
