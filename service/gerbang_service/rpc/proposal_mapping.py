"""Proposals -> messages of the wire."""

from __future__ import annotations

import json
from typing import Final

from google.protobuf import field_mask_pb2

from gerbang.v1 import subject_pb2
from gerbang.v1 import watchlist_service_pb2 as pb
from gerbang_service.asking.proposals import ShownProposal
from gerbang_service.changing import wanted
from gerbang_service.changing.safeguards import UNGUARDED
from gerbang_service.domain.proposals import Kind, Proposal, ProposedChange
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import CountedWatchlist, Watchlist
from gerbang_service.domain.weakening import Weakening
from gerbang_service.rpc import mapping

WEAKENING_NUMBERS: Final = {
    Weakening.REMOVED: pb.WEAKENING_REMOVED,
    Weakening.VALIDITY: pb.WEAKENING_VALIDITY,
    Weakening.LIST: pb.WEAKENING_LIST,
    Weakening.TEMPLATES: pb.WEAKENING_TEMPLATES,
}
# Fields of the domain that have another name on the wire.
_PATHS: Final = {"valid_from_ns": "valid_from", "expire_time_ns": "expire_time"}


def proposal(stored: Proposal, *, stale: bool = False) -> pb.Proposal:
    """Return the Proposal message."""
    message = pb.Proposal(
        proposal_id=str(stored.proposal_id),
        weakened=[
            pb.WeakenedWatchlist(
                watchlist_id=name,
                ways=sorted(WEAKENING_NUMBERS[way] for on, way in stored.weakened if on == name),
            )
            for name in stored.watchlists
        ],
        proposed_by=stored.proposed_by,
        role=stored.role,
        propose_time=mapping.timestamp(stored.propose_time_ns),
        expire_time=mapping.timestamp(stored.expire_time_ns),
        note=stored.note,
        revision=stored.revision,
        stale=stale,
    )
    _put_change(message, stored.change)
    return message


def shown(found: ShownProposal) -> pb.Proposal:
    """Return the Proposal message."""
    return proposal(found.proposal, stale=found.stale)


def _put_change(message: pb.Proposal, change: ProposedChange) -> None:
    name, values = change.subject_id, json.loads(change.values)
    match change.kind:
        case Kind.UPDATE_SUBJECT:
            message.update_subject.CopyFrom(_subject_update(change))
        case Kind.DELETE_SUBJECT:
            message.delete_subject.subject_id = name
        case Kind.DELETE_TEMPLATE:
            message.delete_template.subject_id = name
            message.delete_template.template_id = str(values["template_id"])
        case Kind.UPDATE_WATCHLIST:
            message.update_watchlist.CopyFrom(_watchlist_update(change))
        case Kind.DELETE_WATCHLIST:
            message.delete_watchlist.watchlist_id = change.watchlist_id
            message.delete_watchlist.force = values["force"]
        case Kind.REPLACE_SUBJECT:
            new = wanted.replacement(change, UNGUARDED)
            message.replace_subject.subject.CopyFrom(_bare_subject(new.subject))
            message.replace_subject.allow_different = new.one_face.allow_different
            message.replace_subject.templates = sum(isinstance(each, NewTemplate) for each in new.samples)


def _subject_update(change: ProposedChange) -> pb.UpdateSubjectRequest:
    update = wanted.subject_change(change)
    paths = sorted(_PATHS.get(each, each) for each in update.fields)
    request = pb.UpdateSubjectRequest(
        subject=_bare_subject(Subject(change.subject_id, **update.fields)),
        add_watchlists=update.add,
        remove_watchlists=update.remove,
    )
    if paths:
        request.update_mask.CopyFrom(field_mask_pb2.FieldMask(paths=paths))
    return request


def _watchlist_update(change: ProposedChange) -> pb.UpdateWatchlistRequest:
    changed = wanted.watchlist_change(change)
    message = mapping.watchlist(CountedWatchlist(Watchlist(change.watchlist_id, **changed), 0))
    for output_only in ("create_time", "update_time"):
        message.ClearField(output_only)
    return pb.UpdateWatchlistRequest(watchlist=message, update_mask=field_mask_pb2.FieldMask(paths=sorted(changed)))


def _bare_subject(values: Subject) -> subject_pb2.Subject:
    message = mapping.subject(values)
    for output_only in ("create_time", "update_time"):
        message.ClearField(output_only)
    return message
