"""The parts of the server, made from the settings: everything but gRPC."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gerbang_service.asking.asking import Asking, Lanes
from gerbang_service.asking.recall_check import RecallCheck
from gerbang_service.asking.revisions import Revisions
from gerbang_service.changing.writer import Writer
from gerbang_service.configuration.settings import NO_PACK, Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.domain.questions import Defaults, Plan
from gerbang_service.gallery.candidates.one_thread import search_alone
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.running.galleries import Inherited, fill, new_gallery, processors, warn_of_other_chains
from gerbang_service.running.threshold_watch import ThresholdWatch
from gerbang_service.store.sqlite.store import SqliteStore
from gerbang_service.store.sqlite.vault import key_for
from gerbang_service.telemetry.meter import UNMETERED, Meter
from gerbang_service.threads.admission import Admission
from gerbang_service.threads.batcher import Batcher
from gerbang_service.threads.pool import Pool

if TYPE_CHECKING:
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
    """What the rpc layer calls. `filled`: the gallery holds already what was stored when this process was forked.

    `chains`: of the templates that it then holds.
    """

    recogniser: Recogniser
    store: SqliteStore
    gallery: Gallery
    filled: bool
    asking: Asking
    revisions: Revisions
    writer: Writer
    queries: Pool
    images: Pool
    lanes: Lanes
    recall_check: RecallCheck
    meter: Meter
    start_time_ns: int
    chains: Collection[CaptureChain]
    thresholds: ThresholdWatch

    def load(self, check: Callable[[], None] = lambda: None) -> None:
        """Fill the gallery from the store, unless it was inherited, and start following it: see `fill`."""
        chains = self.chains if self.filled else fill(self.gallery, self.store, self.recogniser.model, check)
        warn_of_other_chains(chains, self.asking.chain)
        # First: when it can't catch up with what others wrote meanwhile, no thread must be left behind.
        self.writer.start()
        self.gallery.start()

    def stop(self, *, loaded: bool) -> None:
        """Write what was submitted, then end all threads and give the data folder back."""
        if loaded:
            self.writer.stop()
            self.gallery.stop()
        for each in (self.images, self.lanes.searches, self.lanes.exact, self.queries, self.recall_check):
            each.stop()
        self.store.close()


def build(
    settings: Settings,
    inherited: Inherited | None = None,
    *,
    on_failure: Callable[[], None],
    meter: Meter = UNMETERED,
) -> Parts:
    """Make the parts. Must run in the event loop that will use them. Raises StartupError.

    `inherited`: the gallery that this process was forked with, if it was. `on_failure` is called, in the event loop,
    when memory and disk differ and nothing may be answered any more.
    """
    start_time_ns = time.time_ns()
    key = key_for(settings.data, settings.key_file) if settings.encryption else None
    store = SqliteStore(settings.data, key, supervised=settings.workers > 1)
    try:
        recogniser = _recogniser(settings, store, meter)
        store.bind_model(recogniser.model, recogniser.dimension, ignore_others=settings.other_models == "ignore")
        gallery = _taken_over(inherited, recogniser)
        chains = inherited.chains if inherited else ()
        return _assemble(settings, store, recogniser, gallery, on_failure, start_time_ns, meter, chains)
    except BaseException:
        store.close()
        raise


def _recogniser(settings: Settings, store: SqliteStore, meter: Meter) -> Recogniser:
    if settings.pack == NO_PACK:
        model, dimension = store.model() or (settings.model or _UNNAMED_MODEL, settings.dimension)
        if settings.model and settings.model != model:
            raise StartupError(f"{store.folder} is of recogniser {model}, not of {settings.model}")
        if settings.dimension and settings.dimension != dimension:
            raise StartupError(f"data folder {store.folder} is of dimension {dimension}, not {settings.dimension}")
        if not dimension:
            raise StartupError("a new data folder without a face pack needs --dimension")
        return Recogniser(NO_PACK, model, dimension, _defaults(settings, model), None)
    # Imported here: it takes seconds, which a server of templates only does not owe.
    from gerbang_service.faces.decode import ImageLimits  # noqa: PLC0415
    from gerbang_service.faces.packs import open_pack  # noqa: PLC0415
    from gerbang_service.faces.pipeline import InsightFacePipeline  # noqa: PLC0415

    pack = open_pack(settings.pack, settings.det_size, settings.device, processors(settings))
    limits = ImageLimits(int(settings.max_image_mb * 1e6), int(settings.max_megapixels * 1e6))
    pipeline = InsightFacePipeline(pack, limits, meter)
    return Recogniser(pack.name, pack.fingerprint, pack.dimension, _defaults(settings, pack.fingerprint), pipeline)


def _defaults(settings: Settings, model: str) -> Defaults:
    from gerbang_service.faces.thresholds import thresholds_for  # noqa: PLC0415

    identification, verification = thresholds_for(None if model == _UNNAMED_MODEL else model, settings)
    return Defaults(identification, verification, Plan(settings.plan))


def _taken_over(inherited: Inherited | None, recogniser: Recogniser) -> Gallery | None:
    """Return the inherited gallery, if it holds this recogniser's templates."""
    if inherited is None:
        return None
    if (inherited.model, inherited.dimension) != (recogniser.model, recogniser.dimension):
        log.warning("this worker loads a gallery of its own: the one it was forked with is of %s", inherited.model)
        return None
    return inherited.gallery


def _assemble(
    settings: Settings,
    store: SqliteStore,
    recogniser: Recogniser,
    inherited: Gallery | None,
    on_failure: Callable[[], None],
    start_time_ns: int,
    meter: Meter,
    chains: Collection[CaptureChain],
) -> Parts:
    loop = asyncio.get_running_loop()
    quota = processors(settings)
    stored = store.template_count(recogniser.model)
    gallery = new_gallery(settings, recogniser.dimension, stored) if inherited is None else inherited
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

    thresholds = ThresholdWatch(gallery, recogniser.defaults.identification)

    def on_revision(revision: int) -> None:
        meter.revised(revision)
        thresholds.look()
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
        recogniser,
        store,
        gallery,
        inherited is not None,
        asking,
        revisions,
        writer,
        queries,
        images,
        lanes,
        recall_check,
        meter,
        start_time_ns,
        chains,
        thresholds,
    )
