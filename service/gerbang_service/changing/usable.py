"""What the samples of an enrolment come to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gerbang_service.changing.enrolment import REJECTIONS, Enrolment, Item, Rejection
from gerbang_service.changing.one_face import OneFace
from gerbang_service.changing.storing import NewEnrolment
from gerbang_service.domain.questions import Features
from gerbang_service.domain.subjects import NewTemplate


def usable(wanted: Enrolment, samples: Sequence[Features | Rejection]) -> Sequence[Features | Rejection]:
    """Return the samples, if enough of them can be used for what is wanted; raise the first rejection otherwise."""
    rejections = [each for each in samples if not isinstance(each, Features)]
    if rejections and (not wanted.allow_partial or len(rejections) == len(samples)):
        first = rejections[0]
        first.metadata["sample"] = str(samples.index(first))
        raise first
    return samples


def checked(vector: NDArray[np.float32] | Rejection) -> Features | Rejection:
    """Return what a template came to."""
    return vector if isinstance(vector, REJECTIONS) else Features(vector, None)


def vectors_of(item: Item) -> NDArray[np.float32]:
    """Return the item's templates; float32 (templates, dimension)."""
    vectors = [each.vector for each in item.usable or () if isinstance(each, Features)]
    return np.stack(vectors) if len(vectors) > 1 else vectors[0][np.newaxis]


def to_store(item: Item, model: str, threshold: float) -> NewEnrolment:
    """Return what is stored of the item. `model`: of its templates; `threshold`: a cosine that one face's reach."""
    wanted = item.wanted
    return NewEnrolment(
        wanted.subject,
        [_template(each) if isinstance(each, Features) else each.reason for each in item.usable or ()],
        model,
        wanted.on_existing,
        wanted.request_id,
        item.digest,
        OneFace(threshold, wanted.allow_different, wanted.allow_partial),
        wanted.expected_revision,
    )


def _template(features: Features) -> NewTemplate:
    return NewTemplate(features.vector, features.face.quality if features.face else None, features.chain)
