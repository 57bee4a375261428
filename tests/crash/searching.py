"""Whom a search must find: exactly that person, with lists and labels as last acknowledged, or nobody."""

from __future__ import annotations

from crash.model import Person, Wrong
from gerbang import Sample
from gerbang.v1 import matching_service_pb2 as pb

# One's own templates alone are so similar.
_THRESHOLD = 0.999


def search(probe: Sample, revision: int) -> pb.IdentifyRequest:
    """Return the question whose template this is, of a state not before a revision."""
    return pb.IdentifyRequest(probe=probe, threshold=_THRESHOLD, min_revision=revision)


def check_found(answer: pb.IdentifyResponse, request: pb.IdentifyRequest, expected: dict[str, Person]) -> None:
    """Raise Wrong unless an answer has the people expected, by name, and comes from no older state."""
    if answer.HasField("error"):
        raise Wrong(f"a search failed: {answer.error.message}")
    if answer.revision < request.min_revision:
        raise Wrong(f"min_revision {request.min_revision} was answered from {answer.revision}")
    found = {each.subject_id: (tuple(each.watchlists), dict(each.labels)) for each in answer.candidates}
    wanted = {name: (person.lists, person.labels) for name, person in expected.items()}
    if found != wanted:
        raise Wrong(f"{found} was found at revision {answer.revision} where {wanted} should be")
