"""Page tokens: opaque to clients, so that paging may change without them noticing."""

from __future__ import annotations

import base64
import binascii

from gerbang_service.domain.errors import FieldInvalid


def page_token(last_subject_id: str) -> str:
    """Return the token of the page after the one that ends with this subject."""
    return base64.urlsafe_b64encode(last_subject_id.encode()).decode()


def token_subject(token: str) -> str:
    """Return the subject id that a token stands for, "" for the first page; raise FieldInvalid for a made-up one."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise FieldInvalid("page_token", "is not a token of this server's") from None
