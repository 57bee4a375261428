"""The audit log of a server or a supervisor: opened by its settings, and told how it begins and ends."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gerbang_service.audit.chain import PURPOSE
from gerbang_service.audit.log import AuditLog
from gerbang_service.audit.revisions import without_record
from gerbang_service.domain.errors import StartupError
from gerbang_service.settings import Settings
from gerbang_service.store.cipher import AnyCipher

AUDIT_FOLDER = "audit"


def audit_folder(settings: Settings) -> Path:
    """Return the folder of a server's log."""
    return settings.audit_folder or settings.data / AUDIT_FOLDER


def worker_folder(settings: Settings, number: int) -> Path:
    """Return the folder of a worker's log: each has a chain of its own, which its successor goes on with."""
    return audit_folder(settings) / f"worker-{number}"


def open_log(settings: Settings, cipher: AnyCipher, *, alone: bool) -> AuditLog | None:
    """Open the log, or return None when the settings want none; raise StartupError when it can't be written.

    `alone`: whether all changes of the gallery are this process's own.
    """
    if not settings.audit_log:
        return None
    key = cipher.derive(PURPOSE)
    file_bytes = int(settings.audit_file_mb * 1e6)
    return AuditLog(audit_folder(settings), key=key, file_bytes=file_bytes, alone=alone)


def compare(audit: AuditLog, revision: int) -> None:
    """Record what the log lacks of the changes up to the store's revision. For who alone has the data folder.

    Raises StartupError when the log can't be read.
    """
    known = audit.revision
    if known is None and revision:
        audit.note({"event": "begun", "revision": revision})
    elif known is not None and revision < known:
        audit.note({"event": "store_behind", "revision": revision, "recorded": known})
    elif known is not None:
        try:
            missing = without_record(audit.folder, known, revision)
        except OSError as error:
            raise StartupError(f"audit folder {audit.folder}: {error.strerror}") from error
        if missing:
            audit.note({"event": "without_record", "revisions": missing})
    audit.checked(revision)


def note_start(audit: AuditLog, settings: Settings, **facts: Any) -> None:  # noqa: ANN401 - what JSON takes
    """Record that the server starts, with what matters of its settings; `facts`: what else is known of it."""
    tls = settings.tls_certificate is not None
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
            "pack": settings.pack,
            "plan": settings.plan,
            "threshold": settings.threshold,
            "verification_threshold": settings.verification_threshold,
            **facts,
        }
    )


def _callers(settings: Settings) -> str:
    if settings.client_ca is not None:
        return "client certificates and tokens" if settings.token_listen else "client certificates"
    return "tokens" if settings.tls_certificate is not None else "anybody who can connect"
