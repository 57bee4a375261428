"""Changes that are made once, however often they are sent, and only from the state that they were made for."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from gerbang import EnrollRequest
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from rpc.contract import expect
from rpc.test_updates import enrolled, fresh, listed, stored
from rpc.wire import TIMEOUT_S, Wire, failure, template


def stored_list(bare: Wire, name: str) -> Watchlist:
    request = office_pb.GetWatchlistRequest(watchlist_id=name)
    return bare.watchlists.GetWatchlist(request, timeout=TIMEOUT_S).watchlist


def call(bare: Wire, request: Any) -> Any:
    """Send a request of the watchlist office or an Enroll, whose rpc its type says."""
    rpc = type(request).__name__.removesuffix("Request")
    service = bare.matching if rpc == "Enroll" else bare.watchlists
    return getattr(service, rpc)(request, timeout=TIMEOUT_S)


def labels(who: str, value: str, **safeguards: Any) -> office_pb.UpdateSubjectRequest:
    return office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id=who, labels={"value": value}), update_mask=FieldMask(paths=["labels"]), **safeguards
    )


def title(name: str, value: str, **safeguards: Any) -> office_pb.UpdateWatchlistRequest:
    return office_pb.UpdateWatchlistRequest(
        watchlist=Watchlist(watchlist_id=name, title=value), update_mask=FieldMask(paths=["title"]), **safeguards
    )


def revision(bare: Wire) -> int:
    return bare.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S).revision


# --- repeats ----------------------------------------------------------------------------------------------------------


def repeated(bare: Wire, request: Any) -> tuple[Any, Any]:
    """Send a request twice with one id; return both answers. The second changed nothing."""
    request.request_id = str(uuid.uuid4())
    first = call(bare, request)
    before = revision(bare)
    second = call(bare, request)
    assert revision(bare) == before
    assert (first.replayed, second.replayed) == (False, True)
    assert second.revision == first.revision
    return first, second


def test_a_repeated_update_is_made_once(bare: Wire) -> None:
    """What somebody else changed since stays; the answer is the subject as it is now."""
    first, second = listed(bare), listed(bare)
    who = enrolled(bare, first)
    move = office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id=who),
        add_watchlists=[second],
        remove_watchlists=[first],
        request_id=str(uuid.uuid4()),
    )
    done = call(bare, move)
    call(bare, office_pb.UpdateSubjectRequest(subject=Subject(subject_id=who), add_watchlists=[first]))
    again = call(bare, move)
    assert (again.replayed, again.revision) == (True, done.revision)
    assert [*again.added_watchlists, *again.removed_watchlists] == []
    assert list(again.subject.watchlists) == sorted([first, second])


def test_each_change_may_be_repeated(bare: Wire) -> None:
    """Creating, changing and deleting lists, changing and deleting subjects and templates."""
    name, who = fresh("list"), enrolled(bare)
    template_id = stored(bare, who).templates[0].template_id
    _, made = repeated(bare, office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name)))
    assert made.watchlist.watchlist_id == name
    _, titled = repeated(bare, title(name, "new"))
    assert titled.watchlist.title == "new"
    _, left = repeated(bare, office_pb.DeleteTemplateRequest(subject_id=who, template_id=template_id))
    assert left.subject.subject_id == who
    repeated(bare, office_pb.DeleteSubjectRequest(subject_id=who))
    repeated(bare, office_pb.DeleteWatchlistRequest(watchlist_id=name))


def test_a_repeated_deletion_does_not_delete_who_was_enrolled_since(bare: Wire) -> None:
    """Neither a subject nor a list of the same id; not even when those were deleted in their turn."""
    name = listed(bare)
    who = enrolled(bare, name)
    off = office_pb.DeleteSubjectRequest(subject_id=who, request_id=str(uuid.uuid4()))
    gone = office_pb.DeleteWatchlistRequest(watchlist_id=name, force=True, request_id=str(uuid.uuid4()))
    left = call(bare, off)
    assert list(left.removed_watchlists) == [name]
    revisions = [left.revision, call(bare, gone).revision]
    call(bare, office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name)))
    call(bare, EnrollRequest(subject=Subject(subject_id=who, watchlists=[name]), samples=[template(1)]))
    assert [call(bare, each).revision for each in (off, gone)] == revisions
    assert list(stored(bare, who).watchlists) == [name]
    call(bare, office_pb.DeleteSubjectRequest(subject_id=who))
    assert call(bare, off).revision == revisions[0]


def test_an_id_stands_for_one_change(bare: Wire) -> None:
    """With another change, another precondition or of another call it is refused; nothing is changed."""
    who, name, known = enrolled(bare), listed(bare), str(uuid.uuid4())
    call(bare, labels(who, "one", request_id=known))
    others = [
        labels(who, "two", request_id=known),
        labels(who, "one", request_id=known, expected_revision=stored(bare, who).revision),
        labels(enrolled(bare), "one", request_id=known),
        title(name, "one", request_id=known),
        office_pb.DeleteSubjectRequest(subject_id=who, request_id=known),
        EnrollRequest(subject=Subject(subject_id=fresh("who")), samples=[template(1)], request_id=known),
    ]
    before = revision(bare)
    for each in others:
        expect(failure(partial(call, bare, each)), "FIELD_INVALID", field="request_id")
    assert revision(bare) == before


def test_a_repeat_about_who_was_deleted_since_is_told(bare: Wire) -> None:
    """As of an enrolment: nobody is there to be shown."""
    who = enrolled(bare)
    change = labels(who, "one", request_id=str(uuid.uuid4()))
    call(bare, change)
    call(bare, office_pb.DeleteSubjectRequest(subject_id=who))
    expect(failure(lambda: call(bare, change)), "SUBJECT_NOT_FOUND", subject_id=who)


def test_a_change_that_failed_may_be_sent_again(bare: Wire) -> None:
    """Its id stands for nothing yet."""
    who, name = enrolled(bare), fresh("list")
    change = office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id=who), add_watchlists=[name], request_id=str(uuid.uuid4())
    )
    expect(failure(lambda: call(bare, change)), "WATCHLIST_NOT_FOUND", watchlist_id=name)
    call(bare, office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name)))
    assert list(call(bare, change).added_watchlists) == [name]


# --- stale views ------------------------------------------------------------------------------------------------------

ABOUT_SUBJECT: list[Callable[[Subject, int], Any]] = [
    lambda seen, expected: labels(seen.subject_id, "stale", expected_revision=expected),
    lambda seen, expected: office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id=seen.subject_id), remove_watchlists=seen.watchlists, expected_revision=expected
    ),
    lambda seen, expected: office_pb.DeleteSubjectRequest(subject_id=seen.subject_id, expected_revision=expected),
    lambda seen, expected: office_pb.DeleteTemplateRequest(
        subject_id=seen.subject_id, template_id=seen.templates[0].template_id, expected_revision=expected
    ),
    lambda seen, expected: EnrollRequest(
        subject=Subject(subject_id=seen.subject_id),
        samples=[template(2)],
        on_existing=pb.ON_EXISTING_REPLACE,
        allow_different=True,
        expected_revision=expected,
    ),
    lambda seen, expected: EnrollRequest(
        subject=Subject(subject_id=seen.subject_id),
        samples=[template(2)],
        on_existing=pb.ON_EXISTING_ADD,
        allow_different=True,
        expected_revision=expected,
    ),
]
ABOUT_LIST: list[Callable[[Watchlist, int], Any]] = [
    lambda seen, expected: title(seen.watchlist_id, "stale", expected_revision=expected),
    lambda seen, expected: office_pb.DeleteWatchlistRequest(watchlist_id=seen.watchlist_id, expected_revision=expected),
]


@pytest.mark.parametrize("change", ABOUT_SUBJECT)
def test_a_change_of_a_subject_from_a_stale_view_changes_nothing(
    bare: Wire, change: Callable[[Subject, int], Any]
) -> None:
    """It is a conflict that says the subject's revision now; with that one it is made."""
    who = enrolled(bare, listed(bare))
    seen = stored(bare, who)
    call(bare, labels(who, "meanwhile"))
    now = stored(bare, who)
    assert now.revision == revision(bare) > seen.revision
    conflict = failure(lambda: call(bare, change(seen, seen.revision)))
    expected = {"revision": str(now.revision), "expected_revision": str(seen.revision)}
    expect(conflict, "REVISION_CONFLICT", subject_id=who, **expected)
    assert stored(bare, who) == now
    done = call(bare, change(now, now.revision))
    assert done.revision == revision(bare) > now.revision


