"""What a committed write changed: what the store tells the gallery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.watchlists import Watchlist


@dataclass(frozen=True, slots=True)
class SubjectPut:
    """A subject is there now with exactly these templates.

    `added`: the vectors of those that are new, by template_id; float32, shape (dimension,), unit length.
    """

    revision: int
    subject: Subject
    added: Mapping[int, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class SubjectGone:
    """A subject was deleted with all its templates."""

    revision: int
    subject_id: str


@dataclass(frozen=True, slots=True)
class WatchlistPut:
    """A watchlist is there now with these values."""

    revision: int
    watchlist: Watchlist


@dataclass(frozen=True, slots=True)
class WatchlistGone:
    """A watchlist was deleted; its subjects left it."""

    revision: int
    watchlist_id: str


@dataclass(frozen=True, slots=True)
class ProposalsChanged:
    """A change was proposed, or a proposal is gone: nobody is found any more or less."""

    revision: int


Change = SubjectPut | SubjectGone | WatchlistPut | WatchlistGone | ProposalsChanged
