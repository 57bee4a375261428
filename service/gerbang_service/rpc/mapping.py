"""The domain's types -> responses of the wire."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import timestamp_pb2

from gerbang.v1 import matching_service_pb2 as matching_pb
from gerbang.v1 import sample_pb2, subject_pb2, watchlist_pb2
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang_service.asking.recall import Recall
from gerbang_service.changing.enrolment import Enrolled, EnrolledSample
from gerbang_service.domain.decision import Candidate, Decision
from gerbang_service.domain.faces import CaptureChain, DetectedFace, Quality
from gerbang_service.domain.questions import Identification, Lack, Verification
from gerbang_service.domain.subjects import Subject, TemplateInfo
from gerbang_service.domain.watchlists import CountedWatchlist
from gerbang_service.gallery.candidates.port import GeneratorProgress
from gerbang_service.rpc.enums import ACTION_NUMBERS, DECISION_NUMBERS, DIRECTION_NUMBERS, PLAN_NUMBERS
from gerbang_service.rpc.threshold_mapping import threshold_basis


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


def subject(stored: Subject, proposals: Sequence[int] = ()) -> subject_pb2.Subject:
    """Return the Subject message. `proposals`: ids of those that wait."""
    message = subject_pb2.Subject(
        subject_id=stored.subject_id,
        templates=map(_template, stored.templates),
        create_time=timestamp(stored.create_time_ns),
        update_time=timestamp(stored.update_time_ns),
        revision=stored.revision,
    )
    # What is empty for most is not even looked at by protobuf, as below.
    if stored.watchlists:
        message.watchlists.extend(stored.watchlists)
    if proposals:
        message.open_proposals.extend(map(str, proposals))
    if stored.labels:
        message.labels.update(stored.labels)
    if stored.valid_from_ns is not None:
        message.valid_from.CopyFrom(timestamp(stored.valid_from_ns))
    if stored.expire_time_ns is not None:
        message.expire_time.CopyFrom(timestamp(stored.expire_time_ns))
    return message


def _template(info: TemplateInfo) -> subject_pb2.TemplateInfo:
    message = subject_pb2.TemplateInfo(
        template_id=str(info.template_id), model=info.model, create_time=timestamp(info.create_time_ns)
    )
    if info.quality is not None:
        message.quality.CopyFrom(quality(info.quality))
    if info.chain is not None:
        message.capture_chain.CopyFrom(capture_chain(info.chain))
    return message


def capture_chain(chain: CaptureChain) -> subject_pb2.CaptureChain:
    """Return the CaptureChain message."""
    return subject_pb2.CaptureChain(
        detector=chain.detector, detector_size=chain.detector_size, alignment=chain.alignment
    )


def watchlist(counted: CountedWatchlist) -> watchlist_pb2.Watchlist:
    """Return the Watchlist message."""
    stored = counted.watchlist
    return watchlist_pb2.Watchlist(
        watchlist_id=stored.watchlist_id,
        title=stored.title,
        direction=DIRECTION_NUMBERS[stored.direction],
        action=ACTION_NUMBERS[stored.action],
        threshold=stored.threshold,
        labels=dict(stored.labels),
        create_time=timestamp(stored.create_time_ns),
        update_time=timestamp(stored.update_time_ns),
        subject_count=counted.subject_count,
        open_proposals=counted.proposals,
        revision=stored.revision,
        target_fpir=stored.target_fpir,
        two_person_removal=stored.two_person_removal,
    )


def candidate(found: Candidate) -> matching_pb.Candidate:
    """Return the Candidate message."""
    return matching_pb.Candidate(
        subject_id=found.subject_id,
        similarity=found.similarity,
        threshold=found.threshold,
        template_id=str(found.template_id),
        watchlists=found.watchlists,
        action=watchlist_pb2.ACTION_UNSPECIFIED if found.action is None else ACTION_NUMBERS[found.action],
        labels=dict(found.labels or {}),
        threshold_basis=None if found.basis is None else threshold_basis(found.basis),
    )


def identification(outcome: Identification, sequence: int) -> matching_pb.IdentifyResponse:
    """Return the IdentifyResponse message."""
    answer, decision = outcome.answer, outcome.decision
    response = matching_pb.IdentifyResponse(
        threshold=answer.threshold,
        plan=PLAN_NUMBERS[answer.plan],
        gallery_size=answer.size,
        revision=answer.revision,
        search_id=outcome.search_id,
        decision=DECISION_NUMBERS[decision],
        top_similarity=answer.top_similarity,
        fmr_at_similarity=outcome.fmr_at_similarity,
        threshold_basis=threshold_basis(answer.basis),
    )
    # What is empty for most travellers is not even looked at by protobuf: it would cost as much as the rest.
    if answer.candidates:
        response.hit = decision is Decision.HIT
        response.candidates.extend(map(candidate, answer.candidates))
    if (probe_face := face(outcome.probe_face)) is not None:
        response.probe_face.CopyFrom(probe_face)
    if sequence:
        response.sequence = sequence
    if answer.lacks:
        response.lacks.extend(map(_lack, answer.lacks))
    return response


def _lack(lack: Lack) -> matching_pb.Lack:
    return matching_pb.Lack(generator=lack.generator, behind=lack.behind, failed=lack.failed)


def verification(outcome: Verification) -> matching_pb.VerifyResponse:
    """Return the VerifyResponse message."""
    return matching_pb.VerifyResponse(
        match=outcome.match,
        similarity=outcome.similarity,
        threshold=outcome.threshold,
        template_id="" if outcome.template_id is None else str(outcome.template_id),
        probe_face=face(outcome.probe_face),
        reference_face=face(outcome.reference_face),
        revision=outcome.revision or 0,
        threshold_basis=threshold_basis(outcome.basis),
        fmr_at_similarity=outcome.fmr,
    )


def enrolment(outcome: Enrolled) -> matching_pb.EnrollResponse:
    """Return the EnrollResponse message."""
    response = matching_pb.EnrollResponse(
        subject=subject(outcome.subject),
        sample_results=map(_sample_result, outcome.samples),
        revision=outcome.revision,
    )
    if outcome.added_watchlists:
        response.added_watchlists.extend(outcome.added_watchlists)
    if outcome.duplicates:
        response.duplicates.extend(map(candidate, outcome.duplicates))
    if outcome.replayed:
        response.replayed = True
    if outcome.expired:
        response.warnings.append(matching_pb.ENROLL_WARNING_EXPIRED)
    if outcome.different:
        response.warnings.append(matching_pb.ENROLL_WARNING_DIFFERENT)
    return response


def _sample_result(sample: EnrolledSample) -> matching_pb.SampleResult:
    result = matching_pb.SampleResult(rejection=sample.rejection, detail=sample.detail)
    if sample.template_id is not None:
        result.template_id = str(sample.template_id)
    if (found := face(sample.face)) is not None:
        result.face.CopyFrom(found)
    if sample.similarity is not None:
        result.similarity_to_subject = sample.similarity
    return result


def generator(state: GeneratorProgress) -> office_pb.Generator:
    """Return the Generator message."""
    return office_pb.Generator(name=state.name, indexed=state.indexed, pending=state.pending, failed=state.failed)


def recall(measured: Recall) -> office_pb.RecallMeasurement:
    """Return the RecallMeasurement message."""
    return office_pb.RecallMeasurement(
        plan=PLAN_NUMBERS[measured.plan],
        similarity=measured.similarity,
        probes=measured.probes,
        missed=measured.missed,
        median_us=measured.median_us,
        p99_us=measured.p99_us,
    )
