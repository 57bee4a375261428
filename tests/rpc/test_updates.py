"""What an update names is changed, and nothing else."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from gerbang import EnrollRequest
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.matching_service_pb2 import ON_EXISTING_ADD
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import ACTION_REFER_TO_OFFICER, ACTION_REFUSE_ENTRY, DIRECTION_ARRIVAL, Watchlist
from rpc.contract import expect
from rpc.wire import TIMEOUT_S, Wire, failure, template


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def listed(bare: Wire, **fields: object) -> str:
    """Make a list; return its id."""
    watchlist = Watchlist(watchlist_id=fresh("list"), **fields)  # type: ignore[arg-type]
    bare.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=watchlist), timeout=TIMEOUT_S)
    return watchlist.watchlist_id


def enrolled(bare: Wire, *lists: str) -> str:
    """Enrol somebody; return the subject's id."""
    subject = Subject(subject_id=fresh("who"), watchlists=lists)
    bare.matching.Enroll(EnrollRequest(subject=subject, samples=[template(1)]), timeout=TIMEOUT_S)
    return subject.subject_id


def stored(bare: Wire, subject_id: str) -> Subject:
    return bare.watchlists.GetSubject(office_pb.GetSubjectRequest(subject_id=subject_id), timeout=TIMEOUT_S).subject


def test_who_forgets_the_mask_takes_nobody_off_a_list(bare: Wire) -> None:
    """A change of a label by a client that sent no mask is refused, and so is a list's."""
    name = listed(bare, action=ACTION_REFUSE_ENTRY, threshold=0.7)
    who = enrolled(bare, name)
    change = office_pb.UpdateSubjectRequest(subject=Subject(subject_id=who, labels={"a": "b"}))
    expect(failure(lambda: bare.watchlists.UpdateSubject(change)), "FIELD_INVALID", field="update_mask")
    assert list(stored(bare, who).watchlists) == [name]
    softer = office_pb.UpdateWatchlistRequest(watchlist=Watchlist(watchlist_id=name, title="new"))
    expect(failure(lambda: bare.watchlists.UpdateWatchlist(softer)), "FIELD_INVALID", field="update_mask")
    found = bare.watchlists.GetWatchlist(office_pb.GetWatchlistRequest(watchlist_id=name)).watchlist
    assert (found.title, found.action, round(found.threshold, 6)) == ("", ACTION_REFUSE_ENTRY, 0.7)


def test_an_asterisk_is_all_fields(bare: Wire) -> None:
    """What it says of none of them, they lose."""
    name = listed(bare, title="old", action=ACTION_REFUSE_ENTRY, threshold=0.7)
    who = enrolled(bare, name)
    everything = FieldMask(paths=["*"])
    changed = Watchlist(watchlist_id=name, direction=DIRECTION_ARRIVAL)
    updated = bare.watchlists.UpdateWatchlist(
        office_pb.UpdateWatchlistRequest(watchlist=changed, update_mask=everything)
    ).watchlist
    assert (updated.title, updated.direction, updated.action) == ("", DIRECTION_ARRIVAL, ACTION_REFER_TO_OFFICER)
    assert not updated.HasField("threshold")
    subject = Subject(subject_id=who, labels={"a": "b"})
    left = bare.watchlists.UpdateSubject(
        office_pb.UpdateSubjectRequest(subject=subject, update_mask=everything)
    ).subject
    assert (list(left.watchlists), dict(left.labels)) == ([], {"a": "b"})


def update(bare: Wire, who: str, **change: Any) -> office_pb.UpdateSubjectResponse:
    request = office_pb.UpdateSubjectRequest(subject=Subject(subject_id=who), **change)
    return bare.watchlists.UpdateSubject(request, timeout=TIMEOUT_S)


def test_lists_are_added_and_removed_beside_those_there_are(bare: Wire) -> None:
    """Two officers who each add a list are both heard; what was so already is no error, and not told as done."""
    first, second, third = (listed(bare) for _ in range(3))
    who = enrolled(bare, first)
    done = update(bare, who, add_watchlists=[second, first, second])
    assert (list(done.added_watchlists), list(done.removed_watchlists)) == ([second], [])
    assert list(done.subject.watchlists) == sorted([first, second])
    done = update(bare, who, add_watchlists=[third], remove_watchlists=[first])
    assert (list(done.added_watchlists), list(done.removed_watchlists)) == ([third], [first])
    done = update(bare, who, remove_watchlists=[first])
    assert (list(done.added_watchlists), list(done.removed_watchlists)) == ([], [])
    assert list(done.subject.watchlists) == sorted([second, third])
    replaced = office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id=who, watchlists=[first, third]), update_mask=FieldMask(paths=["watchlists"])
    )
    told = bare.watchlists.UpdateSubject(replaced, timeout=TIMEOUT_S)
    assert (list(told.added_watchlists), list(told.removed_watchlists)) == ([first], [second])


