"""The watchlist office's calls."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gerbang import FieldInvalid, TemplateNotFound, WatchlistClient, WatchlistNotEmpty, WatchlistNotFound
from gerbang.v1 import watchlist_pb2
from gerbang_service.faces.standin.drawing import draw_face, encode_jpeg


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def portrait() -> bytes:
    """One drawn person: these tests are not about faces."""
    return encode_jpeg(draw_face(424242))


def test_a_watchlist_comes_back_as_it_was_created(office: WatchlistClient) -> None:
    """Every field is kept; unspecified ones get the defaults that the contract names."""
    full, bare = fresh("full"), fresh("bare")
    office.create_watchlist(
        full, title="Pencegahan", direction="departure", action="defer_departure", threshold=0.61, labels={"a": "b"}
    )
    stored = office.get_watchlist(full)
    assert stored.title == "Pencegahan"
    assert stored.direction == watchlist_pb2.DIRECTION_DEPARTURE
    assert stored.action == watchlist_pb2.ACTION_DEFER_DEPARTURE
    assert stored.threshold == pytest.approx(0.61)
    assert dict(stored.labels) == {"a": "b"}
    assert stored.create_time == stored.update_time
    office.create_watchlist(bare)
    assert office.get_watchlist(bare).direction == watchlist_pb2.DIRECTION_BOTH
    assert office.get_watchlist(bare).action == watchlist_pb2.ACTION_REFER_TO_OFFICER
    assert not office.get_watchlist(bare).HasField("threshold")
    assert {full, bare} <= {each.watchlist_id for each in office.list_watchlists()}


def test_an_update_changes_only_what_it_names(office: WatchlistClient) -> None:
    """The threshold can be cleared, and the rest stays."""
    name = fresh("w")
    office.create_watchlist(name, title="old", direction="arrival", threshold=0.7)
    updated = office.update_watchlist(name, title="new").watchlist
    assert (updated.title, updated.direction) == ("new", watchlist_pb2.DIRECTION_ARRIVAL)
    assert updated.threshold == pytest.approx(0.7)
    assert not office.update_watchlist(name, threshold=None).watchlist.HasField("threshold")


def test_a_list_has_a_threshold_or_a_target(office: WatchlistClient) -> None:
    """Both at once are refused, whatever call would bring them together; an update can turn the one into the other."""
    name = fresh("w")
    made = office.create_watchlist(name, target_fpir=0.01).watchlist
    assert (made.target_fpir, made.HasField("threshold")) == (0.01, False)
    assert office.get_watchlist(name) == made
    for refused in ({"threshold": 0.5}, {"threshold": 0.5, "target_fpir": 0.1}):
        with pytest.raises(FieldInvalid, match="not together"):
            office.update_watchlist(name, **refused)  # type: ignore[arg-type]
    with pytest.raises(FieldInvalid, match="not together"):
        office.create_watchlist(fresh("w"), threshold=0.5, target_fpir=0.1)
    for value in (0.0, -0.1, 0.51, float("nan")):
        with pytest.raises(FieldInvalid, match=r"watchlist\.target_fpir"):
            office.update_watchlist(name, target_fpir=value)
    fixed = office.update_watchlist(name, threshold=0.5, target_fpir=None).watchlist
    assert (fixed.threshold, fixed.HasField("target_fpir")) == (0.5, False)


def test_nobody_is_promised_two_people_where_they_are_not_told_apart(office: WatchlistClient) -> None:
    """At a server that does not ask who calls."""
    name = fresh("w")
    with pytest.raises(FieldInvalid, match=r"two_person_removal.*does not ask who calls"):
        office.create_watchlist(name, two_person_removal=True)
    office.create_watchlist(name)
    with pytest.raises(FieldInvalid, match="two_person_removal"):
        office.update_watchlist(name, two_person_removal=True)
    assert not office.update_watchlist(name, two_person_removal=False, title="t").watchlist.two_person_removal


def test_a_list_with_subjects_is_deleted_only_by_force(office: WatchlistClient, portrait: bytes) -> None:
    """Its subjects stay enrolled, off the list."""
    name, subject = fresh("w"), fresh("s")
    office.create_watchlist(name)
    office.enroll(subject, [portrait], watchlists=[name])
    assert office.get_watchlist(name).subject_count == 1
    with pytest.raises(WatchlistNotEmpty):
        office.delete_watchlist(name)
    office.delete_watchlist(name, force=True)
    with pytest.raises(WatchlistNotFound):
        office.get_watchlist(name)
    assert not office.get_subject(subject).watchlists


def test_pages_give_every_subject_of_a_list_once_by_id(office: WatchlistClient, portrait: bytes) -> None:
    """Whatever the page size, also when it divides the count."""
    name = fresh("w")
    office.create_watchlist(name)
    names = sorted(fresh("s") for _ in range(6))
    for subject in names:
        office.enroll(subject, [portrait], watchlists=[name])
    for size in (1, 2, 4, 6, 7):
        assert [each.subject_id for each in office.list_subjects(watchlist=name, page_size=size)] == names


def test_subjects_are_found_by_their_end_and_their_labels(office: WatchlistClient, portrait: bytes) -> None:
    """All that is asked for must hold, whatever the page size; the moment of an end is the first after it."""
    name, now = fresh("w"), datetime.now(UTC).replace(microsecond=0)
    office.create_watchlist(name)
    names = sorted(fresh("s") for _ in range(9))
    for number, subject in enumerate(names):
        end = now + timedelta(days=number) if number % 2 else None
        kind = {"kind": "even" if number % 4 < 2 else "odd", "of": name}
        office.enroll(subject, [portrait], watchlists=[name], expire_time=end, labels=kind)

    def found(**wanted: Any) -> list[int]:
        return [names.index(each.subject_id) for each in office.list_subjects(watchlist=name, **wanted)]

    for size in (1, 2, 3, 1000):
        assert found(expires_before=now + timedelta(days=5), page_size=size) == [1, 3, 5]
        assert found(expires_before=now + timedelta(days=5, seconds=-1), page_size=size) == [1, 3]
        assert found(labels={"kind": "even"}, page_size=size) == [0, 1, 4, 5, 8]
        assert found(labels={"kind": "even", "of": "x"}, page_size=size) == []
        assert found(labels={"kind": "odd"}, expires_before=now + timedelta(days=5), page_size=size) == [3]
        everywhere = office.list_subjects(labels={"of": name}, page_size=size)
        assert [each.subject_id for each in everywhere] == names


def test_validity_can_be_set_and_cleared_and_never_reversed(office: WatchlistClient, portrait: bytes) -> None:
    """An end before the stored beginning is refused by the field's name, and changes nothing."""
    subject, now = fresh("s"), datetime.now(UTC)
    office.enroll(subject, [portrait], valid_from=now)
    with pytest.raises(FieldInvalid, match=r"subject\.expire_time"):
        office.update_subject(subject, expire_time=now - timedelta(seconds=1))
    assert not office.get_subject(subject).HasField("expire_time")
    office.update_subject(subject, expire_time=now + timedelta(days=1), valid_from=None)
    assert not office.get_subject(subject).HasField("valid_from")
    assert office.get_subject(subject).HasField("expire_time")


