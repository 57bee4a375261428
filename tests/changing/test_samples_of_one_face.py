"""Nobody becomes part of another: what is enrolled of a subject shows one face, unless somebody answers for it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gerbang_service.access.identity import LOCAL
from gerbang_service.changing.likeness import best_to_others, cosines, groups
from gerbang_service.changing.one_face import OneFace, judge_again
from gerbang_service.changing.storing import NewEnrolment, OnExisting, Stored, StoredOrBefore, store
from gerbang_service.domain.errors import GerbangError, SamplesDiffer
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.thresholds import as_float32
from gerbang_service.store.memory import MemoryStore
from gerbang_service.store.port import Operation, Outcome

MODEL, DIMENSION, THRESHOLD = "m", 128, 0.412
PEOPLE = 5
# Of photographs of one person: similarities are 0.683 with a standard deviation of 0.102 (docs/quality.md).
GENUINE, SPREAD = 0.683, 0.102
# Share of genuine pairs below the threshold (docs/quality.md: 0.87 % measured).
FNMR = 0.0087


def unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def centres(count: int) -> list[np.ndarray]:
    """Return faces of people who are not alike at all."""
    random = np.random.default_rng(5)
    return list(np.linalg.qr(random.normal(size=(DIMENSION, count)))[0].T)


CENTRES = centres(PEOPLE)


def photo(person: int, random: np.random.Generator) -> np.ndarray:
    """Return a template near a person's centre; two of them have cosines as genuine pairs have."""
    # How near to the centre differs from photo to photo; the cosine of two is about the product.
    nearness = np.clip(random.normal(GENUINE**0.5, SPREAD / 2**0.5 / GENUINE**0.5), 0.0, 1.0)
    noise = random.normal(size=DIMENSION)
    for each in CENTRES:
        noise -= noise @ each * each
    return unit(nearness * CENTRES[person] + (1 - nearness**2) ** 0.5 * noise / np.linalg.norm(noise))


def enrolment(
    vectors: Sequence[np.ndarray],
    how: OnExisting = OnExisting.ADD,
    name: str = "x",
    *,
    allow_different: bool = False,
    allow_partial: bool = False,
    rejected: Sequence[int] = (),
) -> Operation[StoredOrBefore]:
    """Return the change; `rejected`: numbers of samples that had no face, before the others."""
    samples: list[NewTemplate | str] = [NewTemplate(each, None) for each in vectors]
    for each in rejected:
        samples.insert(each, "NO_FACE")
    rule = OneFace(THRESHOLD, allow_different, allow_partial)
    return store(LOCAL, NewEnrolment(Subject(name), samples, MODEL, how, "", b"", rule))


def write(stored: MemoryStore, operation: Operation[StoredOrBefore]) -> Stored:
    (outcome,) = stored.write([operation])
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome.answer, Stored)
    return outcome.answer


# --- arrays -----------------------------------------------------------------------------------------------------------


def on_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(np.array(degrees))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


NOBODY = np.empty((0, 2), np.float32)


def test_poses_are_linked_through_those_between() -> None:
    """From the left, from the front, from the right: 120 degrees apart at the ends, 60 from one to the next."""
    left_to_right = on_circle(0, 60, 120)
    found = groups(left_to_right[[0, 2, 1]], NOBODY, as_float32(0.49))
    assert (found.with_known, found.apart) == ([], [[0, 1, 2]])
    assert groups(left_to_right[[0, 2]], NOBODY, as_float32(0.49)).apart == [[0], [1]]
    assert groups(left_to_right[[0]], left_to_right[[1, 2]], as_float32(0.49)).with_known == [0]


def test_two_of_one_and_two_of_another_are_two_groups() -> None:
    """Not only an outlier is found: each has somebody alike."""
    found = groups(on_circle(0, 90, 5, 95), NOBODY, as_float32(0.5))
    assert found.apart == [[0, 2], [1, 3]]
    assert found.nearest == pytest.approx(np.cos(np.radians(85)), abs=1e-6)


def test_those_of_the_known_face_are_told_from_those_that_are_not() -> None:
    """Also who is linked to it through another sample."""
    found = groups(on_circle(50, 180, 100), on_circle(0, 10), as_float32(0.6))
    assert (found.with_known, found.apart) == ([0, 2], [[1]])
    assert found.nearest == pytest.approx(np.cos(np.radians(80)), abs=1e-6)


