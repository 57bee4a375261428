"""The comparisons: probe in, decision out. What the rpc layer calls, and the only place that knows all stages."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gerbang_service.asking.recall_check import RecallCheck
from gerbang_service.asking.revisions import Revisions
from gerbang_service.domain.comparisons import Defaults, Features, Identification, Search1N, Verification
from gerbang_service.domain.decision import Candidate, Comparison, Thresholds, as_float32, decide
from gerbang_service.domain.errors import NoFacePack
from gerbang_service.domain.faces import DetectedFace, ExtractedFace
from gerbang_service.domain.samples import ImageSample, Sample
from gerbang_service.domain.watchlists import Direction, Watchlist
from gerbang_service.faces.quality import PROBE, QualityLimits
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.search import Plan, Query
from gerbang_service.gallery.selection import Filter
from gerbang_service.telemetry.meter import EXTRACT, SEARCH, UNMETERED, Meter
from gerbang_service.threads.admission import Deadline
from gerbang_service.threads.batcher import Batcher
from gerbang_service.threads.pool import Pool

if TYPE_CHECKING:
    from gerbang_service.faces.port import FacePipeline

# An answer from a later revision is waited for no longer than this, whatever the call's deadline.
_REVISION_WAIT_S = 5.0
# Of the time that a call has left, this share may go into waiting, so that the answer still arrives.
_REVISION_WAIT_SHARE = 0.9
_DUPLICATES = 5
# Scopes remembered; an airport asks in a handful of ways.
_SCOPES = 256


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a search looks and what it takes for a hit. `lists`: as in Filter."""

    lists: NDArray[np.uint64]
    thresholds: Thresholds
    watchlists: Mapping[str, Watchlist]

    def decide(self, comparison: Comparison) -> Candidate | None:
        """Decide whether a compared subject is a candidate."""
        return decide(comparison, self.thresholds, self.watchlists)


def _all_are_seen(_: Sequence[str]) -> bool:
    return True


