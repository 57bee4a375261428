"""Between a change and what is kept of it while it waits for a second person, as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import numpy as np

from gerbang_service.access.identity import Identity
from gerbang_service.changing import subjects, watchlists
from gerbang_service.changing.one_face import OneFace
from gerbang_service.changing.safeguards import Safeguards
from gerbang_service.changing.storing import NewEnrolment, OnExisting, store
from gerbang_service.changing.subjects import SubjectChange
from gerbang_service.changing.two_people import agreed
from gerbang_service.domain.errors import ModelMismatch
from gerbang_service.domain.faces import CaptureChain, Quality
from gerbang_service.domain.proposals import Kind, Proposal, ProposedChange
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Action, Direction
from gerbang_service.store.port import Operation


def update_subject(subject_id: str, change: SubjectChange) -> ProposedChange:
    """Return what is kept of an update of a subject."""
    values = {**change.fields, "add": change.add, "remove": change.remove}
    return ProposedChange(Kind.UPDATE_SUBJECT, subject_id, values=_text(values))


def delete_subject(subject_id: str) -> ProposedChange:
    """Return what is kept of the deletion of a subject."""
    return ProposedChange(Kind.DELETE_SUBJECT, subject_id)


def delete_template(subject_id: str, template_id: int) -> ProposedChange:
    """Return what is kept of the deletion of a template."""
    return ProposedChange(Kind.DELETE_TEMPLATE, subject_id, values=_text({"template_id": template_id}))


def update_watchlist(watchlist_id: str, changed: Mapping[str, Any]) -> ProposedChange:
    """Return what is kept of an update of a list."""
    return ProposedChange(Kind.UPDATE_WATCHLIST, watchlist_id=watchlist_id, values=_text(changed))


def delete_watchlist(watchlist_id: str, *, force: bool) -> ProposedChange:
    """Return what is kept of the deletion of a list."""
    return ProposedChange(Kind.DELETE_WATCHLIST, watchlist_id=watchlist_id, values=_text({"force": force}))


def replace_subject(new: NewEnrolment) -> ProposedChange:
    """Return what is kept of an enrolment that replaces somebody; its templates too."""
    subject, rule = new.subject, new.one_face
    values = {
        "watchlists": subject.watchlists,
        "valid_from_ns": subject.valid_from_ns,
        "expire_time_ns": subject.expire_time_ns,
        "labels": dict(subject.labels),
        "samples": [each if isinstance(each, str) else _sample(each) for each in new.samples],
        "model": new.model,
        "one_face": [rule.threshold, rule.allow_different, rule.allow_partial],
    }
    return ProposedChange(Kind.REPLACE_SUBJECT, subject.subject_id, values=_text(values))


def subject_change(change: ProposedChange) -> SubjectChange:
    """Return the update of a subject that was kept."""
    fields = json.loads(change.values)
    add, remove = tuple(fields.pop("add")), tuple(fields.pop("remove"))
    if "watchlists" in fields:
        fields["watchlists"] = tuple(fields["watchlists"])
    return SubjectChange(fields, add, remove)


def watchlist_change(change: ProposedChange) -> dict[str, Any]:
    """Return the update of a list that was kept."""
    changed: dict[str, Any] = json.loads(change.values)
    of = {"direction": Direction, "action": Action}
    return {name: of[name](value) if name in of else value for name, value in changed.items()}


def replacement(change: ProposedChange, safeguards: Safeguards) -> NewEnrolment:
    """Return the enrolment that was kept."""
    values = json.loads(change.values)
    threshold, allow_different, allow_partial = values["one_face"]
    return NewEnrolment(
        Subject(
            change.subject_id,
            tuple(values["watchlists"]),
            values["valid_from_ns"],
            values["expire_time_ns"],
            values["labels"],
        ),
        [each if isinstance(each, str) else _template(*each) for each in values["samples"]],
        values["model"],
        OnExisting.REPLACE,
        safeguards.request_id,
        safeguards.digest,
        OneFace(threshold, allow_different, allow_partial),
        safeguards.expected_revision,
    )


def operation_of(proposal: Proposal, caller: Identity, model: str) -> Operation[Any]:
    """Return the operation that makes a proposed change from the state that it was proposed from, for who confirms it.

    `model`: the recogniser whose templates are compared. Raises ModelMismatch for templates of another.
    """
    change = proposal.change
    values = json.loads(change.values)
    once = Safeguards(proposal.request_id, proposal.revision, proposal.digest)
    match change.kind:
        case Kind.UPDATE_SUBJECT:
            return subjects.update_subject(caller, change.subject_id, subject_change(change), once, agreed)
        case Kind.DELETE_SUBJECT:
            return subjects.delete_subject(caller, change.subject_id, once, agreed)
        case Kind.DELETE_TEMPLATE:
            return subjects.delete_template(caller, change.subject_id, values["template_id"], once, agreed)
        case Kind.UPDATE_WATCHLIST:
            return watchlists.update_watchlist(change.watchlist_id, watchlist_change(change), once, agreed)
        case Kind.DELETE_WATCHLIST:
            return watchlists.delete_watchlist(
                change.watchlist_id, force=values["force"], safeguards=once, agreement=agreed
            )
        case Kind.REPLACE_SUBJECT:
            if values["model"] != model:
                raise ModelMismatch("proposed with templates of another recogniser: propose it again", model=model)
            return store(caller, replacement(change, once), agreed)


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), default=lambda each: each.value, sort_keys=True, ensure_ascii=False)


def _sample(template: NewTemplate) -> tuple[str, tuple[float, ...] | None, tuple[Any, ...] | None]:
    vector = base64.b64encode(template.vector.astype("<f4").tobytes()).decode()
    quality, chain = template.quality, template.chain
    return vector, None if quality is None else astuple(quality), None if chain is None else astuple(chain)


def _template(vector: str, quality: list[float] | None, chain: list[Any] | None) -> NewTemplate:
    unpacked = np.frombuffer(base64.b64decode(vector), "<f4").astype(np.float32)
    return NewTemplate(
        unpacked, None if quality is None else Quality(*quality), None if chain is None else CaptureChain(*chain)
    )
