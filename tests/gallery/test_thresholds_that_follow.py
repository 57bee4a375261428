"""Thresholds follow how many templates are on the lists searched, in steps, and are those of the answer's revision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from office import DIMENSION, Office, answered, unit

from gerbang_service.domain.false_matches import FalseMatchRates, Point, step_of
from gerbang_service.domain.questions import Everybody, OnLists, Plan, Question
from gerbang_service.domain.thresholds import Rule, Source, Threshold
from gerbang_service.domain.watchlists import Direction, Watchlist
from gerbang_service.running.threshold_watch import ThresholdWatch

RATES = FalseMatchRates((Point(0.5, 0.0, "made up"), Point(1e-9, 0.9, "made up")))
RULE = Rule(None, 0.01, RATES)
LISTS = (Watchlist("a"), Watchlist("b"), Watchlist("own", target_fpir=0.1), Watchlist("fixed", threshold=0.3))


def asked(office: Office, *names: str, **more: Any) -> Any:
    """Return the answer to somebody's search."""
    probe = np.zeros(DIMENSION, np.float32)
    probe[0] = 1
    return answered(office.gallery, Question(probe, OnLists(RULE, names, **more), 5, Plan.SWEEP))


def enrolled(office: Office, count: int, *lists: str) -> None:
    vectors = unit(np.random.default_rng(office.templates), count)
    first = office.templates
    office.enrol_all([(f"s{first + i}", vectors[i : i + 1]) for i in range(count)], *lists)


def test_what_is_searched_together_follows_the_servers_target_and_a_list_its_own() -> None:
    """A stranger is stopped when any list hits: templates on several of the lists count once, and so does a subject."""
    office = Office(*LISTS, start=False)
    enrolled(office, 100, "a")
    enrolled(office, 50, "a", "b")
    enrolled(office, 20, "own", "b")
    enrolled(office, 7)
    for names, searched in (
        ((), 170),
        (("a",), 150),
        (("b",), 70),
        (("own", "a"), 150),
        (("own",), 0),
        (("fixed",), 0),
    ):
        basis = asked(office, *names).basis
        assert basis == RULE.of_server(step_of(searched)), names
    in_force = office.gallery.in_force(RULE)
    assert in_force.server == RULE.of_server(step_of(170))
    assert in_force.by_list == {
        "own": RULE.of_list(LISTS[2], step_of(20)),
        "fixed": RULE.of_list(LISTS[3], step_of(0)),
    }
    assert in_force.everybody == RULE.of_server(step_of(177))
    everybody = Question(unit(np.random.default_rng(1), 1)[0], Everybody(RULE), 5, Plan.SWEEP)
    assert answered(office.gallery, everybody).basis == in_force.everybody
    by_request = asked(office, threshold=0.5).basis
    assert (by_request.source, by_request.cosine, by_request.templates) == (Source.REQUEST, 0.5, step_of(170))


def test_lists_are_named_in_any_number_of_ways_and_few_are_remembered() -> None:
    """Each number that is kept costs a step a change. What is forgotten is counted anew, and follows as ever."""
    office = Office(*(Watchlist(f"l{i:02}") for i in range(12)), start=False)
    enrolled(office, 100, "l00")
    ways = [tuple(f"l{i:02}" for i in range(12) if way >> i & 1) for way in range(1, 2000)]
    for names in ways:
        assert asked(office, *names).basis.templates == step_of(100 if "l00" in names else 0), names
    assert len(office.gallery._contents.state.scopes.counts) < 600
    enrolled(office, 200, "l00")
    assert asked(office, *ways[-1]).basis.templates == step_of(300)
    assert office.gallery.in_force(RULE).server.templates == step_of(300)


def test_a_candidate_says_which_threshold_it_passed_and_whose_that_is() -> None:
    """The lowest of those that it passed."""
    office = Office(*LISTS, start=False)
    face = unit(np.random.default_rng(2), 3)
    for name, vector, lists in (("a", face[0], ("a",)), ("own", face[1], ("own",)), ("both", face[2], ("a", "fixed"))):
        office.enrol(name, vector[None], *lists)
    enrolled(office, 3000, "a")
    wanted = (("a", Source.TARGET), ("own", Source.WATCHLIST_TARGET), ("both", Source.WATCHLIST))
    for (name, source), vector in zip(wanted, face, strict=True):
        found = answered(office.gallery, Question(vector, OnLists(RULE), 1, Plan.SWEEP)).candidates[0]
        assert found.subject_id == name
        assert found.basis is not None
        assert (found.basis.source, found.basis.cosine) == (source, found.threshold)


