"""What of the watchlist office's requests and answers goes on record; see records.py for what never does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gerbang.v1 import subject_pb2, watchlist_pb2
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.rpc import records
from gerbang_service.rpc.fields import ALL_FIELDS
from gerbang_service.rpc.pages import token_id
from gerbang_service.rpc.records import (
    ACTIONS,
    DIRECTIONS,
    NO_ID,
    PLANS,
    Facts,
    cosine,
    id_of,
    ids_of,
    keys_of,
    present,
    safeguards,
    share,
    subject,
    time_of,
)


def _watchlist(message: watchlist_pb2.Watchlist) -> Facts:
    facts: Facts = {"watchlist_id": id_of(message.watchlist_id)}
    facts |= present(
        direction=DIRECTIONS.get(message.direction),
        action=ACTIONS.get(message.action),
        labels=keys_of(message.labels),
        two_person_removal=message.two_person_removal,
    )
    if message.HasField("threshold"):
        facts["threshold"] = cosine(message.threshold)
    if message.HasField("target_fpir"):
        facts["target_fpir"] = share(message.target_fpir)
    return facts


def _fields(paths: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return which fields an update names; "*" is all of them."""
    names = frozenset(known) | {ALL_FIELDS}
    return list(dict.fromkeys(path if path in names else "(no field)" for path in paths))


def _subject_update(request: office_pb.UpdateSubjectRequest) -> Facts:
    fields = _fields(request.update_mask.paths, subject_pb2.Subject.DESCRIPTOR.fields_by_name)
    lists = {name: ids_of(getattr(request, name)) for name in ("add_watchlists", "remove_watchlists")}
    return {**subject(request.subject), **present(fields=fields, **lists), **safeguards(request)}


def _watchlist_update(request: office_pb.UpdateWatchlistRequest) -> Facts:
    fields = _fields(request.update_mask.paths, watchlist_pb2.Watchlist.DESCRIPTOR.fields_by_name)
    return {**_watchlist(request.watchlist), "fields": fields, **safeguards(request)}


def _changed(response: Any) -> Facts:  # noqa: ANN401 - any answer to a change of lists or subjects
    return {"revision": response.revision, **present(replayed=response.replayed)}


def _page(request: Any) -> Facts:  # noqa: ANN401 - any request for a page
    try:
        after = token_id(request.page_token)
    except FieldInvalid:
        after = NO_ID
    return present(page_size=request.page_size, after=id_of(after) if after else "")


def _subjects(request: office_pb.ListSubjectsRequest) -> Facts:
    wanted = present(
        watchlist=id_of(request.watchlist) if request.watchlist else "",
        expires_before=time_of(request, "expires_before"),
        labels=keys_of(request.labels),
    )
    return wanted | _page(request)


def _recall(response: office_pb.MeasureRecallResponse) -> Facts:
    return {
        "measured": [
            [PLANS.get(each.plan, ""), round(each.similarity, 4), each.probes, each.missed]
            for each in response.measurements
        ]
    }


def _proposed(message: office_pb.Proposal) -> Facts:
    """Return what was proposed, about whom, and by whom."""
    kind = message.WhichOneof("change")
    if kind is None:
        return {}
    asked = _ID_OF[kind](message)
    return {**asked, "change": kind, "proposed_by": message.proposed_by}


_ID_OF: dict[str, Callable[[office_pb.Proposal], Facts]] = {
    "update_subject": lambda each: {"subject_id": each.update_subject.subject.subject_id},
    "delete_subject": lambda each: {"subject_id": each.delete_subject.subject_id},
    "delete_template": lambda each: {"subject_id": each.delete_template.subject_id},
    "replace_subject": lambda each: {"subject_id": each.replace_subject.subject.subject_id},
    "update_watchlist": lambda each: {"watchlist_id": each.update_watchlist.watchlist.watchlist_id},
    "delete_watchlist": lambda each: {"watchlist_id": each.delete_watchlist.watchlist_id},
}


def _one_proposal(request: Any) -> Facts:  # noqa: ANN401 - any request about one proposal
    repeat = getattr(request, "request_id", "")
    return {"proposal_id": id_of(request.proposal_id), **present(repeat_id=id_of(repeat) if repeat else "")}