def test_known_templates_are_one_face_however_unlike() -> None:
    """Somebody has answered for it: more of either is no news."""
    found = groups(on_circle(5, 175), on_circle(0, 180), as_float32(0.9))
    assert (found.with_known, found.apart) == ([0, 1], [])


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 5), st.floats(-0.5, 0.9))
@settings(max_examples=60, deadline=None)
def test_groups_are_the_components_of_the_graph(seed: int, count: int, known: int, threshold: float) -> None:
    """As found by linking pair after pair; a cosine at the threshold links."""
    random = np.random.default_rng(seed)
    vectors = np.stack([unit(each) for each in random.normal(size=(count + known, 4))])
    scores = cosines(vectors, vectors)
    threshold = float(scores[0, -1]) if seed % 3 == 0 else as_float32(threshold)
    names = list(range(count)) + [count] * known
    for one in range(count + known):
        for other in range(count + known):
            if one != other and scores[one, other] >= threshold:
                names = [names[one] if each == names[other] else each for each in names]
    expected = {frozenset(i for i in range(count) if names[i] == each) for each in names} - {frozenset()}
    found = groups(vectors[:count], vectors[count:], threshold)
    assert {frozenset(each) for each in [*found.apart, found.with_known] if each} == expected
    if known:
        assert all(names[each] == names[-1] for each in found.with_known)
        assert all(names[group[0]] != names[-1] for group in found.apart)
    else:
        assert not found.with_known


def test_the_best_of_the_others_is_told() -> None:
    """Never a sample's similarity to itself; nothing where there is no other."""
    assert best_to_others(on_circle(0), [0], NOBODY) == [None]
    best = best_to_others(on_circle(0, 60, 180), [0, 1], on_circle(100))
    assert best == pytest.approx([0.5, np.cos(np.radians(40)), np.cos(np.radians(80))], abs=1e-6)


# --- enrolments -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored() -> MemoryStore:
    """A store with subject x, person 0, one template."""
    made = MemoryStore(MODEL)
    write(made, enrolment([unit(CENTRES[0])], OnExisting.REJECT))
    return made


@pytest.mark.parametrize("how", [OnExisting.ADD, OnExisting.REPLACE])
def test_another_face_than_the_templates_is_refused(stored: MemoryStore, how: OnExisting) -> None:
    """Added, or in their place; nothing is changed. The error says which sample, and how unlike."""
    with stored.reading() as reader:
        before = reader.subject("x"), reader.revision()
    with pytest.raises(SamplesDiffer) as caught:
        write(stored, enrolment([unit(CENTRES[0]), unit(CENTRES[1])], how, rejected=[0]))
    assert caught.value.metadata == {
        "samples": "2",
        "similarity": "0.000000",
        "threshold": "0.412000",
        "templates": "1",
    }
    with stored.reading() as reader:
        assert (reader.subject("x"), reader.revision()) == before


@pytest.mark.parametrize("how", [OnExisting.ADD, OnExisting.REPLACE])
def test_who_answers_for_it_may(stored: MemoryStore, how: OnExisting) -> None:
    """It is stored, and told as different; the same face is not."""
    assert write(stored, enrolment([unit(CENTRES[1])], how, allow_different=True)).different
    assert not write(stored, enrolment([unit(CENTRES[1])], how, allow_different=True)).different


def test_other_faces_are_left_out_of_a_partial_enrolment(stored: MemoryStore) -> None:
    """Where templates say which face is the right one; each accepted sample says how similar it is."""
    answer = write(stored, enrolment([unit(CENTRES[each]) for each in (1, 0, 1)], allow_partial=True, rejected=[1]))
    assert answer.samples == ("SAMPLES_DIFFER", "NO_FACE", 2, "SAMPLES_DIFFER")
    # The two that were left out are alike, and that is of no matter.
    assert answer.similarities == pytest.approx((0.0, None, 1.0, 0.0), abs=1e-6)
    with pytest.raises(SamplesDiffer):
        write(stored, enrolment([unit(CENTRES[1])], allow_partial=True))


