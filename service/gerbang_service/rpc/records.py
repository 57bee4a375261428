"""What of a request and of its answer goes on record: ids, scores, thresholds. Never a vector, an image or a label.

Of labels only the keys; of what is no well-formed id only that it is none, since it could be anything. What is repeated
is told once, and what is cut off is more than a request may have: nothing that is carried out can be left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from google.protobuf import timestamp_pb2

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import plan_pb2, sample_pb2, subject_pb2, watchlist_pb2
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.identifiers import MAX_LABELS, MAX_WATCHLISTS_PER_SUBJECT, check_id
from gerbang_service.rpc.fields import ALL_FIELDS
from gerbang_service.rpc.pages import token_subject

Facts = dict[str, Any]

_NO_ID = "(no id)"
# Longest text of a caller's that is taken over.
_LONGEST = 128
# Cosines are float32: this many places tell any two of them apart near a threshold.
_PLACES = 8


def _words(enum: Any, prefix: str) -> dict[int, str]:  # noqa: ANN401 - protobuf's enum wrapper
    """Return the words of an enum's numbers but 0, which is unspecified."""
    return {number: name.removeprefix(prefix).lower() for name, number in enum.items() if number}


_DIRECTIONS = _words(watchlist_pb2.Direction, "DIRECTION_")
_ACTIONS = _words(watchlist_pb2.Action, "ACTION_")
_PLANS = _words(plan_pb2.Plan, "PLAN_")
_ON_EXISTING = _words(pb.OnExisting, "ON_EXISTING_")
_WARNINGS = _words(pb.EnrollWarning, "ENROLL_WARNING_")


def asked(request: Any) -> Facts:  # noqa: ANN401 - any request
    """Return what was asked."""
    account = _ASKED.get(type(request))
    return account(request) if account else {}


def answered(response: Any) -> Facts:  # noqa: ANN401 - any response
    """Return what was answered."""
    account = _ANSWERED.get(type(response))
    return account(response) if account else {}


def _id(text: str) -> str:
    try:
        return check_id("", text)
    except FieldInvalid:
        return _NO_ID


def _ids(texts: Sequence[str]) -> list[str]:
    return [_id(text) for text in islice(dict.fromkeys(texts), MAX_WATCHLISTS_PER_SUBJECT)]


def _keys(labels: Mapping[str, str]) -> list[str]:
    return sorted(key[:_LONGEST] for key, _ in zip(labels, range(MAX_LABELS + 1), strict=False))


def _cosine(value: float) -> float | str:
    """Return a similarity or threshold. JSON has no NaN and no infinity: they are words."""
    return round(value, _PLACES) if math.isfinite(value) else str(value)


def _present(**facts: Any) -> Facts:  # noqa: ANN401
    """Return the facts that are not empty."""
    return {name: value for name, value in facts.items() if value}


def _time(message: subject_pb2.Subject, field: str) -> str:
    if not message.HasField(field):  # type: ignore[arg-type]  # one of the two literals
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
        facts["watchlists"] = _ids(request.watchlists)
    if request.direction:
        facts["direction"] = _DIRECTIONS.get(request.direction, request.direction)
    if request.max_candidates:
        facts["max_candidates"] = request.max_candidates
    if request.HasField("threshold"):
        facts["threshold"] = _cosine(request.threshold)
    if request.plan:
        facts["plan"] = _PLANS.get(request.plan, request.plan)
    if request.min_revision:
        facts["min_revision"] = request.min_revision
    if request.sequence:
        facts["item"] = request.sequence
    return facts


def _found(response: pb.IdentifyResponse) -> Facts:
    facts: Facts = {"hit": response.hit}
    if response.candidates:
        facts["candidates"] = [_candidate(each) for each in response.candidates]
    facts["threshold"] = _cosine(response.threshold)
    facts["plan"] = _PLANS.get(response.plan, "")
    facts["gallery_size"] = response.gallery_size
    facts["revision"] = response.revision
    return facts | _present(lacks=[[each.generator, each.behind, each.failed] for each in response.lacks])


def _candidate(found: pb.Candidate) -> Facts:
    facts: Facts = {
        "subject_id": found.subject_id,
        "similarity": _cosine(found.similarity),
        "threshold": _cosine(found.threshold),
        "template_id": found.template_id,
        "watchlists": list(found.watchlists),
    }
    if found.action:
        facts["action"] = _ACTIONS.get(found.action, "")
    return facts


def _verification(request: pb.VerifyRequest) -> Facts:
    facts: Facts = {"sample": _sample(request.probe)}
    if request.WhichOneof("reference") == "subject_id":
        facts["subject_id"] = _id(request.subject_id)
    else:
        facts["reference"] = _sample(request.sample)
    if request.HasField("threshold"):
        facts["threshold"] = _cosine(request.threshold)
    return facts | _present(min_revision=request.min_revision)


def _verified(response: pb.VerifyResponse) -> Facts:
    return {
        "match": response.match,
        "similarity": _cosine(response.similarity),
        "threshold": _cosine(response.threshold),
        **_present(template_id=response.template_id, revision=response.revision),
    }


def _subject(message: subject_pb2.Subject) -> Facts:
    return {
        "subject_id": _id(message.subject_id) if message.subject_id else "",
        **_present(
            watchlists=_ids(message.watchlists),
            labels=_keys(message.labels),
            valid_from=_time(message, "valid_from"),
            expire_time=_time(message, "expire_time"),
        ),
    }


