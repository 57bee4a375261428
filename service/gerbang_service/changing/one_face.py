"""One subject, one face: what is enrolled of a subject shows one person, unless somebody says that it may not.

The check is made inside the transaction of the change, which sees the subject's templates as they are then: those of
requests that were under way at the same time too. The rule is in `changing/likeness.py`.

A replacement is compared with what it replaces as well. To put another face in the place of somebody's takes that
person off their lists as surely as a deletion, and a mistyped id must not do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gerbang_service.changing.likeness import Groups, best_to_others, groups
from gerbang_service.domain.errors import DataDamaged, SamplesDiffer
from gerbang_service.domain.subjects import NewTemplate, Subject, TemplateInfo
from gerbang_service.domain.thresholds import as_float32
from gerbang_service.store.port import Reader


@dataclass(frozen=True, slots=True)
class OneFace:
    """How alike a subject's faces have to be. `threshold`: the cosine from which on two are one person's.

    `allow_different`: they need not be. `allow_partial`: samples unlike the subject's templates are left out.
    """

    threshold: float
    allow_different: bool = False
    allow_partial: bool = False


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike the samples of an enrolment are. Each tuple has an entry for each sample, in order.

    `samples`: what there was, with SAMPLES_DIFFER for those that are left out. `similarities`: to the subject, exact:
    the best to a template or another sample; None where there is none. `different`: they are not one face, and may be.
    """

    samples: tuple[NewTemplate | str, ...]
    similarities: tuple[float | None, ...]
    different: bool = False


def judge(
    reader: Reader, existing: Subject | None, samples: Sequence[NewTemplate | str], model: str, rule: OneFace
) -> Likeness:
    """Compare an enrolment's samples with each other and with the subject's templates of the same recogniser.

    Raises SamplesDiffer where they are not one face and the rule does not let them be; DataDamaged for a template that
    can't be read, which is not compared where they may differ.
    """
    numbers = [number for number, each in enumerate(samples) if isinstance(each, NewTemplate)]
    templates = () if existing is None else tuple(each for each in existing.templates if each.model == model)
    if not templates and len(numbers) == 1:
        return Likeness(tuple(samples), (None,) * len(samples))
    vectors = np.stack([each.vector for each in samples if isinstance(each, NewTemplate)])
    known = _known(reader, templates, vectors.shape[1], skip_damaged=rule.allow_different)
    found = groups(vectors, known, as_float32(rule.threshold))
    apart = [[numbers[each] for each in group] for group in found.apart]
    one = _one_face(found, known)
    kept: Sequence[int] = range(len(numbers))
    judged = list(samples)
    if not one and not rule.allow_different:
        if not (rule.allow_partial and found.with_known):
            raise _differ(apart, found.nearest, rule.threshold, len(known))
        kept = found.with_known
        for number in (each for group in apart for each in group):
            judged[number] = SamplesDiffer.reason
    best = dict(zip(numbers, best_to_others(vectors, kept, known), strict=True))
    return Likeness(
        tuple(judged), tuple(map(best.get, range(len(samples)))), different=not one and rule.allow_different
    )


def judge_again(
    reader: Reader, subject: Subject, samples: Sequence[int | str], threshold: float
) -> tuple[dict[int, float | None], bool]:
    """Return what `judge` found of an earlier enrolment, as far as what it compared is still stored.

    `samples`: as in AnsweredRequest. Returns the similarity of each template that is left, by id, and whether they were
    not one face. What can't be read is not told.
    """
    ids = {each for each in samples if isinstance(each, int)}
    own = [each for each in subject.templates if each.template_id in ids]
    if not own or len(subject.templates) < 2:
        return {}, False
    # Ids are given in order: what has a lower one was there before.
    before = [each for each in subject.templates if each.template_id < min(ids) and each.model == own[0].model]
    try:
        vectors = _read(reader, own)
        known = _read(reader, before) if before else vectors[:0]
    except DataDamaged:
        return {}, False
    found = groups(vectors, known, as_float32(threshold))
    best = best_to_others(vectors, range(len(own)), known)
    return dict(zip((each.template_id for each in own), best, strict=True)), not _one_face(found, known)


def _one_face(found: Groups, known: NDArray[np.float32]) -> bool:
    return len(found.apart) == (0 if len(known) else 1)


def _known(
    reader: Reader, templates: Sequence[TemplateInfo], dimension: int, *, skip_damaged: bool
) -> NDArray[np.float32]:
    """Return the vectors of a subject's templates, float32 (templates, dimension)."""
    vectors = [np.empty((0, dimension), np.float32)]
    for each in templates:
        try:
            vectors.append(_read(reader, [each]))
        except DataDamaged:
            if not skip_damaged:
                raise
    return np.concatenate(vectors)


def _read(reader: Reader, templates: Sequence[TemplateInfo]) -> NDArray[np.float32]:
    return np.stack([np.frombuffer(reader.vector(each.template_id), "<f4") for each in templates])


def _differ(apart: Sequence[Sequence[int]], nearest: float, threshold: float, known: int) -> SamplesDiffer:
    """Return the error that names the groups: those that differ from the known templates, or from each other.

    `metadata`: `samples`, their numbers in the request, a group for each face, as "0,2;1"; `similarity`, the highest
    between two groups, or to the templates; `threshold`, what was needed; `templates`, how many the subject had.
    """
    named = ";".join(",".join(map(str, group)) for group in apart)
    who = f"samples {named} differ from the subject's templates" if known else f"samples {named} differ from each other"
    return SamplesDiffer(
        f"{who}: similarity {nearest:.3f} at most, and one person's are {as_float32(threshold):.3f} or more alike",
        samples=named,
        similarity=f"{nearest:.6f}",
        threshold=f"{as_float32(threshold):.6f}",
        templates=known,
    )
