"""Who is bound to watchlists searches and sees nothing of others', and does not learn that it is there."""

from __future__ import annotations

from typing import Any

import pytest

from access.airport import SUBJECTS, Airport, denied, found, identify, subject
from access.requests import REQUESTS
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang_service.access import bounds
from gerbang_service.access.identity import Identity, Role
from gerbang_service.domain.errors import SubjectNotFound
from rpc.wire import failure, of_status, template

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


@pytest.mark.parametrize(("name", "seed"), [("own", 10), ("shared", 12)])
def test_verify_sees_who_is_on_the_callers_lists(airport: Airport, name: str, seed: int) -> None:
    """Also on one of them and on another's."""
    request = pb.VerifyRequest(probe=template(seed), subject_id=name)
    assert airport.bound["counter"].call("Verify", request).match


def test_verify_tells_of_others_what_it_tells_of_nobody(airport: Airport) -> None:
    """The answer for who is wanted, or on no list, is that for an id that was never given, but for the id."""

    def answer(name: str) -> str:
        request = pb.VerifyRequest(probe=template(SUBJECTS.get(name, (1, []))[0]), subject_id=name)
        refused = failure(lambda: airport.bound["counter"].call("Verify", request))
        metadata = {key: value for key, value in refused.metadata.items() if key != "request_id"}
        return f"{refused.code} {refused.reason} {refused.message} {metadata}".replace(name, "X")

    assert answer("wanted") == answer("unlisted") == answer("nobody")
    assert "SUBJECT_NOT_FOUND" in answer("wanted")
    request = pb.VerifyRequest(probe=template(13), subject_id="unlisted")
    assert airport.boss.call("Verify", request).match


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
        "unlisted": None,
        "wanted": None,
    }


def test_a_subject_is_shown_without_lists_of_others(airport: Airport) -> None:
    """GetSubject of who is on both shows the caller's own list."""
    shown = airport.bound["auditor"].call("GetSubject", office_pb.GetSubjectRequest(subject_id="shared"))
    assert list(shown.subject.watchlists) == ["airline"]


@pytest.mark.parametrize("rpc", ["GetSubject", "UpdateSubject", "DeleteSubject", "DeleteTemplate"])
def test_somebody_of_other_lists_or_of_none_does_not_exist(airport: Airport, rpc: str) -> None:
    """Reading and changing them fail like reading and changing nobody."""
    messages = set()
    for name in ("wanted", "unlisted", "nobody"):
        request = type(REQUESTS[rpc])()
        request.CopyFrom(REQUESTS[rpc])
        if rpc == "UpdateSubject":
            request.subject.subject_id = name
        else:
            request.subject_id = name
        refused = failure(lambda: airport.bound["enrolment"].call(rpc, request))  # noqa: B023 - called at once
        messages.add((refused.reason, refused.message.replace(name, "X")))
    assert messages == {("SUBJECT_NOT_FOUND", "no subject X")}
    assert all(subject(airport, name).templates for name in ("wanted", "unlisted"))


def test_of_somebody_who_is_not_seen_nothing_is_read_but_lists() -> None:
    """How long it takes would tell that there is somebody: labels are decrypted, and of nobody there are none."""

    class OnlyLists:
        """The lists of a subject, and nothing else to be read."""

        def __init__(self, lists: tuple[str, ...] | None) -> None:
            self.lists = lists

        def lists_of(self, _: str) -> tuple[str, ...] | None:
            """Return them."""
            return self.lists

    clerk = Identity("clerk", Role.ENROLMENT, frozenset({"airline"}))
    for lists in (None, (), ("red",)):
        with pytest.raises(SubjectNotFound):
            bounds.seen(clerk, OnlyLists(lists), "x")  # type: ignore[arg-type]  # as much of a reader as is needed


def test_only_the_callers_lists_are_listed_and_shown(airport: Airport) -> None:
    """Another one is denied, whether it is there or not."""
    auditor = airport.bound["auditor"]
    listed = auditor.call("ListWatchlists", office_pb.ListWatchlistsRequest())
    assert [each.watchlist_id for each in listed.watchlists] == ["airline", "lounge"]
    assert auditor.call("GetWatchlist", office_pb.GetWatchlistRequest(watchlist_id="airline"))
    for name in ("red", "no-such-list"):
        denied(auditor, "GetWatchlist", office_pb.GetWatchlistRequest(watchlist_id=name))
        denied(auditor, "ListSubjects", office_pb.ListSubjectsRequest(watchlist=name))
