"""The audit log of a server or a supervisor: opened by its settings, and told how it begins and ends."""

from __future__ import annotations

import logging
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gerbang_service.audit.chain import NOTHING, PURPOSE, Head
from gerbang_service.audit.events import STORE_BEHIND, WORKERS
from gerbang_service.audit.files import chain_folders, is_worker, last_line, log_files, log_name
from gerbang_service.audit.history import history
from gerbang_service.audit.log import AuditLog
from gerbang_service.audit.times import rfc3339
from gerbang_service.audit.unkeyed import from_text, to_text, unkeyed_heads
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import DataDamaged, GerbangError, StartupError, StoreUnavailable
from gerbang_service.store.sealing.cipher import AnyCipher
from gerbang_service.store.sqlite.data_folder import DataFolder
from gerbang_service.store.sqlite.vault import kept_unkeyed_audit, sealed_since

log = logging.getLogger(__name__)

AUDIT_FOLDER = "audit"


def audit_folder(settings: Settings) -> Path:
    """Return the folder of a server's log."""
    return settings.audit_folder or settings.data / AUDIT_FOLDER


def worker_folder(settings: Settings, number: int) -> Path:
    """Return the folder of a worker's log: each has a chain of its own, which its successor goes on with."""
    return audit_folder(settings) / f"worker-{number}"


def open_log(settings: Settings, cipher: AnyCipher, *, alone: bool, **options: Any) -> AuditLog | None:  # noqa: ANN401
    """Open the log of who alone has the data folder; None when the settings want none.

    `alone`: whether all changes of the gallery are this process's own, too; `options`: of AuditLog. Raises
    StartupError when the log can't be written or the database not be used.
    """
    return _open(settings, cipher, audit_folder(settings), alone=alone, **options) if settings.audit_log else None


def open_worker_log(settings: Settings, cipher: AnyCipher, revision: int, **options: Any) -> AuditLog | None:  # noqa: ANN401
    """Open the log of a worker, whose supervisor has compared the logs with the database. As `open_log`."""
    folder = audit_folder(settings)
    return _open(settings, cipher, folder, alone=False, revision=revision, **options) if settings.audit_log else None


def _open(settings: Settings, cipher: AnyCipher, folder: Path, **options: Any) -> AuditLog:  # noqa: ANN401 - AuditLog's
    unkeyed = _unkeyed(settings, cipher).get(log_name(folder), NOTHING)
    file_bytes = int(settings.audit_file_mb * 1e6)
    return AuditLog(folder, key=cipher.derive(PURPOSE), file_bytes=file_bytes, unkeyed=unkeyed, **options)


def _unkeyed(settings: Settings, cipher: AnyCipher) -> dict[str, Head]:
    """Return where in each log ends what is of before encryption; the first to ask finds it out, for good."""
    if not cipher.encrypts:
        return {}
    folder = audit_folder(settings)
    try:
        return from_text(kept_unkeyed_audit(settings.data, cipher, lambda: to_text(unkeyed_heads(folder))))
    except OSError as error:
        raise StartupError(f"audit folder {folder}: {error.strerror}") from error
    except (StoreUnavailable, DataDamaged, ValueError) as error:
        raise StartupError(f"data folder {settings.data}: since when the audit log has a key: {error}") from error


def compare(audit: AuditLog, settings: Settings, cipher: AnyCipher, revision: int) -> None:
    """Record what the logs lack of the changes up to the database's revision. For who alone has the data folder.

    Raises StartupError when the database lacks what the logs have, and that was not accepted, or a log can't be read.
    """
    known = audit.revision
    try:
        found = history(audit.folder, known)
        if revision < found.highest:
            _accept_older(audit, settings, cipher, revision, found.highest)
        elif known is None and revision:
            audit.note({"event": "begun", "revision": revision})
        elif known is not None and (missing := found.missing(known, revision)):
            audit.note({"event": "without_record", "revisions": missing})
    except OSError as error:
        raise StartupError(f"audit folder {audit.folder}: {error.strerror}") from error
    if settings.accept_older_database and revision >= found.highest:
        log.warning(
            "accept_older_database is set, and the database is not older than the audit log: take it away, or the next "
            "loss of changes is accepted too"
        )
    audit.checked(revision)


