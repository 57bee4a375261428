"""Who is bound to watchlists searches, sees and changes nothing of others', and does not learn that it is there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from access.pki import GuardedServer, Pki, SecureWire
from access.requests import REQUESTS
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from rpc.wire import Failure, failure, of_status, template

# Subjects and their lists; the number is the seed of their only template. "airline" is the list of those bound.
SUBJECTS = {
    "own": (10, ["airline"]),
    "wanted": (11, ["red"]),
    "shared": (12, ["airline", "red"]),
    "unlisted": (13, []),
}
ROLES = ("gate", "counter", "enrolment", "auditor", "admin")


class Airport:
    """A server, its administrator's wire, and wires of callers bound to "airline" by role."""

    def __init__(self, server: GuardedServer, pki: Pki) -> None:
        self.boss = SecureWire(server.address, pki.credentials("admin"))
        self.bound = {role: SecureWire(server.address, pki.credentials(f"airline-{role}")) for role in ROLES}

    def close(self) -> None:
        """Close all wires."""
        for each in (self.boss, *self.bound.values()):
            each.channel.close()


@pytest.fixture(scope="module")
def airport(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airport]:
    """The airport, with its lists and subjects."""
    pki = Pki(tmp_path_factory.mktemp("bound-pki") / "pki")
    pki.client("admin", "admin")
    for role in ROLES:
        pki.client(f"airline-{role}", role, ("airline", "lounge"))
    with GuardedServer(tmp_path_factory.mktemp("bound") / "data", pki) as server:
        made = Airport(server, pki)
        for name in ("airline", "lounge", "red"):
            made.boss.call("CreateWatchlist", office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name)))
        for name, (seed, lists) in SUBJECTS.items():
            made.boss.call("Enroll", enrolment(name, seed, lists))
        yield made
        made.close()


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


# --- searching ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "hits"), [(10, {"own": ["airline"]}), (11, {}), (12, {"shared": ["airline"]})])
def test_a_search_that_names_no_list_is_of_the_callers_own(airport: Airport, seed: int, hits: dict[str, Any]) -> None:
    """Whoever is on another list only is not found, and of who is on both the other is not told."""
    assert found(airport.bound["gate"].call("Identify", identify(seed))) == hits
    assert found(airport.bound["gate"].call("IdentifyStream", identify(seed))) == hits
    batch = airport.bound["gate"].call("IdentifyBatch", pb.IdentifyBatchRequest(requests=[identify(seed)]))
    assert found(batch.responses[0]) == hits


def test_the_same_searches_find_all_for_who_is_not_bound(airport: Airport) -> None:
    """So it is the caller and not the question that hides them."""
    assert found(airport.boss.call("Identify", identify(11))) == {"wanted": ["red"]}
    assert found(airport.boss.call("Identify", identify(12))) == {"shared": ["airline", "red"]}


@pytest.mark.parametrize("lists", [["red"], ["airline", "red"], ["no-such-list"]])
def test_naming_another_list_is_denied_in_every_way_of_searching(airport: Airport, lists: list[str]) -> None:
    """Also one that is not there: what lists there are is none of the caller's business."""
    gate = airport.bound["gate"]
    denied(gate, "Identify", identify(11, *lists))
    items = [
        gate.call("IdentifyStream", identify(11, *lists)).error,
        gate.call("IdentifyBatch", pb.IdentifyBatchRequest(requests=[identify(11, *lists)])).responses[0].error,
    ]
    assert [of_status(each).reason for each in items] == ["WATCHLIST_DENIED"] * 2


def test_a_list_of_the_callers_own_may_be_named(airport: Airport) -> None:
    """It is searched, and its other one is not."""
    assert found(airport.bound["gate"].call("Identify", identify(10, "airline"))) == {"own": ["airline"]}
    assert found(airport.bound["gate"].call("Identify", identify(10, "lounge"))) == {}


@pytest.mark.parametrize(("name", "seed"), [("own", 10), ("shared", 12), ("unlisted", 13)])
def test_verify_sees_who_is_on_the_callers_lists_or_on_none(airport: Airport, name: str, seed: int) -> None:
    """A reference that no list concerns is there for every counter."""
    request = pb.VerifyRequest(probe=template(seed), subject_id=name)
    assert airport.bound["counter"].call("Verify", request).match


