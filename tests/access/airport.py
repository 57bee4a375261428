"""An airport whose lists are not everybody's: callers of every role that are bound to those of an airline."""

from __future__ import annotations

from typing import Any

import grpc

from access.pki import ROLES, GuardedServer, Pki, SecureWire
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from rpc.wire import Failure, failure, template

# Subjects and their lists; the number is the seed of their only template. "airline" is the list of those bound.
SUBJECTS = {
    "own": (10, ["airline"]),
    "wanted": (11, ["red"]),
    "shared": (12, ["airline", "red"]),
    "unlisted": (13, []),
}


class Airport:
    """A server, its administrator's wire, and wires of callers bound to "airline" by role."""

    def __init__(self, server: GuardedServer, pki: Pki) -> None:
        self.boss = SecureWire(server.address, pki.credentials("admin"))
        self.bound = {role: SecureWire(server.address, pki.credentials(f"airline-{role}")) for role in ROLES}

    def close(self) -> None:
        """Close all wires."""
        for each in (self.boss, *self.bound.values()):
            each.channel.close()


def enrolment(name: str, seed: int, lists: list[str], **fields: Any) -> pb.EnrollRequest:
    """Return the request that enrols a template."""
    return pb.EnrollRequest(subject=Subject(subject_id=name, watchlists=lists), samples=[template(seed)], **fields)


def identify(seed: int, *lists: str) -> pb.IdentifyRequest:
    """Return the request that searches for it."""
    return pb.IdentifyRequest(probe=template(seed), watchlists=lists)


def found(answer: pb.IdentifyResponse) -> dict[str, list[str]]:
    """Return whom a search found, and on which lists."""
    return {each.subject_id: list(each.watchlists) for each in answer.candidates}


def denied(wire: SecureWire, rpc: str, request: Any) -> Failure:
    """Make a call that must be denied for its watchlist."""
    refused = failure(lambda: wire.call(rpc, request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "WATCHLIST_DENIED"), refused
    return refused


def subject(airport: Airport, name: str) -> Subject:
    """Return a subject as it is, for who may see it."""
    request = office_pb.GetSubjectRequest(subject_id=name)
    stored: Subject = airport.boss.call("GetSubject", request).subject
    return stored
