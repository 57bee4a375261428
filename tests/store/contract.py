"""What every store keeps to, whatever it is made of: tests that each implementation passes by a subclass."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gerbang_service.domain.errors import FieldInvalid, StoreUnavailable, SubjectNotFound, WatchlistNotFound
from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.watchlists import CountedWatchlist, Watchlist
from gerbang_service.store.port import AnsweredRequest, FellBehind, Operation, Outcome, Store, Transaction
from store.writes import (
    CHAIN,
    MANY,
    MODEL,
    Mirror,
    answer,
    drop,
    drop_list,
    fail,
    forget,
    ids,
    put,
    put_list,
    vector,
    wrote,
)


def _counted(lists: Sequence[CountedWatchlist]) -> dict[str, int]:
    return {each.watchlist.watchlist_id: each.subject_count for each in lists}


def _both(subject: Subject, watchlist: Watchlist) -> Operation[None]:
    def operation(transaction: Transaction) -> Outcome[None]:
        transaction.put_watchlist(watchlist)
        transaction.put_subject(subject)
        transaction.next_revision()
        return Outcome(None)

    return operation


class StoreContract(abc.ABC):
    """The tests; a subclass opens a store that is new and that others may follow."""

    @abc.abstractmethod
    def opened(self, folder: Path) -> Store:
        """Open a new store, with MODEL as its recogniser."""

    @abc.abstractmethod
    def break_disk(self, store: Store) -> None:
        """Have nothing written from now on."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = self.opened(tmp_path / "data")
        yield store
        store.close()

    def test_a_group_is_there_wholly(self, store: Store) -> None:
        """Operations of a group see what those before them did, and all of it is there when `write` returns."""
        wrote(store, put_list("v"), put("a", "v", seeds=[1, 2]))
        with store.reading() as reader:
            assert reader.revision() == 2
            subject = reader.subject("a")
        assert subject is not None
        assert (subject.watchlists, subject.labels, subject.update_time_ns) == (("v",), {"of": "a"}, 2)
        assert [each.template_id for each in subject.templates] == [1, 2]
        assert [each.chain for each in subject.templates] == [CHAIN, None]
        with store.contents(MODEL) as contents:
            assert len(list(contents.subjects)) == 1
            assert [len(each) for each in contents.templates] == [2]
            assert contents.chains == {CHAIN}

    def test_what_raises_is_undone_alone(self, store: Store) -> None:
        """An operation that fails leaves nothing and takes no revision; the others of its group are kept."""
        first, failed, last = store.write([put_list("v"), fail, put_list("w")])
        assert isinstance(failed, FieldInvalid)
        assert isinstance(first, Outcome)
        assert isinstance(last, Outcome)
        assert last.change is not None
        assert last.change.revision == 2
        with store.reading() as reader:
            assert reader.revision() == 2
            assert [each.watchlist_id for each in reader.watchlists()] == ["v", "w"]

    def test_each_of_a_group_that_failed_has_its_own_error(self, store: Store) -> None:
        """When the store fails nothing of a group is kept, and no two callers share an exception."""
        self.break_disk(store)
        results = store.write([put_list("v"), put_list("w")])
        assert all(isinstance(each, StoreUnavailable) for each in results)
        assert results[0] is not results[1]
        with pytest.raises(StoreUnavailable):
            store.probe()
        with store.reading() as reader:
            assert reader.revision() == 0
            assert not reader.watchlists()

    def test_a_probe_is_no_change(self, store: Store) -> None:
        """Finding out whether the disk takes changes counts no revision."""
        store.probe()
        with store.reading() as reader:
            assert reader.revision() == 0

    def test_template_ids_are_never_given_twice(self, store: Store) -> None:
        """Not even when the template, or its subject, was deleted."""
        given = wrote(store, put("a", seeds=[1, 2]))[0]
        wrote(store, drop("a"), put("b", seeds=[3]))
        with store.reading() as reader:
            subject = reader.subject("b")
        assert subject is not None
        assert subject.templates[0].template_id > max(given)

    def test_one_template_is_deleted_or_all(self, store: Store) -> None:
        """Others' templates stay."""
        (first, second), (kept,) = wrote(store, put("a", seeds=[1, 2]), put("b", seeds=[3]))

        def delete(transaction: Transaction) -> Outcome[list[int]]:
            transaction.delete_template(first)
            one = transaction.subject("a")
            transaction.delete_templates("a")
            assert one is not None
            return Outcome([each.template_id for each in one.templates])

        assert wrote(store, delete) == [[second]]
        with store.contents(MODEL) as contents:
            keys = {each.subject_id: each.subject_key for each in contents.subjects}
            assert keys.keys() == {"a", "b"}
            assert [row[:2] for batch in contents.templates for row in batch] == [(kept, keys["b"])]

    def test_putting_a_subject_leaves_its_templates(self, store: Store) -> None:
        """Its fields and its lists are overwritten, the time of its creation too."""
        wrote(store, put_list("v"), put_list("w"), put("a", "v", seeds=[1]), put("a", "w"))
        with store.reading() as reader:
            subject = reader.subject("a")
        assert subject is not None
        assert (subject.watchlists, len(subject.templates)) == (("w",), 1)

    def test_nobody_is_put_on_a_list_that_is_not_there(self, store: Store) -> None:
        """The operation is refused, and nothing of it stays; so are templates of nobody."""
        nobody = store.write([put("a", "missing"), lambda t: Outcome(t.add_templates("a", [], MODEL, 0))])
        assert isinstance(nobody[0], WatchlistNotFound)
        assert isinstance(nobody[1], SubjectNotFound)
        with store.reading() as reader:
            assert reader.subject("a") is None

    def test_a_reader_sees_one_state(self, store: Store) -> None:
        """What is written while a reader looks is not seen by it, and by the next one."""
        wrote(store, put_list("v"), put("a", "v"))
        with store.reading() as reader:
            assert reader.revision() == 2
            wrote(store, drop("a"), drop_list("v"))
            assert reader.subject("a") is not None
            assert reader.subject_counts() == {"v": 1}
        with store.reading() as reader:
            assert reader.subject("a") is None
            assert reader.watchlist("v") is None

    def test_the_lists_of_a_subject(self, store: Store) -> None:
        """None for nobody, nothing for somebody who is on no list."""
        wrote(store, put_list("w"), put_list("v"), put("a", "w", "v"), put("b"))
        with store.reading() as reader:
            assert reader.lists_of("a") == ("v", "w")
            assert reader.lists_of("b") == ()
            assert reader.lists_of("c") is None

    def test_lists_by_id(self, store: Store) -> None:
        """All of them or a page, or those that are named, of which some may not be there; with who is on each."""
        wrote(store, put_list("w"), put_list("v"), put_list("u"), put("a", "w", "v"), put("b", "w"))
        with store.reading() as reader:
            assert [each.watchlist_id for each in reader.watchlists()] == ["u", "v", "w"]
            assert _counted(reader.counted_watchlists()) == {"u": 0, "v": 1, "w": 2}
            assert _counted(reader.counted_watchlists(limit=2)) == {"u": 0, "v": 1}
            assert _counted(reader.counted_watchlists(after="v", limit=2)) == {"w": 2}
            assert _counted(reader.counted_watchlists(within=["w", "x", "u"])) == {"u": 0, "w": 2}
            assert _counted(reader.counted_watchlists(within=["w", "x", "u"], after="u", limit=1)) == {"w": 2}
            assert not reader.counted_watchlists(within=[])

    def test_revisions_are_kept(self, store: Store) -> None:
        """At which revision a list and a subject were last changed, whether they are new or there already."""
        changed = [Subject("a", ("v",), revision=2), Subject("a", revision=5)]
        lists = [Watchlist("v", revision=1), Watchlist("v", title="new", revision=4)]
        for subject, watchlist in zip(changed, lists, strict=True):
            wrote(store, _both(subject, watchlist))
            with store.reading() as reader:
                found = reader.subject("a")
                assert found is not None
                assert found.revision == subject.revision
                assert reader.watchlist("v") == watchlist

    def test_members_are_counted(self, store: Store) -> None:
        """Of each list, the empty ones too, whoever joins, leaves or is deleted."""
        wrote(store, *(put_list(each) for each in "uvw"), put("a", "v", "w"), put("b", "v"), put("c", "v"))
        wrote(store, put("b", "w"), put("b", "w"), drop("c"))
        with store.reading() as reader:
            assert reader.subject_counts() == {"u": 0, "v": 1, "w": 2}
            assert [reader.subject_count(each) for each in ("u", "v", "w", "x")] == [0, 1, 2, 0]

    def test_pages(self, store: Store) -> None:
        """Everybody, or who is on one of some lists, each once, by id, from after an id on."""
        wrote(store, *(put_list(each) for each in "uvw"))
        wrote(store, put("d", "v", "w"), put("b", "v", seeds=[1, 2]), put("c", "u"), put("a", "w"), put("e"))
        with store.reading() as reader:
            assert ids(reader.subjects(after="", limit=9)) == ["a", "b", "c", "d", "e"]
            assert ids(reader.subjects(after="b", limit=2)) == ["c", "d"]
            assert ids(reader.subjects(after="", limit=9, watchlists=["v", "w"])) == ["a", "b", "d"]
            assert ids(reader.subjects(after="a", limit=1, watchlists=["w", "v"])) == ["b"]
            assert ids(reader.subjects(after="", limit=9, watchlists=["x"])) == []
            assert ids(reader.subjects(after="", limit=9, watchlists=[])) == []
            assert [len(each.templates) for each in reader.subjects(after="", limit=3)] == [0, 2, 0]

    def test_pages_of_those_whose_time_is_over(self, store: Store) -> None:
        """At a moment: that of its end is the first at which it is; who never ends is never among them."""
        ends = {"a": 10, "b": None, "c": 30, "d": 20, "e": 20}
        for name, end in ends.items():
            wrote(store, put_list(name))
            wrote(store, put(name, name, ends=end))
        with store.reading() as reader:
            assert ids(reader.subjects(after="", limit=9, ended_by_ns=20)) == ["a", "d", "e"]
            assert ids(reader.subjects(after="a", limit=1, ended_by_ns=20)) == ["d"]
            assert ids(reader.subjects(after="", limit=9, ended_by_ns=9)) == []
            assert ids(reader.subjects(after="", limit=9, watchlists=["a", "b", "e"], ended_by_ns=29)) == ["a", "e"]
            assert ids(reader.subjects(after="a", limit=9, watchlists=["a", "c", "d"], ended_by_ns=29)) == ["d"]

    def test_a_list_made_anew_has_nobody_of_the_old_one(self, store: Store) -> None:
        """However many were on it, and although they may not all have left it yet; who was on it stays."""

        def many(transaction: Transaction) -> Outcome[None]:
            for number in range(MANY):
                transaction.put_subject(Subject(f"s{number:05}", ("v", "w")))
            return Outcome(None)

        wrote(store, put_list("v"), put_list("w"), many, drop_list("v"), put_list("v"), put("s00003", "v"))
        with store.reading() as reader:
            assert reader.subject_counts() == {"v": 1, "w": MANY - 1}
            assert ids(reader.subjects(after="", limit=9, watchlists=["v"])) == ["s00003"]
            assert reader.lists_of("s00004") == ("w",)
            (subject,) = reader.subjects(after=f"s{MANY - 2:05}", limit=9)
            assert subject.watchlists == ("w",)
        with store.contents(MODEL) as contents:
            assert {each.watchlists for each in contents.subjects} == {("w",), ("v",)}
        assert store.erase() is None

    def test_an_answer_is_kept_for_repeats(self, store: Store) -> None:
        """As it was given, and only under its own id."""
        wrote(store, put("a"), answer("r", "a", 5))
        with store.reading() as reader:
            assert reader.answered("r") == AnsweredRequest("r", b"digest", "a", (1, "NO_FACE"), 7, 5)
            assert reader.answered("q") is None

    def test_deleting_a_subject_erases_its_answers(self, store: Store) -> None:
        """That they were given stays known, and of whom; others' answers stay as they are."""
        wrote(store, put("a"), put("b"), answer("r", "a", 5), answer("q", "b"), drop("a"))
        with store.reading() as reader:
            assert reader.answered("r") == AnsweredRequest("r", b"", "a", (), 0, 5, erased=True)
            kept = reader.answered("q")
        assert kept is not None
        assert not kept.erased

    def test_old_answers_are_forgotten(self, store: Store) -> None:
        """The oldest first, not more than wanted, and only those that are older; erased ones as well."""
        wrote(store, put("a"), *(answer(f"r{created}", "a", created) for created in (3, 1, 4, 2)), drop("a"))
        assert wrote(store, forget(4, 2)) == [2]
        with store.reading() as reader:
            assert [reader.answered(f"r{each}") is None for each in (1, 2, 3, 4)] == [True, True, False, False]
        assert wrote(store, forget(4, 9), forget(4, 9)) == [1, 0]

    def test_following_leads_to_the_same_state(self, store: Store) -> None:
        """Whoever follows holds what one that starts anew would."""
        wrote(store, put_list("v"), put_list("w"), put("a", "v", seeds=[1]), put("b", "v", seeds=[2]))
        mirror = Mirror(store)
        wrote(store, drop_list("v"), put_list("v"), put("a", "w", seeds=[3]), drop("b"), put("c", "v", seeds=[4]))
        store.follow(mirror)
        assert mirror.held() == Mirror(store).held()
        wrote(store, put("a", "v"))
        store.follow(mirror)
        store.follow(mirror)
        assert mirror.held() == Mirror(store).held()

    def test_only_templates_of_the_recogniser_are_told(self, store: Store) -> None:
        """Those of another are stored and counted apart."""
        mirror = Mirror(store)
        wrote(store, put("a", seeds=[1], model="other"), put("a", seeds=[2, 3]))
        store.follow(mirror)
        assert mirror.template_ids("a") == [2, 3]
        assert (store.template_count(MODEL), store.template_count("other")) == (2, 1)
        assert mirror.held() == Mirror(store).held()

    def test_a_follower_is_brought_up_before_a_group(self, store: Store) -> None:
        """Its own changes then lead on from what others wrote."""
        mirror = Mirror(store)
        wrote(store, put_list("v"))
        (outcome,) = store.write([put("a", "v", seeds=[1])], follower=mirror)
        assert mirror.revision == 1
        assert isinstance(outcome, Outcome)
        assert outcome.change is not None
        mirror.apply([outcome.change], outcome.change.revision)
        assert mirror.held() == Mirror(store).held()

    def test_who_fell_behind_is_told(self, store: Store) -> None:
        """When not all changes since a revision are known, following fails rather than leaving a gap."""
        mirror = Mirror(store)
        mirror.revision = -5
        wrote(store, put_list("v"))
        with pytest.raises(FellBehind):
            store.follow(mirror)

    def test_what_is_loaded(self, store: Store) -> None:
        """Of one state: lists, subjects with their lists and labels, and the vectors bit for bit."""
        wrote(store, put_list("v"), put("a", "v", seeds=[1, 2]), put("b"))
        with store.contents(MODEL) as contents:
            wrote(store, drop("a"))
            assert contents.revision == 3
            assert [each.watchlist_id for each in contents.watchlists] == ["v"]
            one, two = contents.subjects
            assert (one.subject_id, one.watchlists, one.labels) == ("a", ("v",), {"of": "a"})
            assert (two.subject_id, two.watchlists) == ("b", ())
            rows = [row for batch in contents.templates for row in batch]
            assert contents.template_count in {0, len(rows)}
        assert rows == [(1, one.subject_key, vector(1).tobytes()), (2, one.subject_key, vector(2).tobytes())]

    def test_the_epoch_stays(self, store: Store) -> None:
        """A client can tell by it that revisions did not begin anew."""
        before = store.epoch
        wrote(store, put_list("v"))
        assert store.epoch == before != ""
