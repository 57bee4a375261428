"""Requests of the wire -> the domain's types; every field is checked here, and nowhere else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from google.protobuf import field_mask_pb2, timestamp_pb2

from gerbang.v1 import matching_service_pb2 as matching_pb
from gerbang.v1 import plan_pb2, sample_pb2, subject_pb2, watchlist_pb2
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang_service.asking.recall import RecallQuestion
from gerbang_service.changing.operations import OnExisting, check_validity
from gerbang_service.domain.comparisons import Search1N
from gerbang_service.domain.decision import DEFAULT_CANDIDATES, MAX_CANDIDATES
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.faces import FaceChoice
from gerbang_service.domain.identifiers import (
    MAX_WATCHLISTS_PER_SUBJECT,
    check_id,
    check_labels,
    check_request_id,
    check_threshold,
    check_title,
)
from gerbang_service.domain.samples import ImageSample, Sample, TemplateSample
from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.templates import check_model, unit_vector
from gerbang_service.domain.watchlists import Action, Direction, Watchlist
from gerbang_service.gallery.search import Plan

MAX_SAMPLES = 20
MAX_BATCH = 256
MAX_PAGE = 1000
_DEFAULT_PAGE = 100
_MAX_RECALL_SAMPLE = 10_000
_DEFAULT_RECALL_SAMPLE = 100
_MAX_RECALL_SIMILARITIES = 16
_DEFAULT_RECALL_SIMILARITIES = (0.3, 0.4, 0.5, 0.6)
# 9999-12-31T23:59:59Z, the latest time that google.protobuf.Timestamp allows, is past what int64 nanoseconds hold.
_LATEST_S = 9_223_372_035

_CHOICES = {
    sample_pb2.FACE_CHOICE_LARGEST: FaceChoice.LARGEST,
    sample_pb2.FACE_CHOICE_ONLY: FaceChoice.ONLY,
}
DIRECTIONS = {
    watchlist_pb2.DIRECTION_UNSPECIFIED: Direction.BOTH,
    watchlist_pb2.DIRECTION_ARRIVAL: Direction.ARRIVAL,
    watchlist_pb2.DIRECTION_DEPARTURE: Direction.DEPARTURE,
    watchlist_pb2.DIRECTION_BOTH: Direction.BOTH,
}
ACTIONS = {
    watchlist_pb2.ACTION_UNSPECIFIED: Action.REFER_TO_OFFICER,
    watchlist_pb2.ACTION_SILENT_ALERT: Action.SILENT_ALERT,
    watchlist_pb2.ACTION_REFER_TO_OFFICER: Action.REFER_TO_OFFICER,
    watchlist_pb2.ACTION_DEFER_DEPARTURE: Action.DEFER_DEPARTURE,
    watchlist_pb2.ACTION_REFUSE_ENTRY: Action.REFUSE_ENTRY,
}
PLANS = {
    plan_pb2.PLAN_UNSPECIFIED: None,
    plan_pb2.PLAN_BOTH: Plan.BOTH,
    plan_pb2.PLAN_GRAPH: Plan.GRAPH,
    plan_pb2.PLAN_SWEEP: Plan.SWEEP,
    plan_pb2.PLAN_EXACT: Plan.EXACT,
}
_ON_EXISTING = {
    matching_pb.ON_EXISTING_UNSPECIFIED: OnExisting.REJECT,
    matching_pb.ON_EXISTING_REJECT: OnExisting.REJECT,
    matching_pb.ON_EXISTING_ADD: OnExisting.ADD,
    matching_pb.ON_EXISTING_REPLACE: OnExisting.REPLACE,
}


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
            check_model(sample.template.model, self.model)
            return TemplateSample(unit_vector(sample.template.vector, self._dimension))
        raise FieldInvalid(field, "needs an image or a template")

    def image(self, field: str, data: bytes, face_choice: int, default: FaceChoice) -> ImageSample:
        """Read an image and which face of it is meant. `field`: path of the message around it, with a dot, or ""."""
        if face_choice == sample_pb2.FACE_CHOICE_UNSPECIFIED:
            return ImageSample(data, default)
        return ImageSample(data, _enum(f"{field}face_choice", face_choice, _CHOICES))

    def search(self, request: matching_pb.IdentifyRequest) -> Search1N:
        """Read an IdentifyRequest."""
        if not 0 <= request.max_candidates <= MAX_CANDIDATES:
            raise FieldInvalid("max_candidates", f"must be 0 to {MAX_CANDIDATES}", value=request.max_candidates)
        if request.min_revision < 0:
            raise FieldInvalid("min_revision", "must not be negative", value=request.min_revision)
        return Search1N(
            probe=self.sample("probe", request.probe, FaceChoice.LARGEST),
            watchlists=tuple(dict.fromkeys(_lists("watchlists", request.watchlists))),
            direction=_enum("direction", request.direction, DIRECTIONS),
            max_candidates=request.max_candidates or DEFAULT_CANDIDATES,
            threshold=_threshold(request),
            plan=_enum("plan", request.plan, PLANS),
            min_revision=request.min_revision,
        )

    def verification(self, request: matching_pb.VerifyRequest) -> tuple[Sample, Sample | str, float | None]:
        """Read a VerifyRequest: probe, reference (a subject's id or a sample), threshold."""
        probe = self.sample("probe", request.probe, FaceChoice.LARGEST)
        match request.WhichOneof("reference"):
            case "subject_id":
                return probe, check_id("subject_id", request.subject_id), _threshold(request)
            case "sample":
                reference = self.sample("sample", request.sample, FaceChoice.LARGEST)
                return probe, reference, _threshold(request)
            case _:
                raise FieldInvalid("reference", "needs a subject_id or a sample")


def enrolment_subject(request: matching_pb.EnrollRequest) -> Subject:
    """Read and check the subject of an EnrollRequest, and how many samples it has."""
    if not 1 <= len(request.samples) <= MAX_SAMPLES:
        raise FieldInvalid("samples", f"must be 1 to {MAX_SAMPLES}", count=len(request.samples))
    return subject(request.subject, id_required=False)


def on_existing(request: matching_pb.EnrollRequest) -> OnExisting:
    """Read what to do when the subject is there."""
    known: OnExisting = _enum("on_existing", request.on_existing, _ON_EXISTING)
    return known


def request_identity(request: matching_pb.EnrollRequest) -> tuple[str, bytes]:
    """Return the request_id in canonical form ("" for none) and a digest of the content, for recognising repeats."""
    request_id = check_request_id(request.request_id)
    if not request_id:
        return "", b""
    request.request_id = request_id  # however it was written, it is the same id
    return request_id, hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def subject(message: subject_pb2.Subject, *, id_required: bool = True) -> Subject:
    """Read a Subject; output-only fields are ignored."""
    if message.subject_id or id_required:
        check_id("subject.subject_id", message.subject_id)
    parsed = Subject(
        subject_id=message.subject_id,
        watchlists=tuple(sorted(set(_lists("subject.watchlists", message.watchlists)))),
        valid_from_ns=_time(message, "valid_from"),
        expire_time_ns=_time(message, "expire_time"),
        labels=check_labels("subject.labels", message.labels),
    )
    check_validity(parsed)
    return parsed


def subject_changes(message: subject_pb2.Subject, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    """Return the fields of a Subject that an update changes, with their new values."""
    # The validity as a whole is checked against what is stored, by the operation.
    bare = subject_pb2.Subject(subject_id=message.subject_id, watchlists=message.watchlists, labels=message.labels)
    parsed = subject(bare)
    values = {
        "watchlists": ("watchlists", lambda: parsed.watchlists),
        "valid_from": ("valid_from_ns", lambda: _time(message, "valid_from")),
        "expire_time": ("expire_time_ns", lambda: _time(message, "expire_time")),
        "labels": ("labels", lambda: parsed.labels),
    }
    return _masked(mask, values)


def watchlist(message: watchlist_pb2.Watchlist) -> Watchlist:
    """Read a Watchlist; output-only fields are ignored."""
    return Watchlist(
        watchlist_id=check_id("watchlist.watchlist_id", message.watchlist_id),
        title=check_title("watchlist.title", message.title),
        direction=_enum("watchlist.direction", message.direction, DIRECTIONS),
        action=_enum("watchlist.action", message.action, ACTIONS),
        threshold=check_threshold("watchlist.threshold", message.threshold) if message.HasField("threshold") else None,
        labels=check_labels("watchlist.labels", message.labels),
    )


def watchlist_changes(message: watchlist_pb2.Watchlist, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    """Return the fields of a Watchlist that an update changes, with their new values."""
    parsed = watchlist(message)
    names = ("title", "direction", "action", "threshold", "labels")
    return _masked(mask, {name: (name, partial(getattr, parsed, name)) for name in names})


def recall(request: office_pb.MeasureRecallRequest) -> RecallQuestion:
    """Read a MeasureRecallRequest."""
    if not 0 <= request.sample <= _MAX_RECALL_SAMPLE:
        raise FieldInvalid("sample", f"must be 0 to {_MAX_RECALL_SAMPLE}", value=request.sample)
    if len(request.similarities) > _MAX_RECALL_SIMILARITIES or not all(0 < each < 1 for each in request.similarities):
        raise FieldInvalid("similarities", f"at most {_MAX_RECALL_SIMILARITIES}, each above 0 and below 1")
    # First its length: each costs a measurement of the whole gallery.
    if len(request.plans) > len(Plan) or len(set(request.plans)) < len(request.plans):
        raise FieldInvalid("plans", "must name each plan once at most", count=len(request.plans))
    plans = [_enum("plans", each, PLANS) for each in request.plans]
    if None in plans:
        raise FieldInvalid("plans", "must not be unspecified")
    return RecallQuestion(
        request.sample or _DEFAULT_RECALL_SAMPLE,
        tuple(request.similarities) or _DEFAULT_RECALL_SIMILARITIES,
        plans or list(Plan),
    )


def page_size(value: int) -> int:
    """Return how many subjects a page has."""
    if not 0 <= value <= MAX_PAGE:
        raise FieldInvalid("page_size", f"must be 0 to {MAX_PAGE}", value=value)
    return value or _DEFAULT_PAGE


def template_id(value: str) -> int:
    """Read a template's id; one that no server ever gave out is FieldInvalid."""
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise FieldInvalid("template_id", "is not an id of this server's")
    return int(value)


def _masked(mask: field_mask_pb2.FieldMask, values: dict[str, tuple[str, Callable[[], Any]]]) -> dict[str, Any]:
    if len(mask.paths) > len(values):
        raise FieldInvalid("update_mask", f"at most {len(values)} fields", count=len(mask.paths))
    paths: Iterable[str] = mask.paths or values
    unknown = [path for path in paths if path not in values]
    if unknown:
        raise FieldInvalid("update_mask", f"may name {', '.join(values)}")
    return {values[path][0]: values[path][1]() for path in paths}


def _lists(field: str, names: Sequence[str]) -> list[str]:
    """Check ids of watchlists. Their number is that of the request, repeats included: the audit log has no more."""
    if len(names) > MAX_WATCHLISTS_PER_SUBJECT:
        raise FieldInvalid(field, f"at most {MAX_WATCHLISTS_PER_SUBJECT} lists", count=len(names))
    return [check_id(field, name) for name in names]


def _enum(field: str, value: int, known: dict[Any, Any]) -> Any:  # noqa: ANN401 - the table says which type
    if value not in known:
        raise FieldInvalid(field, f"has no value {value}")
    return known[value]


def _threshold(request: matching_pb.IdentifyRequest | matching_pb.VerifyRequest) -> float | None:
    return check_threshold("threshold", request.threshold) if request.HasField("threshold") else None


def _time(message: subject_pb2.Subject, field: str) -> int | None:
    if not message.HasField(field):  # type: ignore[arg-type]  # one of the two literals
        return None
    value: timestamp_pb2.Timestamp = getattr(message, field)
    if not (-_LATEST_S <= value.seconds <= _LATEST_S and 0 <= value.nanos < 1_000_000_000):
        raise FieldInvalid(f"subject.{field}", "must be between 1678 and 2262")
    return value.seconds * 1_000_000_000 + value.nanos
