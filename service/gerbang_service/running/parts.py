"""The parts of the server, made from the settings: everything but gRPC."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gerbang_service.asking.asking import Asking, Lanes
from gerbang_service.asking.recall_check import RecallCheck
from gerbang_service.asking.revisions import Revisions
from gerbang_service.changing.writer import Writer
from gerbang_service.configuration.settings import NO_PACK, Settings
from gerbang_service.domain.errors import DataDamaged, StartupError, StoreUnavailable
from gerbang_service.domain.questions import Defaults, Plan
from gerbang_service.gallery.candidates.graph import GraphSettings
from gerbang_service.gallery.candidates.one_thread import search_alone
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions
from gerbang_service.store.sqlite.store import SqliteStore
from gerbang_service.store.sqlite.vault import key_for
from gerbang_service.telemetry.meter import UNMETERED, Meter
from gerbang_service.threads.admission import Admission
from gerbang_service.threads.batcher import Batcher
from gerbang_service.threads.cpu_quota import cpu_quota
from gerbang_service.threads.pool import Pool

if TYPE_CHECKING:
    from gerbang_service.faces.packs import FacePack
    from gerbang_service.faces.port import FacePipeline

log = logging.getLogger(__name__)

# Queries of what is stored are short; two threads keep a slow one from holding up the others.
_QUERY_THREADS = 2
_MAX_PENDING_QUERIES = 256
# Searches by exact comparison take a tenth of a second each among a million: who waits for more has given up.
_MAX_PENDING_EXACT = 256
_UNNAMED_MODEL = "unspecified"


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Whose templates the server compares. `pipeline` is None for a server of templates only."""

    pack: str
    model: str
    dimension: int
    defaults: Defaults
    pipeline: FacePipeline | None


@dataclass(frozen=True, slots=True)
class Parts:
    """What the rpc layer calls."""

    recogniser: Recogniser
    store: SqliteStore
    gallery: Gallery
    asking: Asking
    revisions: Revisions
    writer: Writer
    queries: Pool
    images: Pool
    lanes: Lanes
    recall_check: RecallCheck
    start_time_ns: int

    def load(self, check: Callable[[], None] = lambda: None) -> None:
        """Fill the gallery from the store and start following it; blocks, for seconds with a large gallery.

        `check` is called between batches, and ends the loading by raising. Raises StartupError when something stored is
        damaged: nobody is left out without a word.
        """
        started = time.monotonic()
        model = self.recogniser.model
        # What is loaded stays: a garbage collector that walks millions of subjects again and again would double the
        # time of loading and later stop the server for a second at a time.
        gc.disable()
        try:
            with self.store.contents(model) as contents:
                self.gallery.load(contents, check)
        except (StoreUnavailable, DataDamaged) as error:
            raise StartupError(f"{self.store.folder}: {error}; 'gerbang check' tells what else is") from error
        else:
            gc.freeze()
        finally:
            gc.enable()
        check()
        # First: when it can't catch up with what others wrote meanwhile, no thread must be left behind.
        self.writer.start()
        self.gallery.start()
        log.info("loaded %d templates in %.1f s", self.gallery.size, time.monotonic() - started)

    def stop(self, *, loaded: bool) -> None:
        """Write what was submitted, then end all threads and give the data folder back."""
        if loaded:
            self.writer.stop()
            self.gallery.stop()
        for each in (self.images, self.lanes.searches, self.lanes.exact, self.queries, self.recall_check):
            each.stop()
        self.store.close()


def build(settings: Settings, *, on_failure: Callable[[], None], meter: Meter = UNMETERED) -> Parts:
    """Make the parts. Must run in the event loop that will use them. Raises StartupError.

    `on_failure` is called, in the event loop, when memory and disk differ and nothing may be answered any more.
    """
    start_time_ns = time.time_ns()
    key = key_for(settings.data, settings.key_file) if settings.encryption else None
    store = SqliteStore(settings.data, key, supervised=settings.workers > 1)
    try:
        recogniser = _recogniser(settings, store, meter)
        store.bind_model(recogniser.model, recogniser.dimension, ignore_others=settings.other_models == "ignore")
        return _assemble(settings, store, recogniser, on_failure, start_time_ns, meter)
    except BaseException:
        store.close()
        raise