def test_nobody_can_say_which_of_two_is_the_right_one() -> None:
    """Three of one face and one of another: also a partial enrolment fails as a whole."""
    samples = [unit(CENTRES[each]) for each in (0, 1, 0, 0)]
    with pytest.raises(SamplesDiffer) as caught:
        write(MemoryStore(MODEL), enrolment(samples, allow_partial=True, rejected=[0]))
    assert caught.value.metadata["samples"] == "1,3,4;2"
    assert caught.value.metadata["templates"] == "0"


def test_the_later_of_two_in_one_group_sees_the_earlier() -> None:
    """Two people under one id at the same moment: one of them is refused."""
    first, second = MemoryStore(MODEL).write([enrolment([unit(CENTRES[each])]) for each in (0, 1)])
    assert isinstance(first, Outcome)
    assert isinstance(second, SamplesDiffer)


def test_templates_of_another_recogniser_are_not_compared() -> None:
    """Their numbers mean nothing here."""
    made = MemoryStore(MODEL)
    other = NewEnrolment(
        Subject("x"), [NewTemplate(unit(CENTRES[1]), None)], "other", OnExisting.REJECT, "", b"", OneFace(THRESHOLD)
    )
    write(made, store(LOCAL, other))
    assert write(made, enrolment([unit(CENTRES[0])])).similarities == (None,)


def test_a_repeat_finds_what_was_found_at_first(stored: MemoryStore) -> None:
    """As long as the templates are there, whatever came since."""
    random = np.random.default_rng(1)
    first = write(stored, enrolment([photo(0, random), unit(CENTRES[1])], allow_different=True))
    write(stored, enrolment([photo(0, random), photo(0, random)]))
    with stored.reading() as reader:
        subject = reader.subject("x")
        assert subject is not None
        likeness, different = judge_again(reader, subject, first.samples, THRESHOLD)
    assert different
    assert tuple(likeness.values()) == first.similarities


# --- any sequence -----------------------------------------------------------------------------------------------------

_STEP = st.tuples(
    st.sampled_from(["x", "y"]),
    st.sampled_from(list(OnExisting)),
    st.lists(st.integers(0, PEOPLE - 1), min_size=1, max_size=4),
    st.booleans(),
)


@given(st.integers(0, 2**32 - 1), st.lists(st.lists(_STEP, min_size=1, max_size=4), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_no_subject_ends_with_templates_of_two_people(
    seed: int, rounds: list[list[tuple[str, OnExisting, list[int], bool]]]
) -> None:
    """Whatever is created, added and replaced by four at a time: but for those who answered, and never silently."""
    random = np.random.default_rng(seed)
    stored = MemoryStore(MODEL)
    of_template: dict[int, int] = {}
    answered_for: set[str] = set()
    for steps in rounds:
        operations = [
            enrolment([photo(each, random) for each in people], how, name, allow_different=allowed)
            for name, how, people, allowed in steps
        ]
        for (name, _, people, allowed), outcome in zip(steps, stored.write(operations), strict=True):
            if isinstance(outcome, Outcome):
                assert isinstance(outcome.answer, Stored)
                of_template |= {int(each): person for each, person in zip(outcome.answer.samples, people, strict=True)}
                answered_for |= {name} if allowed else set()
            else:
                assert isinstance(outcome, GerbangError)
                assert outcome.reason in {"SAMPLES_DIFFER", "SUBJECT_EXISTS"}
                assert not (allowed and outcome.reason == "SAMPLES_DIFFER")
    with stored.reading() as reader:
        for name in {"x", "y"} - answered_for:
            subject = reader.subject(name)
            assert len({of_template[each.template_id] for each in subject.templates} if subject else ()) <= 1


def test_honest_photos_are_refused_less_often_than_they_are_not_verified() -> None:
    """Photo after photo of the same people, spread as real ones are: there is more than one template to be like."""
    random = np.random.default_rng(3)
    sent = refused = 0
    pairs: list[float] = []
    for person in range(PEOPLE):
        for number in range(60):
            stored, photos = MemoryStore(MODEL), [photo(person, random) for _ in range(5)]
            pairs += [float(one @ other) for one, other in pairwise(photos)]
            for each in photos:
                (outcome,) = stored.write([enrolment([each], name=f"p{number}")])
                sent += 1
                refused += isinstance(outcome, SamplesDiffer)
    assert np.mean(pairs) == pytest.approx(GENUINE, abs=0.02)
    assert np.std(pairs) == pytest.approx(SPREAD, abs=0.02)
    assert refused < FNMR * sent
