"""Subjects and what is known of their templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.faces import CaptureChain, Quality


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """A stored template without its vector. `model`: fingerprint of its recogniser.

    `chain`: of the image it was made of; None for one that came as a template, or was stored by an older server.
    """

    template_id: int
    model: str
    create_time_ns: int
    quality: Quality | None
    chain: CaptureChain | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """An enrolled person. Times are ns since the epoch, None for unbounded; `expire_time_ns` is exclusive.

    `revision`: the gallery's at which it was last changed.
    """

    subject_id: str
    watchlists: tuple[str, ...] = ()
    valid_from_ns: int | None = None
    expire_time_ns: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    templates: tuple[TemplateInfo, ...] = ()
    create_time_ns: int = 0
    update_time_ns: int = 0
    revision: int = 0

    def ended_by(self, moment_ns: int) -> bool:
        """Tell whether its time is over at a moment, ns since the epoch."""
        return self.expire_time_ns is not None and self.expire_time_ns <= moment_ns


def check_validity(subject: Subject) -> None:
    """Raise FieldInvalid unless the validity has a beginning before its end."""
    begin, end = subject.valid_from_ns, subject.expire_time_ns
    if begin is not None and end is not None and begin >= end:
        raise FieldInvalid("subject.expire_time", "must be after subject.valid_from")


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """A template about to be stored. `vector`: float32, shape (dimension,), unit length; `chain`: as TemplateInfo's."""

    vector: NDArray[np.float32]
    quality: Quality | None
    chain: CaptureChain | None = None


class StoredSubject(NamedTuple):
    """A subject as the gallery loads it. `subject_key`: the store's own; times as in Subject.

    A tuple, because it is made several times as fast, and there are millions of them.
    """

    subject_key: int
    subject_id: str
    watchlists: tuple[str, ...]
    valid_from_ns: int | None
    expire_time_ns: int | None
    labels: Mapping[str, str]
