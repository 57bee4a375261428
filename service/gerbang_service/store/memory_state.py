"""What the fake of a store holds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

from gerbang_service.domain.faces import CaptureChain
from gerbang_service.domain.proposals import Proposal
from gerbang_service.domain.subjects import StoredSubject, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.following import Touched
from gerbang_service.store.port import AnsweredRequest

_BATCH = 1000


@dataclass(slots=True)
class State:
    """All that is stored. Never changed once others can read it: who writes works on a copy."""

    revision: int = 0
    watchlists: dict[str, Watchlist] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    vectors: dict[int, bytes] = field(default_factory=dict)
    answers: dict[str, AnsweredRequest] = field(default_factory=dict)
    changes: dict[int, Touched] = field(default_factory=dict)
    last_key: int = 0
    last_template: int = 0
    seen_time_ns: int | None = None
    proposals: dict[int, Proposal] = field(default_factory=dict)
    last_proposal: int = 0

    def copy(self) -> State:
        """Return a copy that may be changed."""
        made = copy.copy(self)
        for name in ("watchlists", "subjects", "keys", "vectors", "answers", "changes", "proposals"):
            setattr(made, name, dict(getattr(self, name)))
        return made


def subjects_of(state: State) -> Iterator[StoredSubject]:
    """Yield all subjects."""
    for name, each in state.subjects.items():
        yield StoredSubject(
            state.keys[name], name, each.watchlists, each.valid_from_ns, each.expire_time_ns, each.labels
        )


def templates_of(state: State, model: str) -> Iterator[list[tuple[int, int, bytes]]]:
    """Yield batches of (template_id, subject_key, vector) of a recogniser's templates, by template_id."""
    rows = sorted(
        (template.template_id, state.keys[name], state.vectors[template.template_id])
        for name, each in state.subjects.items()
        for template in each.templates
        if template.model == model
    )
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def chains_of(state: State, model: str) -> set[CaptureChain]:
    """Return by which chains a recogniser's templates came."""
    infos = (template for each in state.subjects.values() for template in each.templates)
    return {each.chain for each in infos if each.model == model and each.chain is not None}
