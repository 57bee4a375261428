"""Who is looked for at enrolment: other subjects with the same face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.decision import Candidate, best_of_each
from gerbang_service.domain.questions import Answer, Asked
from gerbang_service.threads.admission import Deadline

DUPLICATES: Final = 5
"""Others with the same face that are named, at most."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Faces of one subject, to be looked for among all others. `vectors`: of unit length, at least one.

    `seen_by`: the lists that the caller is bound to, None for all.
    """

    vectors: Sequence[NDArray[np.float32]]
    subject_id: str
    seen_by: frozenset[str] | None
    deadline: Deadline


def best_of_all(answers: Sequence[Asked]) -> list[Candidate] | Exception:
    """Return the best of all answers, each subject once; or the error of one."""
    found: list[Candidate] = []
    for asked in answers:
        if not isinstance(asked, Answer):
            return asked
        found += asked.candidates
    return best_of_each(found, DUPLICATES) if found else []
