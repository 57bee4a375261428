"""That a server which had started had to stop."""

from __future__ import annotations

from gerbang_service.domain.errors import StartupError


class Failed(StartupError):
    """The server had started, and had to stop; it may be started again."""