def test_one_template_can_be_deleted(office: WatchlistClient, portrait: bytes) -> None:
    """The subject keeps the others; the id is never used again."""
    subject = fresh("s")
    first, second = office.enroll(subject, [portrait, portrait]).subject.templates
    left = office.delete_template(subject, first.template_id).subject
    assert [each.template_id for each in left.templates] == [second.template_id]
    with pytest.raises(TemplateNotFound):
        office.delete_template(subject, first.template_id)
    added = office.enroll(subject, [portrait], on_existing="add").subject.templates[-1]
    assert int(added.template_id) > int(second.template_id)


def test_every_change_takes_the_next_revision(office: WatchlistClient, portrait: bytes) -> None:
    """Created, enrolled, updated, deleted: one revision each, in order."""
    name, subject = fresh("w"), fresh("s")
    revisions = [
        office.create_watchlist(name).revision,
        office.enroll(subject, [portrait], watchlists=[name]).revision,
        office.update_subject(subject, labels={"k": "v"}).revision,
        office.delete_subject(subject).revision,
        office.delete_watchlist(name).revision,
    ]
    assert revisions == list(range(revisions[0], revisions[0] + 5))
    assert office.server_info().revision == revisions[-1]


def test_a_refused_change_takes_no_revision(office: WatchlistClient, portrait: bytes) -> None:
    """A failed enrolment leaves neither a subject nor a gap."""
    before = office.server_info().revision
    with pytest.raises(WatchlistNotFound):
        office.enroll(fresh("s"), [portrait], watchlists=[fresh("none")])
    assert office.server_info().revision == before


def test_server_info_says_what_is_compared(office: WatchlistClient, portrait: bytes) -> None:
    """Pack, fingerprint, dimension, thresholds and counts."""
    before = office.server_info()
    name = fresh("s")
    office.enroll(name, [portrait])
    after = office.server_info()
    assert after.face_pack == "stand-in"
    assert len(after.model) == 64
    assert after.dimension == 128
    assert 0 < after.identification_threshold < 1
    assert after.gallery_size == before.gallery_size + 1
    assert after.subject_count == before.subject_count + 1
    assert after.graph.indexed + after.graph.pending == after.gallery_size
    chain = after.capture_chain
    assert (len(chain.detector), chain.detector_size, chain.alignment) == (64, 320, "arcface-112")
    # That of what was made of an image; a template that came as one says nothing of it.
    office.enroll(name, [[1.0] + [0.0] * 127], on_existing="add", allow_different=True)
    first, second = office.get_subject(name).templates
    assert first.capture_chain == chain
    assert not second.HasField("capture_chain")