def _recogniser(settings: Settings, store: SqliteStore, meter: Meter) -> Recogniser:
    if settings.pack == NO_PACK:
        model, dimension = store.model() or (settings.model or _UNNAMED_MODEL, settings.dimension)
        if settings.model and settings.model != model:
            raise StartupError(f"{store.folder} is of recogniser {model}, not of {settings.model}")
        if settings.dimension and settings.dimension != dimension:
            raise StartupError(f"{store.folder} is of dimension {dimension}, not {settings.dimension}")
        if not dimension:
            raise StartupError("a new data folder without a face pack needs --dimension")
        return Recogniser(NO_PACK, model, dimension, _defaults(settings, None), None)
    # Imported here: it takes seconds, which a server of templates only does not owe.
    from gerbang_service.faces.decode import ImageLimits  # noqa: PLC0415
    from gerbang_service.faces.packs import open_pack  # noqa: PLC0415
    from gerbang_service.faces.pipeline import InsightFacePipeline  # noqa: PLC0415

    pack = open_pack(settings.pack, settings.det_size, settings.device, max(1, cpu_quota() // settings.workers))
    limits = ImageLimits(int(settings.max_image_mb * 1e6), int(settings.max_megapixels * 1e6))
    pipeline = InsightFacePipeline(pack, limits, meter)
    return Recogniser(pack.name, pack.fingerprint, pack.dimension, _defaults(settings, pack), pipeline)


def _defaults(settings: Settings, pack: FacePack | None) -> Defaults:
    from gerbang_service.faces.thresholds import thresholds_for  # noqa: PLC0415

    identification, verification = thresholds_for(pack, settings)
    return Defaults(identification, verification, Plan(settings.plan))


def _assemble(
    settings: Settings,
    store: SqliteStore,
    recogniser: Recogniser,
    on_failure: Callable[[], None],
    start_time_ns: int,
    meter: Meter,
) -> Parts:
    loop = asyncio.get_running_loop()
    quota = max(1, cpu_quota() // settings.workers)
    capacity = int(1.1 * store.template_count(recogniser.model))
    options = GalleryOptions(
        settings.sketch_bits,
        settings.rescored,
        GraphSettings(
            settings.graph_m, settings.graph_ef_construction, settings.graph_ef, settings.graph_max_tombstones
        ),
        processors=quota,
    )
    gallery = Gallery(recogniser.dimension, capacity, options)
    revisions = Revisions(0, on_wait=lambda: writer.look())  # noqa: PLW0108 - made below
    images = Pool(settings.image_workers or quota, Admission("images", settings.max_pending_images), "image")
    lanes = Lanes(
        Batcher(
            gallery.search,
            settings.search_workers or max(1, quota // 2),
            Admission("searches", settings.max_pending_searches),
            meter,
            on_start=search_alone,
            at_once=gallery.at_once,
        ),
        Batcher(
            gallery.search,
            1,
            Admission("exact searches", _MAX_PENDING_EXACT),
            meter,
            on_start=search_alone,
            name="exact",
        ),
    )
    recall_check = RecallCheck(gallery, settings.recall_check_every)
    asking = Asking(
        gallery,
        recogniser.pipeline,
        revisions,
        recogniser.defaults,
        images=images,
        lanes=lanes,
        recall_check=recall_check,
        meter=meter,
    )

    def on_revision(revision: int) -> None:
        meter.revised(revision)
        loop.call_soon_threadsafe(revisions.advance, revision)

    writer = Writer(
        store,
        gallery,
        max_pending=settings.max_pending_writes,
        follows=settings.workers > 1,
        answers_kept_s=settings.request_ids_kept_days * 86400,
        on_revision=on_revision,
        on_failure=lambda: loop.call_soon_threadsafe(on_failure),
        meter=meter,
    )
    queries = Pool(_QUERY_THREADS, Admission("queries", _MAX_PENDING_QUERIES), "query")
    return Parts(
        recogniser, store, gallery, asking, revisions, writer, queries, images, lanes, recall_check, start_time_ns
    )