def test_verify_tells_of_others_what_it_tells_of_nobody(airport: Airport) -> None:
    """The answer for somebody who is wanted is that for an id that was never given, but for the id."""

    def answer(name: str) -> str:
        request = pb.VerifyRequest(probe=template(11), subject_id=name)
        refused = failure(lambda: airport.bound["counter"].call("Verify", request))
        metadata = {key: value for key, value in refused.metadata.items() if key != "request_id"}
        return f"{refused.code} {refused.reason} {refused.message} {metadata}".replace(name, "X")

    assert answer("wanted") == answer("nobody")
    assert "SUBJECT_NOT_FOUND" in answer("wanted")


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["enrolment", "auditor", "admin"])
def test_subjects_are_listed_without_others_and_without_their_lists(airport: Airport, role: str) -> None:
    """Page by page, none is left out and none of others' is in it."""
    listed: dict[str, list[str]] = {}
    request = office_pb.ListSubjectsRequest(page_size=1)
    while True:
        page = airport.bound[role].call("ListSubjects", request)
        listed |= {each.subject_id: list(each.watchlists) for each in page.subjects}
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert {name: listed.get(name) for name in SUBJECTS} == {
        "own": ["airline"],
        "shared": ["airline"],
        "unlisted": [],
        "wanted": None,
    }


def test_a_subject_is_shown_without_lists_of_others(airport: Airport) -> None:
    """GetSubject of who is on both shows the caller's own list."""
    shown = airport.bound["auditor"].call("GetSubject", office_pb.GetSubjectRequest(subject_id="shared"))
    assert list(shown.subject.watchlists) == ["airline"]


@pytest.mark.parametrize("rpc", ["GetSubject", "UpdateSubject", "DeleteSubject", "DeleteTemplate"])
def test_somebody_of_other_lists_does_not_exist(airport: Airport, rpc: str) -> None:
    """Reading and changing them fail like reading and changing nobody."""
    messages = set()
    for name in ("wanted", "nobody"):
        request = type(REQUESTS[rpc])()
        request.CopyFrom(REQUESTS[rpc])
        if rpc == "UpdateSubject":
            request.subject.subject_id = name
        else:
            request.subject_id = name
        refused = failure(lambda: airport.bound["enrolment"].call(rpc, request))  # noqa: B023 - called at once
        messages.add((refused.reason, refused.message.replace(name, "X")))
    assert messages == {("SUBJECT_NOT_FOUND", "no subject X")}
    assert airport.boss.call("GetSubject", office_pb.GetSubjectRequest(subject_id="wanted")).subject.templates


def test_only_the_callers_lists_are_listed_and_shown(airport: Airport) -> None:
    """Another one is denied, whether it is there or not."""
    auditor = airport.bound["auditor"]
    listed = auditor.call("ListWatchlists", office_pb.ListWatchlistsRequest())
    assert [each.watchlist_id for each in listed.watchlists] == ["airline", "lounge"]
    assert auditor.call("GetWatchlist", office_pb.GetWatchlistRequest(watchlist_id="airline"))
    for name in ("red", "no-such-list"):
        denied(auditor, "GetWatchlist", office_pb.GetWatchlistRequest(watchlist_id=name))
        denied(auditor, "ListSubjects", office_pb.ListSubjectsRequest(watchlist=name))


# --- changing -------------------------------------------------------------------------------------------------------


def test_enrolling_goes_onto_own_lists_only(airport: Airport) -> None:
    """And the answer's duplicates name nobody of others'."""
    office = airport.bound["enrolment"]
    denied(office, "Enroll", enrolment("new", 11, ["red"]))
    denied(office, "Enroll", enrolment("new", 11, ["airline", "red"]))
    stream = office.call("EnrollStream", enrolment("new", 11, ["red"]))
    assert of_status(stream.error).reason == "WATCHLIST_DENIED"
    assert not office.call("Enroll", enrolment("looks-wanted", 11, ["airline"])).duplicates
    seen = office.call("Enroll", enrolment("looks-own", 10, ["airline"])).duplicates
    assert [each.subject_id for each in seen] == ["own"]
    both = airport.boss.call("Enroll", enrolment("looks-wanted-too", 11, ["red"])).duplicates
    assert {each.subject_id for each in both} == {"wanted", "looks-wanted"}


@pytest.mark.parametrize("existing", ["REJECT", "ADD", "REPLACE"])
def test_who_is_not_seen_can_be_neither_replaced_nor_added_to(airport: Airport, existing: str) -> None:
    """The id is taken: that is all there is to learn, and nothing changes."""
    before = airport.boss.call("GetSubject", office_pb.GetSubjectRequest(subject_id="wanted"))
    request = enrolment("wanted", 14, ["airline"], on_existing=f"ON_EXISTING_{existing}")
    refused = failure(lambda: airport.bound["enrolment"].call("Enroll", request))
    assert (refused.reason, refused.message) == ("SUBJECT_EXISTS", "subject wanted is already enrolled")
    assert airport.boss.call("GetSubject", office_pb.GetSubjectRequest(subject_id="wanted")) == before