def _enrolment(request: pb.EnrollRequest) -> Facts:
    return {
        **_subject(request.subject),
        "samples": [_sample(each) for each, _ in zip(request.samples, range(_LONGEST), strict=False)],
        **_present(
            on_existing=_ON_EXISTING.get(request.on_existing),
            allow_partial=request.allow_partial,
            repeat_id=_id(request.request_id) if request.request_id else "",
        ),
    }


def _enrolled(response: pb.EnrollResponse) -> Facts:
    return {
        "subject_id": response.subject.subject_id,
        "watchlists": list(response.subject.watchlists),
        "template_ids": [each.template_id for each in response.sample_results if each.template_id],
        **_present(
            rejections=[each.rejection for each in response.sample_results if each.rejection],
            duplicates=[_candidate(each) for each in response.duplicates],
            replayed=response.replayed,
            warnings=[_WARNINGS.get(each, "") for each in response.warnings],
        ),
        "revision": response.revision,
    }


def _watchlist(message: watchlist_pb2.Watchlist) -> Facts:
    facts = {"watchlist_id": _id(message.watchlist_id)}
    facts |= _present(
        direction=_DIRECTIONS.get(message.direction),
        action=_ACTIONS.get(message.action),
        labels=_keys(message.labels),
    )
    return facts | ({"threshold": _cosine(message.threshold)} if message.HasField("threshold") else {})


def _fields(paths: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return which fields an update names; "*" is all of them."""
    names = frozenset(known) | {ALL_FIELDS}
    return list(dict.fromkeys(path if path in names else "(no field)" for path in paths))


def _subject_update(request: office_pb.UpdateSubjectRequest) -> Facts:
    fields = _fields(request.update_mask.paths, subject_pb2.Subject.DESCRIPTOR.fields_by_name)
    return {**_subject(request.subject), "fields": fields}


def _watchlist_update(request: office_pb.UpdateWatchlistRequest) -> Facts:
    fields = _fields(request.update_mask.paths, watchlist_pb2.Watchlist.DESCRIPTOR.fields_by_name)
    return {**_watchlist(request.watchlist), "fields": fields}


def _page(request: office_pb.ListSubjectsRequest) -> Facts:
    try:
        after = token_subject(request.page_token)
    except FieldInvalid:
        after = _NO_ID
    return _present(
        watchlist=_id(request.watchlist) if request.watchlist else "",
        page_size=request.page_size,
        after=_id(after) if after else "",
    )


def _recall(response: office_pb.MeasureRecallResponse) -> Facts:
    return {
        "measured": [
            [_PLANS.get(each.plan, ""), round(each.similarity, 4), each.probes, each.missed]
            for each in response.measurements
        ]
    }


_ASKED: dict[type, Callable[[Any], Facts]] = {
    pb.IdentifyRequest: _search,
    pb.VerifyRequest: _verification,
    pb.EnrollRequest: _enrolment,
    pb.ExtractRequest: lambda _: {"sample": "image"},
    pb.IdentifyBatchRequest: lambda request: {"requests": len(request.requests)},
    office_pb.CreateWatchlistRequest: lambda request: _watchlist(request.watchlist),
    office_pb.GetWatchlistRequest: lambda request: {"watchlist_id": _id(request.watchlist_id)},
    office_pb.UpdateWatchlistRequest: _watchlist_update,
    office_pb.DeleteWatchlistRequest: lambda request: {
        "watchlist_id": _id(request.watchlist_id),
        **_present(force=request.force),
    },
    office_pb.GetSubjectRequest: lambda request: {"subject_id": _id(request.subject_id)},
    office_pb.ListSubjectsRequest: _page,
    office_pb.UpdateSubjectRequest: _subject_update,
    office_pb.DeleteSubjectRequest: lambda request: {"subject_id": _id(request.subject_id)},
    office_pb.DeleteTemplateRequest: lambda request: {
        "subject_id": _id(request.subject_id),
        "template_id": _id(request.template_id),
    },
    office_pb.MeasureRecallRequest: lambda request: {"sample": request.sample},
}
_ANSWERED: dict[type, Callable[[Any], Facts]] = {
    pb.IdentifyResponse: _found,
    pb.VerifyResponse: _verified,
    pb.EnrollResponse: _enrolled,
    office_pb.CreateWatchlistResponse: lambda response: {"revision": response.revision},
    office_pb.GetWatchlistResponse: lambda response: {"watchlist_id": response.watchlist.watchlist_id},
    office_pb.ListWatchlistsResponse: lambda response: {
        "watchlists": [each.watchlist_id for each in response.watchlists]
    },
    office_pb.UpdateWatchlistResponse: lambda response: {"revision": response.revision},
    office_pb.DeleteWatchlistResponse: lambda response: {"revision": response.revision},
    office_pb.GetSubjectResponse: lambda response: {"subject_id": response.subject.subject_id},
    office_pb.ListSubjectsResponse: lambda response: {"subjects": [each.subject_id for each in response.subjects]},
    office_pb.UpdateSubjectResponse: lambda response: {
        "watchlists": list(response.subject.watchlists),
        "revision": response.revision,
    },
    office_pb.DeleteSubjectResponse: lambda response: {"revision": response.revision},
    office_pb.DeleteTemplateResponse: lambda response: {"revision": response.revision},
    office_pb.GetServerInfoResponse: lambda response: {"revision": response.revision},
    office_pb.MeasureRecallResponse: _recall,
}
