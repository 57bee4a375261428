"""Who is bound to watchlists changes and enrols on its own lists, and nobody else."""

from __future__ import annotations

import uuid

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from access.airport import Airport, denied, enrolment, found, identify, subject
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from rpc.wire import failure, of_status


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
@pytest.mark.parametrize("name", ["wanted", "unlisted"])
def test_who_is_not_seen_can_be_neither_replaced_nor_added_to(airport: Airport, name: str, existing: str) -> None:
    """The id is taken: that is all there is to learn. No other face is put in the place of a passport's."""
    before = subject(airport, name)
    for lists in (["airline"], []):
        request = enrolment(name, 14, lists, on_existing=f"ON_EXISTING_{existing}")
        refused = failure(lambda: airport.bound["enrolment"].call("Enroll", request))  # noqa: B023 - called at once
        assert (refused.reason, refused.message) == ("SUBJECT_EXISTS", f"subject {name} is already enrolled")
    assert subject(airport, name) == before


def test_nobody_is_left_on_no_list(airport: Airport) -> None:
    """Where the caller would not see them any more: enrolled so, replaced so, or taken off the last of its lists."""
    office = airport.bound["enrolment"]
    denied(office, "Enroll", enrolment("nowhere", 40, []))
    denied(office, "Enroll", enrolment("", 40, []))
    office.call("Enroll", enrolment("somewhere", 40, ["airline"]))
    before = subject(airport, "somewhere")
    denied(office, "Enroll", enrolment("somewhere", 41, [], on_existing="ON_EXISTING_REPLACE"))
    off = office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id="somewhere"), update_mask=FieldMask(paths=["watchlists"])
    )
    denied(office, "UpdateSubject", off)
    assert subject(airport, "somewhere") == before
    for refused in (failure(lambda: subject(airport, "nowhere")), failure(lambda: subject(airport, ""))):
        assert refused.reason in ("SUBJECT_NOT_FOUND", "FIELD_INVALID")


def test_who_was_on_a_list_that_was_deleted_is_not_shown_to_who_did_not_see_them(airport: Airport) -> None:
    """They are on no list then, and still nobody's business but of those who are not bound."""
    secret = Watchlist(watchlist_id="secret")
    airport.boss.call("CreateWatchlist", office_pb.CreateWatchlistRequest(watchlist=secret))
    airport.boss.call("Enroll", enrolment("secretly", 42, ["secret"]))
    airport.boss.call("DeleteWatchlist", office_pb.DeleteWatchlistRequest(watchlist_id="secret", force=True))
    request = office_pb.GetSubjectRequest(subject_id="secretly")
    assert failure(lambda: airport.bound["auditor"].call("GetSubject", request)).reason == "SUBJECT_NOT_FOUND"
    assert subject(airport, "secretly").templates


def test_who_is_on_others_lists_too_is_not_changed(airport: Airport) -> None:
    """Deleting, replacing or expiring a shared subject would take a wanted person off the other list as well."""
    office = airport.bound["enrolment"]
    before = airport.boss.call("GetSubject", office_pb.GetSubjectRequest(subject_id="shared"))
    template_id = before.subject.templates[0].template_id
    update = office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id="shared", watchlists=["airline"]), update_mask=FieldMask(paths=["watchlists"])
    )
    add = office_pb.UpdateSubjectRequest(subject=Subject(subject_id="shared"), add_watchlists=["airline"])
    refusals = [
        denied(office, "DeleteSubject", office_pb.DeleteSubjectRequest(subject_id="shared")),
        denied(office, "DeleteTemplate", office_pb.DeleteTemplateRequest(subject_id="shared", template_id=template_id)),
        denied(office, "UpdateSubject", update),
        denied(office, "UpdateSubject", add),
        denied(office, "Enroll", enrolment("shared", 14, ["airline"], on_existing="ON_EXISTING_REPLACE")),
        denied(office, "Enroll", enrolment("shared", 14, [], on_existing="ON_EXISTING_ADD")),
    ]
    assert "red" not in "".join(f"{each.message} {each.metadata}".replace("shared", "") for each in refusals)
    assert airport.boss.call("GetSubject", office_pb.GetSubjectRequest(subject_id="shared")) == before


def test_own_subjects_are_changed_and_moved_among_own_lists(airport: Airport) -> None:
    """Everything that enrolment may do works on them; onto another list they can't be moved."""
    office = airport.bound["enrolment"]
    assert office.call("Enroll", enrolment("mine", 20, ["airline"])).subject.subject_id == "mine"
    office.call("Enroll", enrolment("mine", 20, [], on_existing="ON_EXISTING_ADD"))
    for lists, allowed in ((["lounge"], True), (["red"], False), (["lounge", "red"], False)):
        request = office_pb.UpdateSubjectRequest(
            subject=Subject(subject_id="mine", watchlists=lists), update_mask=FieldMask(paths=["watchlists"])
        )
        if allowed:
            assert list(office.call("UpdateSubject", request).subject.watchlists) == lists
        else:
            denied(office, "UpdateSubject", request)
        added = office_pb.UpdateSubjectRequest(subject=Subject(subject_id="mine"), add_watchlists=lists)
        if allowed:
            assert list(office.call("UpdateSubject", added).subject.watchlists) == lists
        else:
            denied(office, "UpdateSubject", added)
            denied(office, "Enroll", enrolment("mine", 21, lists, on_existing="ON_EXISTING_ADD"))
    off = office_pb.UpdateSubjectRequest(subject=Subject(subject_id="mine"), remove_watchlists=["lounge"])
    denied(office, "UpdateSubject", off)
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


def test_a_repeated_request_shows_no_lists_of_others(airport: Airport) -> None:
    """Of a subject that is shared the stored answer names all lists; who repeats it is shown those of its own."""
    airport.boss.call("Enroll", enrolment("shared-2", 43, ["airline", "red"]))
    request = enrolment("shared-2", 43, [], request_id=str(uuid.uuid4()), on_existing="ON_EXISTING_ADD")
    assert list(airport.boss.call("Enroll", request).subject.watchlists) == ["airline", "red"]
    again = airport.bound["enrolment"].call("Enroll", request)
    assert again.replayed
    assert list(again.subject.watchlists) == ["airline"]


def test_a_bound_administrator_makes_and_deletes_own_lists_only(airport: Airport) -> None:
    """The lists that it is bound to; for others it is denied."""
    admin = airport.bound["admin"]
    for name in ("red", "new-list"):
        denied(admin, "CreateWatchlist", office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name)))
        change = office_pb.UpdateWatchlistRequest(
            watchlist=Watchlist(watchlist_id=name), update_mask=FieldMask(paths=["*"])
        )
        denied(admin, "UpdateWatchlist", change)
        denied(admin, "DeleteWatchlist", office_pb.DeleteWatchlistRequest(watchlist_id=name, force=True))
    change = office_pb.UpdateWatchlistRequest(
        watchlist=Watchlist(watchlist_id="lounge", title="Lounge"), update_mask=FieldMask(paths=["title"])
    )
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
