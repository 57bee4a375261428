"""The base of all expected failures; see errors.py for their tree."""

from __future__ import annotations

from typing import ClassVar


class GerbangError(Exception):
    """Base of all expected failures.

    `reason` is the constant of the error table; `metadata` says what was measured, what the limit is, which id was
    meant: short strings that may be sent and logged.
    """

    reason: ClassVar[str] = ""

    def __init__(self, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.metadata: dict[str, str] = {key: str(value) for key, value in metadata.items()}
