"""The domain's types -> responses of the wire."""

from __future__ import annotations

from google.protobuf import timestamp_pb2

from gerbang.v1 import matching_service_pb2 as matching_pb
from gerbang.v1 import plan_pb2, sample_pb2, subject_pb2, watchlist_pb2
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang_service.asking.recall import Recall
from gerbang_service.domain.comparisons import Identification, Verification
from gerbang_service.domain.decision import Candidate
from gerbang_service.domain.faces import DetectedFace
from gerbang_service.domain.subjects import Quality, Subject, TemplateInfo
from gerbang_service.domain.watchlists import Action, Direction, Watchlist
from gerbang_service.gallery.search import Plan

_DIRECTION = {
    Direction.ARRIVAL: watchlist_pb2.DIRECTION_ARRIVAL,
    Direction.DEPARTURE: watchlist_pb2.DIRECTION_DEPARTURE,
    Direction.BOTH: watchlist_pb2.DIRECTION_BOTH,
}
_ACTION = {
    Action.SILENT_ALERT: watchlist_pb2.ACTION_SILENT_ALERT,
    Action.REFER_TO_OFFICER: watchlist_pb2.ACTION_REFER_TO_OFFICER,
    Action.DEFER_DEPARTURE: watchlist_pb2.ACTION_DEFER_DEPARTURE,
    Action.REFUSE_ENTRY: watchlist_pb2.ACTION_REFUSE_ENTRY,
}
PLAN = {
    Plan.BOTH: plan_pb2.PLAN_BOTH,
    Plan.GRAPH: plan_pb2.PLAN_GRAPH,
    Plan.SWEEP: plan_pb2.PLAN_SWEEP,
    Plan.EXACT: plan_pb2.PLAN_EXACT,
}


def timestamp(nanoseconds: int) -> timestamp_pb2.Timestamp:
    """Return the Timestamp of ns since the epoch."""
    return timestamp_pb2.Timestamp(seconds=nanoseconds // 1_000_000_000, nanos=nanoseconds % 1_000_000_000)


def quality(measured: Quality) -> sample_pb2.Quality:
    """Return the Quality message."""
    return sample_pb2.Quality(
        inter_eye_px=measured.inter_eye_px,
        sharpness=measured.sharpness,
        brightness=measured.brightness,
        yaw=measured.yaw,
        roll=measured.roll,
    )


def face(found: DetectedFace | None) -> sample_pb2.Face | None:
    """Return the Face message, or None for a sample that came as a template."""
    if found is None:
        return None
    left, top, right, bottom = found.box
    return sample_pb2.Face(
        box=sample_pb2.Box(left=left, top=top, right=right, bottom=bottom),
        landmarks=[sample_pb2.Point(x=x, y=y) for x, y in found.landmarks],
        detection_score=found.detection_score,
        quality=quality(found.quality),
    )


def subject(stored: Subject) -> subject_pb2.Subject:
    """Return the Subject message."""
    return subject_pb2.Subject(
        subject_id=stored.subject_id,
        watchlists=stored.watchlists,
        valid_from=None if stored.valid_from_ns is None else timestamp(stored.valid_from_ns),
        expire_time=None if stored.expire_time_ns is None else timestamp(stored.expire_time_ns),
        labels=dict(stored.labels),
        templates=[_template(each) for each in stored.templates],
        create_time=timestamp(stored.create_time_ns),
        update_time=timestamp(stored.update_time_ns),
    )


def _template(info: TemplateInfo) -> subject_pb2.TemplateInfo:
    return subject_pb2.TemplateInfo(
        template_id=str(info.template_id),
        model=info.model,
        create_time=timestamp(info.create_time_ns),
        quality=None if info.quality is None else quality(info.quality),
    )


def watchlist(stored: Watchlist, subject_count: int) -> watchlist_pb2.Watchlist:
    """Return the Watchlist message."""
    return watchlist_pb2.Watchlist(
        watchlist_id=stored.watchlist_id,
        title=stored.title,
        direction=_DIRECTION[stored.direction],
        action=_ACTION[stored.action],
        threshold=stored.threshold,
        labels=dict(stored.labels),
        create_time=timestamp(stored.create_time_ns),
        update_time=timestamp(stored.update_time_ns),
        subject_count=subject_count,
    )


def candidate(found: Candidate) -> matching_pb.Candidate:
    """Return the Candidate message."""
    return matching_pb.Candidate(
        subject_id=found.subject_id,
        similarity=found.similarity,
        threshold=found.threshold,
        template_id=str(found.template_id),
        watchlists=found.watchlists,
        action=watchlist_pb2.ACTION_UNSPECIFIED if found.action is None else _ACTION[found.action],
        labels=dict(found.labels or {}),
    )


def identification(outcome: Identification, sequence: int) -> matching_pb.IdentifyResponse:
    """Return the IdentifyResponse message."""
    return matching_pb.IdentifyResponse(
        hit=bool(outcome.candidates),
        candidates=[candidate(each) for each in outcome.candidates],
        threshold=outcome.threshold,
        probe_face=face(outcome.probe_face),
        plan=PLAN[outcome.plan],
        gallery_size=outcome.gallery_size,
        revision=outcome.revision,
        sequence=sequence,
    )


def verification(outcome: Verification) -> matching_pb.VerifyResponse:
    """Return the VerifyResponse message."""
    return matching_pb.VerifyResponse(
        match=outcome.match,
        similarity=outcome.similarity,
        threshold=outcome.threshold,
        template_id="" if outcome.template_id is None else str(outcome.template_id),
        probe_face=face(outcome.probe_face),
        reference_face=face(outcome.reference_face),
    )


def recall(measured: Recall) -> office_pb.RecallMeasurement:
    """Return the RecallMeasurement message."""
    return office_pb.RecallMeasurement(
        plan=PLAN[measured.plan],
        similarity=measured.similarity,
        probes=measured.probes,
        missed=measured.missed,
        median_us=measured.median_us,
        p99_us=measured.p99_us,
    )
