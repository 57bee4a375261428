"""Requests of MatchingService -> the domain's types; every field is checked here, and nowhere else."""

from __future__ import annotations

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import sample_pb2
from gerbang_service.access import bounds
from gerbang_service.access.identity import Identity
from gerbang_service.changing.enrolment import REJECTIONS, Enrolment, Rejection
from gerbang_service.changing.storing import OnExisting
from gerbang_service.domain.decision import DEFAULT_CANDIDATES, MAX_CANDIDATES
from gerbang_service.domain.errors import FieldInvalid, naming_the_sample
from gerbang_service.domain.faces import FaceChoice
from gerbang_service.domain.identifiers import check_id, check_request_id, check_threshold
from gerbang_service.domain.questions import Search1N, Verify1
from gerbang_service.domain.samples import ImageSample, Sample, TemplateSample, UncheckedTemplate
from gerbang_service.domain.templates import check_length, check_model, unit_vector
from gerbang_service.rpc.digests import RequestContent
from gerbang_service.rpc.enums import CHOICES, DIRECTIONS, ON_EXISTING, chosen_plan, word
from gerbang_service.rpc.fields import lists, revision, subject

MAX_SAMPLES = 20
MAX_BATCH = 256


class Parser:
    """Reads requests for a server whose templates have this recogniser fingerprint and dimension."""

    def __init__(self, model: str, dimension: int) -> None:
        self.model = model
        self._dimension = dimension

    def sample(self, field: str, sample: sample_pb2.Sample, default: FaceChoice) -> Sample:
        """Read a Sample. Raises FieldInvalid, TemplateInvalid, ModelMismatch."""
        content = sample.WhichOneof("content")
        if content == "image":
            return self.image(f"{field}.", sample.image, sample.face_choice, default)
        if content == "template":
            with naming_the_sample(field):
                check_model(sample.template.model, self.model)
                return TemplateSample(unit_vector(sample.template.vector, self._dimension))
        raise _nothing(field)

    def image(self, field: str, data: bytes, face_choice: int, default: FaceChoice) -> ImageSample:
        """Read an image and which face of it is meant. `field`: path of the message around it, with a dot, or ""."""
        if face_choice == sample_pb2.FACE_CHOICE_UNSPECIFIED:
            return ImageSample(data, default)
        return ImageSample(data, word(f"{field}face_choice", face_choice, CHOICES))

    def search(self, request: pb.IdentifyRequest, caller: Identity) -> Search1N:
        """Read an IdentifyRequest, within what the caller is bound to. Raises WatchlistDenied besides."""
        if not 0 <= request.max_candidates <= MAX_CANDIDATES:
            raise FieldInvalid("max_candidates", f"must be 0 to {MAX_CANDIDATES}", value=request.max_candidates)
        named = tuple(dict.fromkeys(lists("watchlists", request.watchlists)))
        return Search1N(
            probe=self.sample("probe", request.probe, FaceChoice.LARGEST),
            watchlists=named if caller.watchlists is None else bounds.searched(caller, named),
            direction=word("direction", request.direction, DIRECTIONS),
            max_candidates=request.max_candidates or DEFAULT_CANDIDATES,
            threshold=_threshold(request),
            plan=chosen_plan(request.plan),
            min_revision=revision("min_revision", request.min_revision),
            never_below_own=not caller.lowers_thresholds,
        )

    def verification(self, request: pb.VerifyRequest, caller: Identity) -> Verify1:
        """Read a VerifyRequest, within what the caller is bound to."""
        probe = self.sample("probe", request.probe, FaceChoice.LARGEST)
        reference: Sample | str
        match request.WhichOneof("reference"):
            case "subject_id":
                reference = check_id("subject_id", request.subject_id)
            case "sample":
                reference = self.sample("sample", request.sample, FaceChoice.LARGEST)
            case _:
                raise FieldInvalid("reference", "needs a subject_id or a sample")
        awaited = revision("min_revision", request.min_revision)
        return Verify1(probe, reference, _threshold(request), awaited, caller.watchlists)

    def enrolment(self, request: pb.EnrollRequest) -> Enrolment:
        """Read an EnrollRequest."""
        if not 1 <= len(request.samples) <= MAX_SAMPLES:
            raise FieldInvalid("samples", f"must be 1 to {MAX_SAMPLES}", count=len(request.samples))
        on_existing = word("on_existing", request.on_existing, ON_EXISTING)
        if request.expected_revision and on_existing is OnExisting.REJECT:
            raise FieldInvalid("expected_revision", "is of who is there already: only with on_existing ADD or REPLACE")
        return Enrolment(
            subject=subject(request.subject, id_required=False),
            samples=[self._enrolled(f"samples[{number}]", each) for number, each in enumerate(request.samples)],
            on_existing=on_existing,
            allow_partial=request.allow_partial,
            request_id=check_request_id(request.request_id),
            content=RequestContent(request),
            allow_different=request.allow_different,
            expected_revision=revision("expected_revision", request.expected_revision),
        )

    def _enrolled(self, field: str, sample: sample_pb2.Sample) -> ImageSample | UncheckedTemplate | Rejection:
        try:
            match sample.WhichOneof("content"):
                case "template":
                    template = sample.template
                    check_model(template.model, self.model)
                    vector = template.vector
                    check_length(vector, self._dimension)
                    return UncheckedTemplate(vector)
                case "image":
                    return self.image(f"{field}.", sample.image, sample.face_choice, FaceChoice.ONLY)
                case _:
                    raise _nothing(field)
        except REJECTIONS as rejection:
            return rejection


def _nothing(field: str) -> FieldInvalid:
    return FieldInvalid(field, "needs an image or a template")


def _threshold(request: pb.IdentifyRequest | pb.VerifyRequest) -> float | None:
    return check_threshold("threshold", request.threshold) if request.HasField("threshold") else None
