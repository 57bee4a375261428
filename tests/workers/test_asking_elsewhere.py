"""What one worker acknowledged is there for who asks another: stored things at once, faces with `min_revision`."""

from __future__ import annotations

import uuid

from gerbang.v1.matching_service_pb2 import VerifyRequest
from gerbang.v1.sample_pb2 import Sample, Template
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang.v1.watchlist_service_pb2 import (
    CreateWatchlistRequest,
    DeleteWatchlistRequest,
    GetSubjectRequest,
    GetWatchlistRequest,
    ListSubjectsRequest,
    ListWatchlistsRequest,
)
from workers.connections import TIMEOUT_S, Connection, vector

# Often enough that a worker which is asked before it has followed is met.
TIMES = 40


def test_a_list_made_through_one_is_read_through_the_other_at_once(both: list[Connection]) -> None:
    """Each of the calls that read lists knows it, with who is on it."""
    for number in range(TIMES):
        taker, other = both[number % 2], both[1 - number % 2]
        name = f"read-{number}"
        made = CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name))
        created = taker.office.CreateWatchlist(made, timeout=TIMEOUT_S).watchlist
        assert other.office.GetWatchlist(GetWatchlistRequest(watchlist_id=name), timeout=TIMEOUT_S).watchlist == created
        assert not other.office.ListSubjects(ListSubjectsRequest(watchlist=name), timeout=TIMEOUT_S).subjects
        taker.enroll(f"on-{name}", 50_000 + number, watchlists=[name])
        listed = other.office.ListWatchlists(ListWatchlistsRequest(), timeout=TIMEOUT_S).watchlists
        assert {each.watchlist_id: each.subject_count for each in listed}[name] == 1


def test_a_list_deleted_through_one_is_gone_for_the_other_at_once(both: list[Connection]) -> None:
    """No list is shown with nobody on it that is not there any more."""
    for number in range(TIMES):
        taker, other = both[number % 2], both[1 - number % 2]
        made = CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="short-lived"))
        taker.office.CreateWatchlist(made, timeout=TIMEOUT_S)
        taker.office.DeleteWatchlist(DeleteWatchlistRequest(watchlist_id="short-lived"), timeout=TIMEOUT_S)
        listed = other.office.ListWatchlists(ListWatchlistsRequest(), timeout=TIMEOUT_S).watchlists
        assert "short-lived" not in {each.watchlist_id for each in listed}


def test_a_subject_enrolled_through_one_is_read_through_the_other_at_once(both: list[Connection]) -> None:
    """As it is stored."""
    for number in range(TIMES):
        taker, other = both[number % 2], both[1 - number % 2]
        enrolled = taker.enroll(f"stored-{number}", 51_000 + number).subject
        request = GetSubjectRequest(subject_id=f"stored-{number}")
        assert other.office.GetSubject(request, timeout=TIMEOUT_S).subject == enrolled


def test_who_was_enrolled_at_one_is_verified_at_the_other(both: list[Connection]) -> None:
    """With `min_revision` nobody is told that there is no such subject; the answer says of which revision it is."""
    for number in range(TIMES):
        taker, other = both[number % 2], both[1 - number % 2]
        revision = taker.enroll(f"verified-{number}", 52_000 + number).revision
        probe = Sample(template=Template(vector=vector(52_000 + number)))
        request = VerifyRequest(probe=probe, subject_id=f"verified-{number}", min_revision=revision)
        answer = other.matching.Verify(request, timeout=TIMEOUT_S)
        assert answer.match
        assert answer.revision >= revision


def test_a_repeat_is_answered_when_the_change_is_visible(both: list[Connection]) -> None:
    """Who repeats a request at another worker finds the person there at once, without `min_revision`."""
    for number in range(TIMES):
        taker, other = both[number % 2], both[1 - number % 2]
        request_id, seed = str(uuid.uuid4()), 53_000 + number
        taker.enroll(f"again-{number}", seed, request_id=request_id)
        assert other.enroll(f"again-{number}", seed, request_id=request_id).replayed
        assert f"again-{number}" in other.finds(seed)
