"""What an update names is changed, and nothing else."""

from __future__ import annotations

import uuid

from google.protobuf.field_mask_pb2 import FieldMask

from gerbang import EnrollRequest
from gerbang.v1 import watchlist_service_pb2 as office_pb
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
