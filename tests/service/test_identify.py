"""Enrol, identify and verify drawn people over the wire."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from gerbang import CounterClient, GateClient, SubjectExists, SubjectNotFound, WatchlistClient, enroll_request, error_of
from gerbang.v1 import plan_pb2, watchlist_pb2
from gerbang_service.faces.standin.drawing import draw_face, encode_jpeg, encode_png

_next = iter(range(1000, 10**6))


def fresh(prefix: str) -> str:
    """Return an id that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def person() -> int:
    """Return a drawn identity that no other test uses."""
    return next(_next)


def photo(identity: int, seed: int = 0) -> bytes:
    return encode_jpeg(draw_face(identity, seed))


def test_a_person_on_a_list_is_a_hit_and_a_stranger_is_not(office: WatchlistClient, gate: GateClient) -> None:
    """Another photo of an enrolled person hits with the list's action; nobody else does."""
    wanted, watchlist, subject = person(), fresh("w"), fresh("s")
    office.create_watchlist(watchlist, direction="arrival", action="refuse_entry", title="tangkal")
    office.enroll(subject, [photo(wanted)], watchlists=[watchlist], labels={"case": "7"})
    answer = gate.identify(photo(wanted, 1), direction="arrival", watchlists=[watchlist])
    (found,) = answer.candidates
    assert answer.hit
    assert found.subject_id == subject
    assert found.similarity >= found.threshold == answer.threshold
    assert list(found.watchlists) == [watchlist]
    assert found.action == watchlist_pb2.ACTION_REFUSE_ENTRY
    assert dict(found.labels) == {"case": "7"}
    stranger = gate.identify(photo(person()), watchlists=[watchlist])
    assert not stranger.hit
    assert not stranger.candidates


def test_a_list_is_searched_only_in_its_direction(office: WatchlistClient, gate: GateClient) -> None:
    """Who may not leave may arrive."""
    wanted, watchlist = person(), fresh("cegah")
    office.create_watchlist(watchlist, direction="departure", action="defer_departure")
    office.enroll(fresh("s"), [photo(wanted)], watchlists=[watchlist])
    assert gate.identify(photo(wanted, 1), direction="departure").hit
    assert gate.identify(photo(wanted, 1)).hit
    assert not gate.identify(photo(wanted, 1), direction="arrival").hit


def test_validity_begins_and_ends_on_time(office: WatchlistClient, gate: GateClient) -> None:
    """Before valid_from and from expire_time on, Identify does not see the subject; Verify does."""
    wanted, watchlist, subject = person(), fresh("w"), fresh("s")
    now = datetime.now(UTC)
    office.create_watchlist(watchlist)
    office.enroll(subject, [photo(wanted)], watchlists=[watchlist], valid_from=now + timedelta(hours=1))
    assert not gate.identify(photo(wanted, 1)).hit
    office.update_subject(subject, valid_from=now - timedelta(hours=1), expire_time=now + timedelta(hours=1))
    assert gate.identify(photo(wanted, 1)).hit
    office.update_subject(subject, expire_time=now)
    assert not gate.identify(photo(wanted, 1)).hit


def test_a_subject_on_no_list_is_seen_by_verify_only(
    office: WatchlistClient, gate: GateClient, counter: CounterClient
) -> None:
    """A plain 1:1 reference is no watchlist entry."""
    known, subject = person(), fresh("s")
    office.enroll(subject, [photo(known)])
    assert not gate.identify(photo(known, 1)).hit
    assert counter.verify(photo(known, 1), subject_id=subject).match
    assert not counter.verify(photo(person()), subject_id=subject).match


def test_verify_compares_two_samples(counter: CounterClient) -> None:
    """The traveller against the passport's photo, without anybody being enrolled."""
    one, other = person(), person()
    same = counter.verify(photo(one), reference=photo(one, 1))
    assert same.match
    assert same.similarity >= same.threshold
    assert same.HasField("probe_face")
    assert same.HasField("reference_face")
    different = counter.verify(photo(one), reference=photo(other))
    assert not different.match


