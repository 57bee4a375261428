"""The questions that callers ask: a sample in, a decision out. They change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gerbang_service.access.ids import new_uuid
from gerbang_service.asking.duplicates import DUPLICATES, Sought, best_of_all
from gerbang_service.asking.recall_check import RecallCheck
from gerbang_service.asking.revisions import Revisions
from gerbang_service.domain.decision import Candidate
from gerbang_service.domain.errors import NoFacePack, naming_the_sample
from gerbang_service.domain.faces import CaptureChain, DetectedFace, ExtractedFace
from gerbang_service.domain.questions import (
    Answer,
    Asked,
    Defaults,
    Everybody,
    Features,
    Identification,
    OnLists,
    Plan,
    Question,
    Search1N,
    Verification,
    Verify1,
)
from gerbang_service.domain.samples import ImageSample, Sample
from gerbang_service.domain.thresholds import Source, as_float32
from gerbang_service.faces.quality import PROBE, QualityLimits
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.telemetry.meter import EXTRACT, SEARCH, UNMETERED, Meter
from gerbang_service.threads.admission import Deadline
from gerbang_service.threads.batcher import Batcher
from gerbang_service.threads.pool import Pool

if TYPE_CHECKING:
    from gerbang_service.faces.port import FacePipeline


@dataclass(frozen=True, slots=True)
class Lanes:
    """Where searches are made. `exact` has a lane of its own: one of them takes as long as a thousand others."""

    searches: Batcher[Question, Asked]
    exact: Batcher[Question, Asked]

    def of(self, plan: Plan) -> Batcher[Question, Asked]:
        """Return the lane for a plan."""
        return self.exact if plan is Plan.EXACT else self.searches


class Asking:
    """Compares faces. Methods belong to the event loop; the work is done in threads."""

    def __init__(
        self,
        gallery: Gallery,
        pipeline: FacePipeline | None,
        revisions: Revisions,
        defaults: Defaults,
        *,
        images: Pool,
        lanes: Lanes,
        recall_check: RecallCheck,
        meter: Meter = UNMETERED,
    ) -> None:
        self._gallery = gallery
        self._pipeline = pipeline
        self._revisions = revisions
        self._defaults = defaults
        self._images = images
        self._lanes = lanes
        self._recall_check = recall_check
        self._meter = meter

    def lane(self) -> asyncio.Semaphore:
        """Return the lane for one call's images; see Pool.lane."""
        return self._images.lane()

    @property
    def chain(self) -> CaptureChain | None:
        """What images go through; None where none are taken."""
        return None if self._pipeline is None else self._pipeline.chain

    # --- one face ---------------------------------------------------------------------------------------------------

    async def features(
        self, sample: Sample, limits: QualityLimits, deadline: Deadline, lane: asyncio.Semaphore | None = None
    ) -> Features:
        """Reduce a sample to a template; raises what FacePipeline.extract raises, and NoFacePack."""
        if not isinstance(sample, ImageSample):
            return Features(sample.vector, None)
        extracted = await self._extract(sample, limits, deadline, lane)
        return Features(extracted.vector, extracted.face, self.chain)

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

    # --- 1:N --------------------------------------------------------------------------------------------------------

    async def identify(
        self, search: Search1N, deadline: Deadline, lane: asyncio.Semaphore | None = None, *, alone: bool = True
    ) -> Identification:
        """Search the watchlists for a probe. Raises what a question may be answered with.

        `alone`: the caller has nothing else under way on the same stream.
        """
        question, face = await self._question(search, deadline, lane)
        with self._meter.stage(SEARCH):
            (asked,) = await self._lanes.of(question.plan).run((question,), deadline, alone=alone)
        return self._identification(question, asked, face)

    async def identify_many(
        self, searches: Sequence[Search1N], deadline: Deadline, lane: asyncio.Semaphore | None = None
    ) -> list[Identification | Exception]:
        """Search for many probes at once; each is answered, or failed, by itself."""
        prepared = await self._questions(searches, deadline, lane)
        found: list[Identification | Exception] = [each for each in prepared if isinstance(each, Exception)]
        if len(found) == len(prepared):
            return found
        asked = await self._asked(
            {i: each[0] for i, each in enumerate(prepared) if not isinstance(each, Exception)}, deadline
        )
        return [
            each if isinstance(each, Exception) else self._or_error(*each, asked[i]) for i, each in enumerate(prepared)
        ]

    async def _asked(self, questions: Mapping[int, Question], deadline: Deadline) -> dict[int, Asked]:
        """Search for questions, at least one. What one lane refuses is refused for its questions only."""
        of_lane: dict[Batcher[Question, Asked], dict[int, Question]] = {}
        for i, question in questions.items():
            of_lane.setdefault(self._lanes.of(question.plan), {})[i] = question
        running = [lane.run(list(theirs.values()), deadline) for lane, theirs in of_lane.items()]
        asked: dict[int, Asked] = {}
        with self._meter.stage(SEARCH):
            for theirs, found in zip(
                of_lane.values(), await asyncio.gather(*running, return_exceptions=True), strict=True
            ):
                if isinstance(found, BaseException):
                    # Where there is but one lane, all of the call is refused: that is said of the call.
                    if len(of_lane) == 1 or not isinstance(found, Exception):
                        raise found
                    asked |= dict.fromkeys(theirs, found)
                else:
                    asked |= zip(theirs, found, strict=True)
        return asked

    async def _questions(
        self, searches: Sequence[Search1N], deadline: Deadline, lane: asyncio.Semaphore | None
    ) -> list[tuple[Question, DetectedFace | None] | Exception]:
        async def one(search: Search1N) -> tuple[Question, DetectedFace | None] | Exception:
            try:
                return await self._question(search, deadline, lane)
            except Exception as error:  # noqa: BLE001 - the item's own
                return error

        # A task a search only where one may have to wait: for its image, or for a revision.
        if any(isinstance(each.probe, ImageSample) or each.min_revision for each in searches):
            return list(await asyncio.gather(*map(one, searches)))
        return [await one(each) for each in searches]

    async def _question(
        self, search: Search1N, deadline: Deadline, lane: asyncio.Semaphore | None
    ) -> tuple[Question, DetectedFace | None]:
        features = await self.features(search.probe, PROBE, deadline, lane)
        if search.min_revision:
            await self._revisions.reached(search.min_revision, deadline)
        among = OnLists(
            self._defaults.identification,
            search.watchlists,
            search.direction,
            search.threshold,
            search.never_below_own,
        )
        plan = search.plan or self._defaults.plan
        question = Question(features.vector, among, search.max_candidates, plan, answer_by=deadline.at)
        return question, features.face

    def _identification(self, question: Question, asked: Asked, face: DetectedFace | None) -> Identification:
        if not isinstance(asked, Answer):
            raise asked
        self._recall_check.consider(question, asked)
        top = asked.top_similarity
        return Identification(asked, face, new_uuid(), None if top is None else self._defaults.fmr_at(top))

    def _or_error(self, question: Question, face: DetectedFace | None, asked: Asked) -> Identification | Exception:
        return self._identification(question, asked, face) if isinstance(asked, Answer) else asked

    async def duplicates(self, sought: Sequence[Sought]) -> list[list[Candidate] | Exception]:
        """Return for each other subjects with these faces, on a list or not, best first: a hint at double enrolment.

        All are looked for at once, and each is answered, or failed, by itself. Raises what refuses all.
        """
        among = {each: Everybody(self._defaults.identification, each) for each in {s.seen_by for s in sought}}
        # The sweep looks at everyone; what the graph would add is not worth its time in a bulk enrolment.
        questions = [
            Question(
                vector,
                among[each.seen_by],
                DUPLICATES,
                Plan.SWEEP,
                answer_by=each.deadline.at,
                besides=each.subject_id,
            )
            for each in sought
            for vector in each.vectors
        ]
        deadline = max((each.deadline for each in sought), key=lambda each: each.at)
        with self._meter.stage(SEARCH):
            answers = iter(await self._lanes.searches.run(questions, deadline))
        return [best_of_all([next(answers) for _ in each.vectors]) for each in sought]

    # --- 1:1 --------------------------------------------------------------------------------------------------------

    async def verify(self, wanted: Verify1, deadline: Deadline) -> Verification:
        """Compare a probe with an enrolled subject or with another sample.

        Raises SubjectNotFound, also for a subject that the caller does not see, SubjectHasNoTemplate, and
        RevisionNotReached.
        """
        if isinstance(wanted.reference, str):
            features = await self._named("probe", wanted.probe, deadline)
            await self._revisions.reached(wanted.min_revision, deadline)
            # A dot product with each of a few templates: less work than handing it to a thread.
            found = self._gallery.compare(features.vector, wanted.reference, wanted.seen_by)
            return self._verification(
                wanted, found.similarity, (features, None), template_id=found.template_id, revision=found.revision
            )
        features, other = await asyncio.gather(
            self._named("probe", wanted.probe, deadline), self._named("sample", wanted.reference, deadline)
        )
        return self._verification(wanted, _cosine(features.vector, other.vector), (features, other))

    async def _named(self, field: str, sample: Sample, deadline: Deadline) -> Features:
        """Reduce one of two samples; a refusal names its field: the officer must know which photo to take again."""
        with naming_the_sample(field):
            return await self.features(sample, PROBE, deadline)

    def _verification(
        self,
        wanted: Verify1,
        similarity: float,
        features: tuple[Features, Features | None],
        template_id: int | None = None,
        revision: int | None = None,
    ) -> Verification:
        defaults = self._defaults
        basis = defaults.verification
        if wanted.threshold is not None:
            basis = defaults.identification.at(wanted.threshold, Source.REQUEST)
        probe, reference = (each.face if each else None for each in features)
        return Verification(
            similarity >= basis.cosine,
            similarity,
            basis,
            template_id,
            probe,
            reference,
            revision,
            defaults.fmr_at(similarity),
        )


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    product = float(one.astype(np.float64) @ other.astype(np.float64))
    return as_float32(min(1.0, max(-1.0, product)))