class Matching:
    """Compares faces. Methods belong to the event loop; the work is done in threads."""

    def __init__(
        self,
        gallery: Gallery,
        pipeline: FacePipeline | None,
        revisions: Revisions,
        defaults: Defaults,
        *,
        images: Pool,
        searches: Batcher,
        recall_check: RecallCheck,
        meter: Meter = UNMETERED,
    ) -> None:
        self._gallery = gallery
        self._pipeline = pipeline
        self._revisions = revisions
        self._defaults = defaults
        self._images = images
        self._searches = searches
        self._recall_check = recall_check
        self._meter = meter
        self._scopes: dict[tuple[tuple[str, ...], Direction, float | None], Scope] = {}
        self._scopes_of: Mapping[str, Watchlist] = {}

    def lane(self) -> asyncio.Semaphore:
        """Return the lane for one call's images; see Pool.lane."""
        return self._images.lane()

    async def features(
        self, sample: Sample, limits: QualityLimits, deadline: Deadline, lane: asyncio.Semaphore | None = None
    ) -> Features:
        """Reduce a sample to a template; raises what FacePipeline.extract raises, and NoFacePack."""
        if not isinstance(sample, ImageSample):
            return Features(sample.vector, None)
        extracted = await self._extract(sample, limits, deadline, lane)
        return Features(extracted.vector, extracted.face)

    async def extract(self, image: ImageSample, deadline: Deadline) -> ExtractedFace:
        """Make a template of a traveller's image."""
        return await self._extract(image, PROBE, deadline)

    async def _extract(
        self, image: ImageSample, limits: QualityLimits, deadline: Deadline, lane: asyncio.Semaphore | None = None
    ) -> ExtractedFace:
        if self._pipeline is None:
            raise NoFacePack("this server has no face pack: send a template instead of an image")
        work = partial(self._pipeline.extract, image.data, image.choice, limits, deadline.check)
        with self._meter.stage(EXTRACT):
            return await self._images.run(work, deadline, lane)

    async def identify(
        self, search: Search1N, deadline: Deadline, lane: asyncio.Semaphore | None = None
    ) -> Identification:
        """Search the watchlists for a probe."""
        prepared = await self._prepare(search, deadline, lane)
        revision, size = self._gallery.revision, self._gallery.size
        with self._meter.stage(SEARCH):
            (candidates,) = await self._searches.run((prepared.query,), deadline)
        return self._identification(prepared, candidates, revision, size)

    async def identify_many(
        self, searches: Sequence[Search1N], deadline: Deadline, lane: asyncio.Semaphore | None = None
    ) -> list[Identification | Exception]:
        """Search for many probes at once; each is answered, or failed, by itself."""
        prepared = await self._prepare_many(searches, deadline, lane)
        queries = [each.query for each in prepared if isinstance(each, _Prepared)]
        revision, size = self._gallery.revision, self._gallery.size
        with self._meter.stage(SEARCH):
            found = iter(await self._searches.run(queries, deadline))
        return [
            self._identification(each, next(found), revision, size) if isinstance(each, _Prepared) else each
            for each in prepared
        ]

    def _identification(
        self, prepared: _Prepared, candidates: list[Candidate], revision: int, size: int
    ) -> Identification:
        query = prepared.query
        self._recall_check.consider(query, candidates, revision)
        return Identification(candidates, prepared.threshold, prepared.face, query.plan, size, revision)

    async def _prepare_many(
        self, searches: Sequence[Search1N], deadline: Deadline, lane: asyncio.Semaphore | None
    ) -> list[_Prepared | Exception]:
        async def one(search: Search1N) -> _Prepared | Exception:
            try:
                return await self._prepare(search, deadline, lane)
            except Exception as error:  # noqa: BLE001 - the item's own
                return error

        # A task a search only where one may have to wait: for its image, or for a revision.
        if any(isinstance(each.probe, ImageSample) or each.min_revision for each in searches):
            return list(await asyncio.gather(*map(one, searches)))
        return [await one(each) for each in searches]

    async def _prepare(self, search: Search1N, deadline: Deadline, lane: asyncio.Semaphore | None) -> _Prepared:
        features = await self.features(search.probe, PROBE, deadline, lane)
        if search.min_revision > 0:
            wait = min(_REVISION_WAIT_S, _REVISION_WAIT_SHARE * deadline.remaining_s)
            await self._revisions.reach(search.min_revision, wait)
        scope = self._scope(search)
        query = Query(
            probe=features.vector,
            plan=search.plan or self._defaults.plan,
            filter=Filter(scope.lists, time.time_ns()),
            floor=scope.thresholds.floor,
            limit=search.max_candidates,
            accept=scope.decide,
        )
        return _Prepared(query, scope.thresholds.default, features.face)

    def lowest_threshold(self, search: Search1N) -> float:
        """Return the lowest threshold in force in the lists of a search, whatever it asks for itself.

        Raises WatchlistNotFound.
        """
        return self._scope(dataclasses.replace(search, threshold=None)).thresholds.floor

    def _scope(self, search: Search1N) -> Scope:
        """Return what the search's lists, direction and threshold come to. Gates ask the same again and again."""
        watchlists = self._gallery.watchlists
        if self._scopes_of is not watchlists or len(self._scopes) >= _SCOPES:
            self._scopes_of, self._scopes = watchlists, {}
        key = (search.watchlists, search.direction, search.threshold)
        scope = self._scopes.get(key)
        if scope is None:
            lists = self._gallery.lists_for(search.watchlists, search.direction)
            thresholds = Thresholds.of(lists, server=self._defaults.identification_threshold, request=search.threshold)
            scope = self._scopes[key] = Scope(
                self._gallery.list_bits(lists), thresholds, {each.watchlist_id: each for each in lists}
            )
        return scope

    async def duplicates(
        self,
        vectors: Sequence[NDArray[np.float32]],
        subject_id: str,
        deadline: Deadline,
        sees: Callable[[Sequence[str]], bool] = _all_are_seen,
    ) -> list[Candidate]:
        """Return other subjects with this face, on a list or not, best first: a hint at double enrolment.

        `sees` tells of a subject's lists whether the caller sees it.
        """
        threshold = as_float32(self._defaults.identification_threshold)

        def accept(comparison: Comparison) -> Candidate | None:
            if comparison.subject_id == subject_id or not sees(comparison.watchlists):
                return None
            return Candidate(comparison.subject_id, comparison.similarity, threshold, comparison.template_id)

        # The sweep looks at everyone; what the graph would add is not worth its time in a bulk enrolment.
        queries = [Query(vector, Plan.SWEEP, Filter(None, 0), threshold, _DUPLICATES, accept) for vector in vectors]
        best: dict[str, Candidate] = {}
        with self._meter.stage(SEARCH):
            searched = await self._searches.run(queries, deadline)
        for found in searched:
            for each in found:
                known = best.get(each.subject_id)
                if known is None or each.similarity > known.similarity:
                    best[each.subject_id] = each
        return sorted(best.values(), key=lambda each: (-each.similarity, each.subject_id))[:_DUPLICATES]

    async def verify(
        self,
        probe: Sample,
        reference: Sample | str,
        threshold: float | None,
        deadline: Deadline,
        sees: Callable[[Sequence[str]], bool] = _all_are_seen,
    ) -> Verification:
        """Compare a probe with an enrolled subject (an id) or with another sample.

        `sees` tells of a subject's lists whether the caller sees it; one that it does not is SubjectNotFound.
        """
        if isinstance(reference, str):
            features = await self.features(probe, PROBE, deadline)
            # A dot product with each of a few templates: less work than handing it to a thread.
            similarity, template_id = self._gallery.compare(features.vector, reference, sees)
            return self._decision(similarity, threshold, template_id, features.face, None)
        features, other = await asyncio.gather(
            self.features(probe, PROBE, deadline), self.features(reference, PROBE, deadline)
        )
        similarity = _cosine(features.vector, other.vector)
        return self._decision(similarity, threshold, None, features.face, other.face)

    def _decision(
        self,
        similarity: float,
        threshold: float | None,
        template_id: int | None,
        probe_face: DetectedFace | None,
        reference_face: DetectedFace | None,
    ) -> Verification:
        limit = as_float32(self._defaults.verification_threshold if threshold is None else threshold)
        return Verification(similarity >= limit, similarity, limit, template_id, probe_face, reference_face)


@dataclass(frozen=True, slots=True)
class _Prepared:
    query: Query
    threshold: float
    face: DetectedFace | None


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    product = float(one.astype(np.float64) @ other.astype(np.float64))
    return as_float32(min(1.0, max(-1.0, product)))
