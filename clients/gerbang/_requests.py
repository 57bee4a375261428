"""Request messages of the matching calls, made of what callers pass."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Unpack

from google.protobuf.timestamp_pb2 import Timestamp

from gerbang._choices import Choice, direction_value, face_choice_value, on_existing_value, plan_value
from gerbang._options import EnrollOptions, IdentifyOptions, refuse_unknown
from gerbang._samples import image_of, to_sample
from gerbang.v1.matching_service_pb2 import (
    EnrollRequest,
    ExtractRequest,
    IdentifyBatchRequest,
    IdentifyRequest,
    VerifyRequest,
)
from gerbang.v1.sample_pb2 import Sample, Template
from gerbang.v1.subject_pb2 import Subject

if TYPE_CHECKING:
    from gerbang._samples import Probe


class Search:
    """The options of Identify, checked once, for as many probes as come. Immutable, thread-safe."""

    def __init__(self, options: IdentifyOptions) -> None:
        refuse_unknown(options, IdentifyOptions.__annotations__)
        self._face_choice = options.get("face_choice")
        face_choice_value(self._face_choice)  # a wrong one is refused now, not with the first probe
        self._common = IdentifyRequest(
            watchlists=ids(options.get("watchlists", ()), "watchlists"),
            direction=direction_value(options.get("direction")),
            max_candidates=options.get("max_candidates", 0),
            threshold=options.get("threshold"),
            plan=plan_value(options.get("plan")),
            min_revision=options.get("min_revision", 0),
        )

    def request(self, probe: Probe, sequence: int = 0) -> IdentifyRequest:
        """Make the request for one probe; raise what to_sample raises."""
        request = IdentifyRequest(probe=to_sample(probe, self._face_choice), sequence=sequence)
        request.MergeFrom(self._common)
        return request

    def batch(self, probes: Iterable[Probe]) -> IdentifyBatchRequest:
        """Make one request for all probes; raise what to_sample raises."""
        if isinstance(probes, str | bytes | os.PathLike | Sample | Template):
            raise TypeError(f"probes is a list of probes, not one {type(probes).__name__}")
        return IdentifyBatchRequest(requests=[self.request(probe) for probe in probes])


def extract_request(image: Probe, face_choice: Choice | None) -> ExtractRequest:
    """Make the request; raise TypeError for what is no image."""
    content = image_of(image)
    if content is None:
        raise TypeError(f"{type(image).__name__} is no image: use bytes or a pathlib.Path")
    return ExtractRequest(image=content, face_choice=face_choice_value(face_choice))


def verify_request(
    probe: Probe,
    *,
    subject_id: str | None,
    reference: Probe | None,
    threshold: float | None,
    min_revision: int,
    face_choice: Choice | None,
) -> VerifyRequest:
    """Make the request; raise TypeError unless exactly one of `subject_id` and `reference` is given."""
    if (subject_id is None) == (reference is None):
        raise TypeError("verify takes exactly one of subject_id and reference")
    request = VerifyRequest(probe=to_sample(probe, face_choice), threshold=threshold, min_revision=min_revision)
    if subject_id is not None:
        request.subject_id = subject_id
    elif reference is not None:
        request.sample.CopyFrom(to_sample(reference, face_choice))
    return request


def enroll_request(subject_id: str, samples: Iterable[Probe], **options: Unpack[EnrollOptions]) -> EnrollRequest:
    """Make an EnrollRequest for `enroll_stream`.

    subject_id: 1 to 128 of [A-Za-z0-9._:-], opaque: no personal data, it is logged. Empty: the server makes
    one.
    samples: 1 to 20 Probes of the same face. Options: see EnrollOptions.

    Raises TypeError for what is no Probe, ValueError for an unknown choice or a datetime without a time zone,
    OSError for a file that can't be read. Thread-safe.
    """
    refuse_unknown(options, EnrollOptions.__annotations__)
    if isinstance(samples, str | bytes | os.PathLike | Sample | Template):
        raise TypeError(f"samples is a list of samples, not one {type(samples).__name__}")
    face_choice = options.get("face_choice")
    return EnrollRequest(
        subject=subject_message(subject_id, options),
        samples=[to_sample(sample, face_choice) for sample in samples],
        request_id=options.get("request_id") or str(uuid.uuid4()),
        on_existing=on_existing_value(options.get("on_existing")),
        allow_partial=options.get("allow_partial", False),
        allow_different=options.get("allow_different", False),
        expected_revision=options.get("expected_revision", 0),
    )


def subject_message(subject_id: str, fields: Mapping[str, object]) -> Subject:
    """Make a Subject of the fields that it shares with EnrollOptions and SubjectFields."""
    return Subject(
        subject_id=subject_id,
        watchlists=ids(fields.get("watchlists", ()), "watchlists"),
        valid_from=timestamp(fields.get("valid_from"), "valid_from"),
        expire_time=timestamp(fields.get("expire_time"), "expire_time"),
        labels=labels_of(fields.get("labels")),
    )


def timestamp(when: object, argument: str) -> Timestamp | None:
    """Return a datetime as Timestamp, to the microsecond. Raise ValueError for one without a time zone."""
    if when is None:
        return None
    if not isinstance(when, datetime):
        raise TypeError(f"{argument} is a datetime, not {type(when).__name__}")
    if when.utcoffset() is None:
        raise ValueError(f"{argument} has no time zone: it would mean another instant on another machine")
    result = Timestamp()
    result.FromDatetime(when)
    return result


def ids(names: object, argument: str) -> list[str]:
    """Return a sequence of ids as list. Raise TypeError for a single str, which is a sequence of letters."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"{argument} is a list of ids, not {type(names).__name__}")
    return list(names)


def labels_of(labels: object) -> dict[str, str]:
    """Return labels as dict; None: none."""
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise TypeError(f"labels is a dict of strings, not {type(labels).__name__}")
    return dict(labels)