def _settled(response: office_pb.ConfirmProposalResponse | office_pb.WithdrawProposalResponse) -> Facts:
    lists = {
        name: list(getattr(response, f"{name}_watchlists", ())) for name in ("added", "removed")
    }  # fmt: skip
    return {**_proposed(response.proposal), **present(**lists), **_changed(response)}


ASKED: dict[type, Callable[[Any], Facts]] = records.ASKED | {
    office_pb.CreateWatchlistRequest: lambda request: {
        **_watchlist(request.watchlist),
        **present(repeat_id=id_of(request.request_id) if request.request_id else ""),
    },
    office_pb.ListWatchlistsRequest: _page,
    office_pb.GetWatchlistRequest: lambda request: {"watchlist_id": id_of(request.watchlist_id)},
    office_pb.UpdateWatchlistRequest: _watchlist_update,
    office_pb.DeleteWatchlistRequest: lambda request: {
        "watchlist_id": id_of(request.watchlist_id),
        **present(force=request.force),
        **safeguards(request),
    },
    office_pb.GetSubjectRequest: lambda request: {"subject_id": id_of(request.subject_id)},
    office_pb.ListSubjectsRequest: _subjects,
    office_pb.UpdateSubjectRequest: _subject_update,
    office_pb.DeleteSubjectRequest: lambda request: {"subject_id": id_of(request.subject_id), **safeguards(request)},
    office_pb.DeleteTemplateRequest: lambda request: {
        "subject_id": id_of(request.subject_id),
        "template_id": id_of(request.template_id),
        **safeguards(request),
    },
    office_pb.ListProposalsRequest: lambda request: {
        **present(watchlist=id_of(request.watchlist) if request.watchlist else ""),
        **_page(request),
    },
    office_pb.GetProposalRequest: _one_proposal,
    office_pb.ConfirmProposalRequest: _one_proposal,
    office_pb.WithdrawProposalRequest: _one_proposal,
    office_pb.MeasureRecallRequest: lambda request: {"sample": request.sample},
}
ANSWERED: dict[type, Callable[[Any], Facts]] = records.ANSWERED | {
    office_pb.CreateWatchlistResponse: _changed,
    office_pb.GetWatchlistResponse: lambda response: {"watchlist_id": response.watchlist.watchlist_id},
    office_pb.ListWatchlistsResponse: lambda response: {
        "watchlists": [each.watchlist_id for each in response.watchlists]
    },
    office_pb.UpdateWatchlistResponse: _changed,
    office_pb.DeleteWatchlistResponse: _changed,
    office_pb.GetSubjectResponse: lambda response: {"subject_id": response.subject.subject_id},
    office_pb.ListSubjectsResponse: lambda response: {"subjects": [each.subject_id for each in response.subjects]},
    office_pb.UpdateSubjectResponse: lambda response: {
        "watchlists": list(response.subject.watchlists),
        **present(added=list(response.added_watchlists), removed=list(response.removed_watchlists)),
        **_changed(response),
    },
    office_pb.DeleteSubjectResponse: lambda response: {
        **present(removed=list(response.removed_watchlists)),
        **_changed(response),
    },
    office_pb.DeleteTemplateResponse: _changed,
    office_pb.ListProposalsResponse: lambda response: {"proposals": [each.proposal_id for each in response.proposals]},
    office_pb.GetProposalResponse: lambda response: {
        "proposal_id": response.proposal.proposal_id,
        **_proposed(response.proposal),
    },
    office_pb.ConfirmProposalResponse: _settled,
    office_pb.WithdrawProposalResponse: _settled,
    office_pb.GetServerInfoResponse: lambda response: {"revision": response.revision},
    office_pb.MeasureRecallResponse: _recall,
}


def asked(request: Any) -> Facts:  # noqa: ANN401 - any request
    """Return what was asked."""
    account = ASKED.get(type(request))
    return account(request) if account else {}


def answered(response: Any) -> Facts:  # noqa: ANN401 - any response
    """Return what was answered."""
    account = ANSWERED.get(type(response))
    return account(response) if account else {}