def test_who_is_on_others_lists_too_is_not_changed(airport: Airport) -> None:
    """Deleting, replacing or expiring a shared subject would take a wanted person off the other list as well."""
    office = airport.bound["enrolment"]
    before = airport.boss.call("GetSubject", office_pb.GetSubjectRequest(subject_id="shared"))
    template_id = before.subject.templates[0].template_id
    update = office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id="shared", watchlists=["airline"]), update_mask=FieldMask(paths=["watchlists"])
    )
    refusals = [
        denied(office, "DeleteSubject", office_pb.DeleteSubjectRequest(subject_id="shared")),
        denied(office, "DeleteTemplate", office_pb.DeleteTemplateRequest(subject_id="shared", template_id=template_id)),
        denied(office, "UpdateSubject", update),
        denied(office, "Enroll", enrolment("shared", 14, ["airline"], on_existing="ON_EXISTING_REPLACE")),
        denied(office, "Enroll", enrolment("shared", 14, [], on_existing="ON_EXISTING_ADD")),
    ]
    assert "red" not in "".join(f"{each.message} {each.metadata}".replace("shared", "") for each in refusals)
    assert airport.boss.call("GetSubject", office_pb.GetSubjectRequest(subject_id="shared")) == before


def test_own_subjects_are_changed_and_moved_among_own_lists(airport: Airport) -> None:
    """Everything that enrolment may do works on them; onto another list they can't be moved."""
    office = airport.bound["enrolment"]
    assert office.call("Enroll", enrolment("mine", 20, ["airline"])).subject.subject_id == "mine"
    office.call("Enroll", enrolment("mine", 21, [], on_existing="ON_EXISTING_ADD"))
    for lists, allowed in ((["lounge"], True), (["red"], False), (["lounge", "red"], False)):
        request = office_pb.UpdateSubjectRequest(
            subject=Subject(subject_id="mine", watchlists=lists), update_mask=FieldMask(paths=["watchlists"])
        )
        if allowed:
            assert list(office.call("UpdateSubject", request).subject.watchlists) == lists
        else:
            denied(office, "UpdateSubject", request)
    assert office.call("DeleteSubject", office_pb.DeleteSubjectRequest(subject_id="mine")).revision


def test_a_repeated_request_of_somebody_else_shows_only_what_is_seen(airport: Airport) -> None:
    """The stored answer to an administrator names a duplicate that the caller must not know of."""
    airport.boss.call("Enroll", enrolment("first", 30, ["red"]))
    request = enrolment("second", 30, ["airline"], request_id=str(uuid.uuid4()))
    given = airport.boss.call("Enroll", request)
    assert [each.subject_id for each in given.duplicates] == ["first"]
    again = airport.bound["enrolment"].call("Enroll", request)
    assert again.replayed
    assert not again.duplicates
    # And nothing at all once it has moved to where the caller does not see it.
    move = office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id="second", watchlists=["red"]), update_mask=FieldMask(paths=["watchlists"])
    )
    airport.boss.call("UpdateSubject", move)
    assert failure(lambda: airport.bound["enrolment"].call("Enroll", request)).reason == "SUBJECT_EXISTS"


def test_a_bound_administrator_makes_and_deletes_own_lists_only(airport: Airport) -> None:
    """The lists that it is bound to; for others it is denied."""
    admin = airport.bound["admin"]
    for name in ("red", "new-list"):
        denied(admin, "CreateWatchlist", office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name)))
        denied(admin, "UpdateWatchlist", office_pb.UpdateWatchlistRequest(watchlist=Watchlist(watchlist_id=name)))
        denied(admin, "DeleteWatchlist", office_pb.DeleteWatchlistRequest(watchlist_id=name, force=True))
    change = office_pb.UpdateWatchlistRequest(watchlist=Watchlist(watchlist_id="lounge", title="Lounge"))
    assert admin.call("UpdateWatchlist", change).watchlist.title == "Lounge"


def test_a_list_that_is_gone_is_not_searched_as_if_nobody_were_on_it(airport: Airport) -> None:
    """A gate whose own list was deleted is told so, not "no hit"."""
    airport.boss.call("DeleteWatchlist", office_pb.DeleteWatchlistRequest(watchlist_id="lounge", force=True))
    refused = failure(lambda: airport.bound["gate"].call("Identify", identify(10)))
    assert (refused.reason, refused.metadata["watchlist_id"]) == ("WATCHLIST_NOT_FOUND", "lounge")
    airport.bound["admin"].call(
        "CreateWatchlist", office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="lounge"))
    )
    assert found(airport.bound["gate"].call("Identify", identify(10)))
