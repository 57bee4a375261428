"""What of a request and of its answer goes on record: ids, scores, thresholds. Never a vector, an image or a label.

Of labels only the keys; of what is no well-formed id only that it is none, since it could be anything. What is repeated
is told once, and what is cut off is more than a request may have: nothing that is carried out can be left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from google.protobuf import timestamp_pb2

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import plan_pb2, sample_pb2, subject_pb2, watchlist_pb2
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.identifiers import MAX_LABELS, MAX_WATCHLISTS_PER_SUBJECT, check_id

Facts = dict[str, Any]

NO_ID = "(no id)"
# Longest text of a caller's that is taken over.
_LONGEST = 128
# Cosines are float32: this many places tell any two of them apart near a threshold.
_PLACES = 8


def _words(enum: Any, prefix: str) -> dict[int, str]:  # noqa: ANN401 - protobuf's enum wrapper
    """Return the words of an enum's numbers but 0, which is unspecified."""
    return {number: name.removeprefix(prefix).lower() for name, number in enum.items() if number}


DIRECTIONS = _words(watchlist_pb2.Direction, "DIRECTION_")
ACTIONS = _words(watchlist_pb2.Action, "ACTION_")
PLANS = _words(plan_pb2.Plan, "PLAN_")
_ON_EXISTING = _words(pb.OnExisting, "ON_EXISTING_")
_WARNINGS = _words(pb.EnrollWarning, "ENROLL_WARNING_")


def id_of(text: str) -> str:
    """Return an id, or that it is none."""
    try:
        return check_id("", text)
    except FieldInvalid:
        return NO_ID


def ids_of(texts: Sequence[str]) -> list[str]:
    """Return ids of lists, each once."""
    return [id_of(text) for text in islice(dict.fromkeys(texts), MAX_WATCHLISTS_PER_SUBJECT)]


def keys_of(labels: Mapping[str, str]) -> list[str]:
    """Return the keys of labels, in order."""
    return sorted(key[:_LONGEST] for key, _ in zip(labels, range(MAX_LABELS + 1), strict=False))


def cosine(value: float) -> float | str:
    """Return a similarity or threshold. JSON has no NaN and no infinity: they are words."""
    return round(value, _PLACES) if math.isfinite(value) else str(value)


def share(value: float) -> float | str:
    """Return a share of strangers, which may be far smaller than what tells two cosines apart."""
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)


def present(**facts: Any) -> Facts:  # noqa: ANN401
    """Return the facts that are not empty."""
    return {name: value for name, value in facts.items() if value}


def time_of(message: Any, field: str) -> str:  # noqa: ANN401 - any message with such a field
    """Return a time as text, empty for none."""
    if not message.HasField(field):
        return ""
    value: timestamp_pb2.Timestamp = getattr(message, field)
    try:
        return value.ToJsonString()
    except ValueError:
        return "(no time)"


def _sample(sample: sample_pb2.Sample) -> str:
    return sample.WhichOneof("content") or "none"


def _search(request: pb.IdentifyRequest) -> Facts:
    facts: Facts = {"sample": request.probe.WhichOneof("content") or "none"}
    if request.watchlists:
        facts["watchlists"] = ids_of(request.watchlists)
    if request.direction:
        facts["direction"] = DIRECTIONS.get(request.direction, request.direction)
    if request.max_candidates:
        facts["max_candidates"] = request.max_candidates
    if request.HasField("threshold"):
        facts["threshold"] = cosine(request.threshold)
    if request.plan:
        facts["plan"] = PLANS.get(request.plan, request.plan)
    if request.min_revision:
        facts["min_revision"] = request.min_revision
    if request.sequence:
        facts["item"] = request.sequence
    return facts


def _found(response: pb.IdentifyResponse) -> Facts:
    facts: Facts = {"hit": response.hit}
    if response.candidates:
        facts["candidates"] = [_candidate(each) for each in response.candidates]
    facts["threshold"] = cosine(response.threshold)
    facts["plan"] = PLANS.get(response.plan, "")
    facts["gallery_size"] = response.gallery_size
    facts["revision"] = response.revision
    return facts | present(lacks=[[each.generator, each.behind, each.failed] for each in response.lacks])


def _candidate(found: pb.Candidate) -> Facts:
    facts: Facts = {
        "subject_id": found.subject_id,
        "similarity": cosine(found.similarity),
        "threshold": cosine(found.threshold),
        "template_id": found.template_id,
        "watchlists": list(found.watchlists),
    }
    if found.action:
        facts["action"] = ACTIONS.get(found.action, "")
    return facts


def _verification(request: pb.VerifyRequest) -> Facts:
    facts: Facts = {"sample": _sample(request.probe)}
    if request.WhichOneof("reference") == "subject_id":
        facts["subject_id"] = id_of(request.subject_id)
    else:
        facts["reference"] = _sample(request.sample)
    if request.HasField("threshold"):
        facts["threshold"] = cosine(request.threshold)
    return facts | present(min_revision=request.min_revision)


def _verified(response: pb.VerifyResponse) -> Facts:
    return {
        "match": response.match,
        "similarity": cosine(response.similarity),
        "threshold": cosine(response.threshold),
        **present(template_id=response.template_id, revision=response.revision),
    }


def subject(message: subject_pb2.Subject) -> Facts:
    """Return what is asked for of a subject."""
    return {
        "subject_id": id_of(message.subject_id) if message.subject_id else "",
        **present(
            watchlists=ids_of(message.watchlists),
            labels=keys_of(message.labels),
            valid_from=time_of(message, "valid_from"),
            expire_time=time_of(message, "expire_time"),
        ),
    }


def safeguards(request: Any) -> Facts:  # noqa: ANN401 - any request with both
    """Return what a change says to be safe to repeat, and safe from a stale view."""
    repeat = id_of(request.request_id) if request.request_id else ""
    return present(repeat_id=repeat, expected_revision=request.expected_revision)


def _enrolment(request: pb.EnrollRequest) -> Facts:
    return {
        **subject(request.subject),
        "samples": [_sample(each) for each, _ in zip(request.samples, range(_LONGEST), strict=False)],
        **present(
            on_existing=_ON_EXISTING.get(request.on_existing),
            allow_partial=request.allow_partial,
            allow_different=request.allow_different,
        ),
        **safeguards(request),
    }


def _enrolled(response: pb.EnrollResponse) -> Facts:
    return {
        "subject_id": response.subject.subject_id,
        "watchlists": list(response.subject.watchlists),
        "template_ids": [each.template_id for each in response.sample_results if each.template_id],
        **present(
            rejections=[each.rejection for each in response.sample_results if each.rejection],
            duplicates=[_candidate(each) for each in response.duplicates],
            replayed=response.replayed,
            warnings=[_WARNINGS.get(each, "") for each in response.warnings],
            added_watchlists=list(response.added_watchlists),
        ),
        "revision": response.revision,
    }


ASKED: dict[type, Callable[[Any], Facts]] = {
    pb.IdentifyRequest: _search,
    pb.VerifyRequest: _verification,
    pb.EnrollRequest: _enrolment,
    pb.ExtractRequest: lambda _: {"sample": "image"},
    pb.IdentifyBatchRequest: lambda request: {"requests": len(request.requests)},
}
"""By kind of request, what it asked."""
ANSWERED: dict[type, Callable[[Any], Facts]] = {
    pb.IdentifyResponse: _found,
    pb.VerifyResponse: _verified,
    pb.EnrollResponse: _enrolled,
}
"""By kind of response, what it answered."""