def test_other_fields_are_changed_along_with_lists(bare: Wire) -> None:
    """The mask names them, and must not name the lists as a whole."""
    first, second = listed(bare), listed(bare)
    who = enrolled(bare, first)
    change = office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id=who, labels={"a": "b"}),
        update_mask=FieldMask(paths=["labels"]),
        add_watchlists=[second],
    )
    subject = bare.watchlists.UpdateSubject(change, timeout=TIMEOUT_S).subject
    assert (list(subject.watchlists), dict(subject.labels)) == (sorted([first, second]), {"a": "b"})
    for paths in (["watchlists"], ["*"]):
        mask = FieldMask(paths=paths)
        wrong = failure(partial(update, bare, who, update_mask=mask, add_watchlists=[first]))
        expect(wrong, "FIELD_INVALID", field="update_mask")
    both = failure(lambda: update(bare, who, add_watchlists=[first], remove_watchlists=[first]))
    expect(both, "FIELD_INVALID", field="remove_watchlists")
    for field in ("add_watchlists", "remove_watchlists"):
        unknown = failure(partial(update, bare, who, **{field: ["nowhere"]}))
        expect(unknown, "WATCHLIST_NOT_FOUND", watchlist_id="nowhere")
        malformed = failure(partial(update, bare, who, **{field: ["no good"]}))
        expect(malformed, "FIELD_INVALID", field=field)
    assert stored(bare, who) == subject


def test_nobody_is_added_to_more_lists_than_a_subject_may_have(bare: Wire) -> None:
    """The 65th is refused by the field that named it."""
    lists = [listed(bare) for _ in range(65)]
    who = enrolled(bare, *lists[:64])
    expect(failure(lambda: update(bare, who, add_watchlists=lists[64:])), "FIELD_INVALID", field="add_watchlists")
    again = EnrollRequest(
        subject=Subject(subject_id=who, watchlists=lists[64:]), samples=[template(1)], on_existing=ON_EXISTING_ADD
    )
    expect(failure(lambda: bare.matching.Enroll(again)), "FIELD_INVALID", field="subject.watchlists")
    assert len(stored(bare, who).watchlists) == 64


def test_who_is_enrolled_once_more_is_put_on_the_lists_that_are_named(bare: Wire) -> None:
    """Besides those that they are on, which stay; the answer says which were added."""
    first, second = listed(bare), listed(bare)
    who = enrolled(bare, first)
    request = EnrollRequest(
        subject=Subject(subject_id=who, watchlists=[second]),
        samples=[template(1)],
        on_existing=ON_EXISTING_ADD,
        request_id=str(uuid.uuid4()),
    )
    done = bare.matching.Enroll(request, timeout=TIMEOUT_S)
    assert (list(done.added_watchlists), list(done.subject.watchlists)) == ([second], sorted([first, second]))
    repeated = bare.matching.Enroll(request, timeout=TIMEOUT_S)
    assert (repeated.replayed, list(repeated.added_watchlists)) == (True, [])
    request.request_id = ""
    assert not bare.matching.Enroll(request, timeout=TIMEOUT_S).added_watchlists
    new = EnrollRequest(subject=Subject(watchlists=[second]), samples=[template(3)], on_existing=ON_EXISTING_ADD)
    assert not bare.matching.Enroll(new, timeout=TIMEOUT_S).added_watchlists


def test_lists_come_in_pages(bare: Wire) -> None:
    """Each once, by id; a client that asks for no page gets all of them."""
    mine = {listed(bare) for _ in range(5)}
    everything = bare.watchlists.ListWatchlists(office_pb.ListWatchlistsRequest(), timeout=TIMEOUT_S)
    assert not everything.next_page_token
    names = [each.watchlist_id for each in everything.watchlists]
    assert mine <= set(names)
    for size in (2, len(names), len(names) + 1):
        found: list[Watchlist] = []
        token = ""
        while not found or token:
            request = office_pb.ListWatchlistsRequest(page_size=size, page_token=token)
            page = bare.watchlists.ListWatchlists(request, timeout=TIMEOUT_S)
            assert len(page.watchlists) <= size
            found += page.watchlists
            token = page.next_page_token
        assert found == list(everything.watchlists)
