"""Page tokens: opaque to clients, so that paging may change without them noticing."""

from __future__ import annotations

import base64

from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.identifiers import check_id

# In base64 the longest id has 172 characters.
_LONGEST = 300


def page_token(last_id: str) -> str:
    """Return the token of the page after the one that ends with this subject, or this list."""
    return base64.urlsafe_b64encode(last_id.encode()).decode()


def token_id(token: str) -> str:
    """Return the id that a token stands for, "" for the first page; raise FieldInvalid for a made-up one."""
    if not token:
        return ""
    if len(token) > _LONGEST:
        raise FieldInvalid("page_token", f"is longer than {_LONGEST} characters, as none of this server's is")
    try:
        return check_id("page_token", base64.b64decode(token, altchars=b"-_", validate=True).decode())
    except (FieldInvalid, ValueError):  # of base64 and of UTF-8 too
        raise FieldInvalid("page_token", "is not a token of this server's") from None