def _accept_older(audit: AuditLog, settings: Settings, cipher: AnyCipher, revision: int, recorded: int) -> None:
    """Go on with a database that lacks changes, if that is wanted: their revisions are given to others."""
    lacks = (
        f"data folder {settings.data}: the database ends with revision {revision}, and the audit log has records of "
        f"changes up to {recorded}: {recorded - revision} acknowledged changes are missing"
    )
    if not settings.accept_older_database:
        raise StartupError(
            f"{lacks}, as after a restore, or when the disk gives back other bytes than were written. Restore a backup "
            "that has them; or, knowing what is lost ('gerbang audit show'), start once with --accept-older-database"
        )
    log.critical("%s. That is accepted, as accept_older_database says: enrol and delete again who is missing", lacks)
    audit.note({"event": STORE_BEHIND, "revision": revision, "recorded": recorded})
    for each in _workers(audit.folder):
        # What it holds so far is of revisions that count no more.
        _open(settings, cipher, each, alone=False, revision=revision, anew=True).stop()


def note_others(audit: AuditLog) -> None:
    """Record in the server's log where those of workers and of commands end. While no worker runs.

    Raises StartupError.
    """
    try:
        # On disk first: what is said to be there must not be lost with the power.
        others = [each for each in chain_folders(audit.folder) if each != audit.folder and log_name(each)]
        ends = {each.name: last_line(log_files(each), sync=True) for each in others}
    except OSError as error:
        raise StartupError(f"audit folder {audit.folder}: {error.strerror}") from error
    heads = {name: str(line.head) for name, line in ends.items() if line is not None}
    if heads:
        audit.note({"event": WORKERS, "heads": heads})


def close_log(audit: AuditLog, settings: Settings, folder: DataFolder, *, orderly: bool) -> None:
    """Record the supervisor's stop, when all workers have ended, and close its log.

    `orderly`: whether none of them has died. Then all changes have records, and the next start need not look for them.
    """
    try:
        note_others(audit)
        if orderly and all(_stopped(worker_folder(settings, number)) for number in range(settings.workers)):
            audit.checked(folder.revision())
    except (GerbangError, OSError) as error:
        log.error("the audit log of the supervisor is closed without the ends of the workers' logs: %s", error)  # noqa: TRY400
    audit.note({"event": "stop"})
    audit.stop()


def _workers(folder: Path) -> list[Path]:
    return [each for each in chain_folders(folder) if each != folder and is_worker(each)]


def _stopped(folder: Path) -> bool:
    last = last_line(log_files(folder)) if folder.is_dir() else None
    record = {} if last is None else last.record()
    return record.get("event") == "stop" and not record.get("gave_up")


def note_start(audit: AuditLog, settings: Settings, **facts: Any) -> None:  # noqa: ANN401 - what JSON takes
    """Record that the server starts, with what matters of its settings; `facts`: what else is known of it."""
    tls = settings.tls_certificate is not None
    sealed = sealed_since(settings.data)
    audit.note(
        {
            "event": "start",
            "version": version("gerbang"),
            "process": os.getpid(),
            "workers": settings.workers,
            "listen": settings.listen,
            "token_listen": settings.token_listen,
            "insecure": settings.insecure,
            "tls": tls,
            "callers": _callers(settings),
            "encryption": settings.encryption,
            "sealed_since": None if sealed is None else rfc3339(sealed),
            "expired_kept_days": settings.expired_kept_days,
            "accept_older_database": settings.accept_older_database,
            "pack": settings.pack,
            "plan": settings.plan,
            "threshold": settings.threshold,
            "target_fpir": settings.target_fpir,
            "verification_threshold": settings.verification_threshold,
            **facts,
        }
    )


def _callers(settings: Settings) -> str:
    if settings.client_ca is not None:
        return "client certificates and tokens" if settings.token_listen else "client certificates"
    return "tokens" if settings.tls_certificate is not None else "anybody who can connect"