def test_a_template_from_extract_answers_as_the_photo_does(office: WatchlistClient, gate: GateClient) -> None:
    """A gate may send 2 kB instead of a photo and gets the same score."""
    wanted, watchlist = person(), fresh("w")
    office.create_watchlist(watchlist)
    office.enroll(fresh("s"), [photo(wanted)], watchlists=[watchlist])
    extracted = gate.extract(photo(wanted, 1))
    by_photo, by_template = gate.identify(photo(wanted, 1)), gate.identify(extracted.template)
    assert by_photo.candidates[0].similarity == pytest.approx(by_template.candidates[0].similarity, abs=1e-6)
    assert not by_template.HasField("probe_face")


def test_the_best_template_of_a_subject_counts_once(office: WatchlistClient, gate: GateClient) -> None:
    """A subject with three photos is one candidate, with the template that is most similar."""
    wanted, watchlist = person(), fresh("w")
    office.create_watchlist(watchlist)
    answer = office.enroll(fresh("s"), [photo(wanted, i) for i in range(3)], watchlists=[watchlist])
    assert [bool(each.template_id) for each in answer.sample_results] == [True] * 3
    (found,) = gate.identify(photo(wanted, 1), watchlists=[watchlist]).candidates
    assert found.template_id == answer.sample_results[1].template_id
    assert found.similarity == pytest.approx(1.0, abs=1e-5)


def test_an_acknowledged_change_is_in_the_next_answer(office: WatchlistClient, gate: GateClient) -> None:
    """Enrolled is found, moved off the list is not, deleted is not: each at once, with min_revision as proof."""
    wanted, watchlist, subject = person(), fresh("w"), fresh("s")
    office.create_watchlist(watchlist)
    revision = office.enroll(subject, [photo(wanted)], watchlists=[watchlist]).revision
    answer = gate.identify(photo(wanted, 1), min_revision=revision)
    assert answer.hit
    assert answer.revision >= revision
    revision = office.update_subject(subject, watchlists=[]).revision
    assert not gate.identify(photo(wanted, 1), min_revision=revision).hit
    office.update_subject(subject, watchlists=[watchlist])
    assert gate.identify(photo(wanted, 1)).hit
    office.delete_subject(subject)
    assert not gate.identify(photo(wanted, 1)).hit
    with pytest.raises(SubjectNotFound):
        office.get_subject(subject)


def test_enrolling_the_same_face_under_another_id_is_pointed_out(office: WatchlistClient) -> None:
    """Duplicates name the other subject with its similarity, and enrolment goes on."""
    wanted, first = person(), fresh("first")
    assert not office.enroll(first, [photo(wanted)]).duplicates
    answer = office.enroll(fresh("second"), [photo(wanted, 1)])
    assert [each.subject_id for each in answer.duplicates] == [first]
    assert not answer.duplicates[0].labels


def test_on_existing_rejects_adds_or_replaces(office: WatchlistClient, counter: CounterClient) -> None:
    """REJECT changes nothing, ADD keeps the old templates, REPLACE leaves only the new ones."""
    one, other, subject = person(), person(), fresh("s")
    office.enroll(subject, [photo(one)])
    with pytest.raises(SubjectExists):
        office.enroll(subject, [photo(other)])
    assert len(office.get_subject(subject).templates) == 1
    assert len(office.enroll(subject, [photo(one, 1)], on_existing="add").subject.templates) == 2
    replaced = office.enroll(subject, [photo(other)], on_existing="replace", allow_different=True).subject
    assert len(replaced.templates) == 1
    assert counter.verify(photo(other, 1), subject_id=subject).match
    assert not counter.verify(photo(one), subject_id=subject).match


def test_a_repeated_request_id_returns_the_first_answer(office: WatchlistClient) -> None:
    """A client that lost the answer may ask again: it gets the same one, and nothing is enrolled twice."""
    subject, request_id, sample = fresh("s"), str(uuid.uuid4()), photo(person())
    first = office.enroll(subject, [sample], request_id=request_id, labels={"k": "v"})
    again = office.enroll(subject, [sample], request_id=request_id, labels={"k": "v"})
    assert again.replayed
    assert (again.subject, again.revision) == (first.subject, first.revision)
    assert [each.template_id for each in again.sample_results] == [each.template_id for each in first.sample_results]
    assert len(office.get_subject(subject).templates) == 1