_moves = st.lists(
    st.one_of(
        st.tuples(st.just("enrol"), st.integers(1, 12), st.sets(st.sampled_from("ab"), max_size=2)),
        st.tuples(st.just("delete"), st.integers(0, 99), st.none()),
        st.tuples(st.just("move"), st.integers(0, 99), st.sets(st.sampled_from("ab"), max_size=2)),
        st.tuples(st.just("drop"), st.just(0), st.sampled_from("ab")),
    ),
    max_size=12,
)


@given(_moves)
@settings(max_examples=60, deadline=None)
def test_whoever_comes_and_goes_it_is_the_threshold_of_how_many_there_are(moves: Sequence[Any]) -> None:
    """As if it had been worked out anew: what is remembered and counted on the way makes no difference."""
    office = Office(Watchlist("a"), Watchlist("b"), start=False)
    for kind, number, lists in moves:
        people = sorted(office.records)
        if kind == "enrol":
            enrolled(office, number, *(each for each in lists if each in office.gallery.watchlists))
        elif kind == "drop" and lists in office.gallery.watchlists:
            office.drop_list(lists)
        elif people and kind == "delete":
            office.delete(people[number % len(people)])
        elif people and kind == "move":
            on = tuple(sorted(each for each in lists if each in office.gallery.watchlists))
            office.change(people[number % len(people)], watchlists=on)
        for names in ((), ("a",), ("b",)):
            if all(name in office.gallery.watchlists for name in names):
                wanted = names or tuple(office.gallery.watchlists)
                there = sum(
                    len(vectors)
                    for subject, vectors in office.records.values()
                    if not set(subject.watchlists).isdisjoint(wanted)
                )
                answer = asked(office, *names)
                assert answer.basis == RULE.of_server(step_of(there))
                assert answer.revision == office.revision
        assert office.gallery.in_force(RULE).everybody == RULE.of_server(step_of(len(office.records)))


def test_it_is_remembered_until_it_moves() -> None:
    """The same scope answers until a step is passed, on the way up and on the way down."""
    office = Office(Watchlist("a"), start=False)
    enrolled(office, 101, "a")
    kept = office.gallery.in_force(RULE)
    assert kept.server.templates == step_of(101) == 108
    enrolled(office, 7, "a")
    assert office.gallery.in_force(RULE) is kept
    enrolled(office, 1, "a")
    moved = office.gallery.in_force(RULE)
    assert moved.server.templates == 128
    assert moved.server.cosine > kept.server.cosine
    office.delete("s0")
    assert office.gallery.in_force(RULE).server == kept.server


def test_each_move_is_told_once_with_what_it_was_before() -> None:
    """Of the server's threshold and of a list's own; what no target moves is not told."""
    office = Office(*LISTS, start=False)
    noted: list[Mapping[str, Any]] = []
    watch = ThresholdWatch(office.gallery, RULE)
    watch.note = noted.append
    watch.look()
    assert [(each["watchlist"], each["before"]) for each in noted] == [("", None), ("own", None)]
    noted.clear()
    enrolled(office, 64, "fixed")
    watch.look()
    assert not noted
    enrolled(office, 64, "a")
    watch.look()
    watch.look()
    (told,) = noted
    expected = RULE.of_server(64)
    assert told["event"] == "threshold"
    assert told["threshold"] == round(expected.cosine, 8) > told["before"]
    assert (told["watchlist"], told["templates"], told["target_fpir"]) == ("", 64, 0.01)
    noted.clear()
    enrolled(office, 64, "own", "b")
    watch.look()
    assert [each["watchlist"] for each in noted] == ["", "own"]
    now: Mapping[str, Threshold] = watch.now()
    assert now == {"": RULE.of_server(128), "own": RULE.of_list(LISTS[2], 64), "fixed": RULE.of_list(LISTS[3], 64)}


def test_only_lists_of_the_travellers_direction_count() -> None:
    office = Office(
        Watchlist("in", direction=Direction.ARRIVAL), Watchlist("out", direction=Direction.DEPARTURE), start=False
    )
    enrolled(office, 300, "in")
    enrolled(office, 30, "out")
    assert asked(office, direction=Direction.DEPARTURE).basis.templates == step_of(30)
    assert asked(office).basis.templates == step_of(330)