@pytest.mark.parametrize("change", ABOUT_LIST)
def test_a_change_of_a_list_from_a_stale_view_changes_nothing(
    bare: Wire, change: Callable[[Watchlist, int], Any]
) -> None:
    """It is a conflict that says the list's revision now; that somebody joined the list is no change of it."""
    name = listed(bare)
    seen = stored_list(bare, name)
    call(bare, title(name, "meanwhile"))
    now = stored_list(bare, name)
    call(bare, office_pb.DeleteSubjectRequest(subject_id=enrolled(bare, name)))
    conflict = failure(lambda: call(bare, change(seen, seen.revision)))
    expect(conflict, "REVISION_CONFLICT", watchlist_id=name, revision=str(now.revision))
    assert stored_list(bare, name) == now
    assert call(bare, change(now, now.revision)).revision == revision(bare)


def test_every_change_of_a_subject_has_its_revision(bare: Wire) -> None:
    """The answer's, and of an enrolment too; what an answer shows is what is expected next."""
    who = fresh("who")
    alike = [template(1), template(1)]
    done = call(bare, EnrollRequest(subject=Subject(subject_id=who), samples=alike))
    for change in (
        labels(who, "one"),
        EnrollRequest(subject=Subject(subject_id=who), samples=alike[:1], on_existing=pb.ON_EXISTING_ADD),
        office_pb.DeleteTemplateRequest(subject_id=who, template_id=done.subject.templates[0].template_id),
    ):
        change.expected_revision = done.subject.revision
        done = call(bare, change)
        assert done.subject.revision == done.revision
        assert done.subject == stored(bare, who)


def test_who_was_deleted_meanwhile_is_not_enrolled_anew_from_a_stale_view(bare: Wire) -> None:
    """Adding to somebody, or replacing them, would create them: with a revision expected it does not."""
    who = enrolled(bare)
    seen = stored(bare, who)
    call(bare, office_pb.DeleteSubjectRequest(subject_id=who))
    for change in ABOUT_SUBJECT[-2:]:
        conflict = failure(partial(call, bare, change(seen, seen.revision)))
        expect(conflict, "REVISION_CONFLICT", subject_id=who, revision="0")
    unknown = failure(lambda: stored(bare, who))
    expect(unknown, "SUBJECT_NOT_FOUND", subject_id=who)