def test_a_request_id_whose_subject_was_deleted_enrols_nobody_again(office: WatchlistClient) -> None:
    """A late repeat must not put a deleted person back."""
    subject, request_id, sample = fresh("s"), str(uuid.uuid4()), photo(person())
    office.enroll(subject, [sample], request_id=request_id)
    office.delete_subject(subject)
    with pytest.raises(SubjectNotFound):
        office.enroll(subject, [sample], request_id=request_id)


def test_partial_enrolment_keeps_the_usable_samples(office: WatchlistClient) -> None:
    """With allow_partial each rejected sample has its reason and what was measured; without it nothing is kept."""
    good, subject = person(), fresh("s")
    blank = encode_png(draw_face(good)[:20, :20])
    answer = office.enroll(subject, [photo(good), blank, b"no image"], allow_partial=True)
    assert [each.rejection for each in answer.sample_results] == ["", "NO_FACE", "IMAGE_UNREADABLE"]
    assert all(each.detail for each in answer.sample_results[1:])
    assert len(answer.subject.templates) == 1


def test_a_stream_of_enrolments_answers_in_order_and_survives_bad_items(
    office: WatchlistClient,
) -> None:
    """One answer an item, in order; a bad item has its error, and the next one is enrolled."""
    names = [fresh(f"s{i}") for i in range(12)]
    requests = [enroll_request(name, [b"broken" if i % 4 == 2 else photo(person())]) for i, name in enumerate(names)]
    answers = list(office.enroll_stream(requests))
    assert len(answers) == len(names)
    for i, (name, answer) in enumerate(zip(names, answers, strict=True)):
        error = error_of(answer)
        if i % 4 == 2:
            assert error is not None
            assert error.reason == "IMAGE_UNREADABLE"
        else:
            assert answer.subject.subject_id == name
    assert [a.revision for a in answers if a.revision] == sorted(a.revision for a in answers if a.revision)


def test_a_stream_creates_and_adds_to_a_subject_in_the_order_sent(office: WatchlistClient) -> None:
    """The second item of a stream finds the subject that the first one created, however fast each is."""
    one, subject = person(), fresh("s")
    requests = [
        enroll_request(subject, [photo(one, i) for i in range(3)], on_existing="reject"),
        enroll_request(subject, [photo(one, 3)], on_existing="add"),
    ]
    first, second = office.enroll_stream(requests)
    assert error_of(first) is None
    assert error_of(second) is None
    assert len(second.subject.templates) == 4


def test_a_stream_of_probes_answers_each_by_its_sequence(office: WatchlistClient, gate: GateClient) -> None:
    """Answers carry their request's number, bad items their error, and every probe is answered."""
    wanted, watchlist = person(), fresh("w")
    office.create_watchlist(watchlist)
    office.enroll(fresh("s"), [photo(wanted)], watchlists=[watchlist])
    probes = [photo(wanted, 1), b"broken", photo(person()), photo(wanted, 2)]
    answers = {answer.sequence: answer for answer in gate.identify_stream(probes, watchlists=[watchlist])}
    assert sorted(answers) == [0, 1, 2, 3]
    assert answers[0].hit
    assert answers[3].hit
    assert not answers[2].hit
    error = error_of(answers[1])
    assert error is not None
    assert error.reason == "IMAGE_UNREADABLE"


def test_a_batch_answers_in_order_each_by_itself(office: WatchlistClient, gate: GateClient) -> None:
    """A passenger list: same order and number, a bad item with its error."""
    wanted, watchlist = person(), fresh("w")
    office.create_watchlist(watchlist)
    office.enroll(fresh("s"), [photo(wanted)], watchlists=[watchlist])
    template = gate.extract(photo(wanted, 1)).template
    answers = gate.identify_batch([photo(person()), template, b"broken", template], watchlists=[watchlist])
    assert [answer.hit for answer in answers] == [False, True, False, True]
    assert [error_of(answer) is not None for answer in answers] == [False, False, True, False]


def test_the_response_says_what_was_searched(office: WatchlistClient, gate: GateClient) -> None:
    """Plan, gallery size and revision are those of the search."""
    info = office.server_info()
    answer = gate.identify(photo(person()), plan="exact")
    assert answer.plan == plan_pb2.PLAN_EXACT
    assert answer.gallery_size >= info.gallery_size - 1
    assert answer.revision >= info.revision
