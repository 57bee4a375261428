"""The gallery of a server: made from the settings, and filled with what is stored."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import DataDamaged, StartupError, StoreUnavailable
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.gallery.candidates.graph import GraphSettings
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions
from gerbang_service.store.port import Contents
from gerbang_service.threads.cpu_quota import cpu_quota

log = logging.getLogger(__name__)


class Source(Protocol):
    """What a gallery is filled from."""

    @property
    def folder(self) -> Path:
        """Where it is, for messages."""

    def contents(self, model: str) -> AbstractContextManager[Contents]:
        """Lend all that is stored, with the templates of a recogniser. Raises StoreUnavailable, DataDamaged."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """A filled gallery that a process was forked with. `model`, `dimension`, `chains`: of its templates then."""

    model: str
    dimension: int
    gallery: Gallery
    chains: Collection[CaptureChain]


def processors(settings: Settings) -> int:
    """Return how many processors one of the server's processes is to use, at least 1."""
    return max(1, cpu_quota() // settings.workers)


def new_gallery(settings: Settings, dimension: int, templates: int) -> Gallery:
    """Make an empty gallery. `dimension`: of its templates; `templates`: how many are stored."""
    options = GalleryOptions(
        settings.sketch_bits,
        settings.rescored,
        GraphSettings(
            settings.graph_m, settings.graph_ef_construction, settings.graph_ef, settings.graph_max_tombstones
        ),
        processors=processors(settings),
    )
    return Gallery(dimension, int(1.1 * templates), options)


def fill(
    gallery: Gallery, source: Source, model: str, check: Callable[[], None] = lambda: None
) -> Collection[CaptureChain]:
    """Fill a new gallery, and return by which chains its templates came; blocks, for seconds with a large one.

    `check` is called between batches, and ends the loading by raising. Raises StartupError when something stored is
    damaged: nobody is left out without a word.
    """
    started = time.monotonic()
    # What is loaded stays: a garbage collector that walks millions of subjects again and again would double the time of
    # loading and later stop the server for a second at a time.
    gc.disable()
    try:
        with source.contents(model) as contents:
            gallery.load(contents, check)
    except (StoreUnavailable, DataDamaged) as error:
        raise StartupError(f"{source.folder}: {error}; 'gerbang check' tells what else is") from error
    else:
        gc.freeze()
    finally:
        gc.enable()
    check()
    log.info("loaded %d templates in %.1f s", gallery.size, time.monotonic() - started)
    return contents.chains


def warn_of_other_chains(stored: Collection[CaptureChain], own: CaptureChain | None) -> None:
    """Say that templates came by another chain than this server's, None for one that takes no images."""
    others = sorted(str(each) for each in stored if each != own)
    if own is not None and others:
        log.warning(
            "templates are stored that were made with %s; this server makes them with %s. Similarities and thresholds "
            "were measured for one of them: enrol again, or measure with both",
            "; ".join(others),
            own,
        )
