"""Where an exception came from, without what it quotes."""

from __future__ import annotations

import traceback

from gerbang_service.domain.errors import GerbangError


def trail(error: BaseException) -> str:
    """Return the type and the frames of an exception, and of those that led to it.

    The text is in it only of the domain's own, which never hold a vector, an image or a label: all others may quote
    what they were given.
    """
    chain = [error]
    while (before := _before(chain[-1])) is not None and before not in chain:
        chain.append(before)
    return "after ".join(map(_described, chain)).rstrip("\n")


def _before(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _described(error: BaseException) -> str:
    text = f": {error}" if isinstance(error, GerbangError) else ""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__qualname__}{text}\n{frames}"
