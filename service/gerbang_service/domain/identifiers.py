"""Limits on what callers may name and attach, and the checks of them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from gerbang_service.domain.errors import FieldInvalid

MAX_LABELS = 32
MAX_LABEL_CHARACTERS = 256
MAX_TITLE_CHARACTERS = 256
MAX_NOTE_CHARACTERS = 256
MAX_WATCHLISTS_PER_SUBJECT = 64
MAX_TARGET_FPIR = 0.5

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def check_id(field: str, value: str) -> str:
    """Return `value` if it is a well-formed id (1 to 128 of `[A-Za-z0-9._:-]`), else raise FieldInvalid."""
    if not _ID.fullmatch(value):
        raise FieldInvalid(field, "must be 1 to 128 characters of [A-Za-z0-9._:-]", length=len(value))
    return value


def check_request_id(value: str) -> str:
    """Return the canonical form of a UUID, or "" for none; raise FieldInvalid for anything else."""
    if not value:
        return ""
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise FieldInvalid("request_id", "must be a UUID or empty") from None


def check_labels(field: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of `labels` if it is within the limits, else raise FieldInvalid (without their text)."""
    if len(labels) > MAX_LABELS:
        raise FieldInvalid(field, f"at most {MAX_LABELS} labels", count=len(labels))
    for key, value in labels.items():
        if not key:
            raise FieldInvalid(field, "a label's key must not be empty")
        longest = max(len(key), len(value))
        if longest > MAX_LABEL_CHARACTERS:
            raise FieldInvalid(field, f"a label has at most {MAX_LABEL_CHARACTERS} characters", length=longest)
    return dict(labels)


def check_title(field: str, title: str) -> str:
    """Return `title` if it is short enough, else raise FieldInvalid."""
    if len(title) > MAX_TITLE_CHARACTERS:
        raise FieldInvalid(field, f"at most {MAX_TITLE_CHARACTERS} characters", length=len(title))
    return title


def check_note(field: str, note: str) -> str:
    """Return `note` if it is short enough, else raise FieldInvalid."""
    if len(note) > MAX_NOTE_CHARACTERS:
        raise FieldInvalid(field, f"at most {MAX_NOTE_CHARACTERS} characters", length=len(note))
    return note


def check_threshold(field: str, threshold: float) -> float:
    """Return `threshold` if it is a cosine similarity (-1 to 1), else raise FieldInvalid."""
    if not -1.0 <= threshold <= 1.0:  # also refuses NaN
        raise FieldInvalid(field, "must be between -1 and 1", value=threshold)
    return threshold


def check_target_fpir(field: str, target: float) -> float:
    """Return `target` if it is a share of strangers that a list may stop (above 0, at most 0.5), else FieldInvalid."""
    if not 0.0 < target <= MAX_TARGET_FPIR:  # also refuses NaN
        raise FieldInvalid(field, f"must be above 0 and at most {MAX_TARGET_FPIR}", value=target)
    return target
