"""The keyword arguments that several calls share, in one place with meaning, range and default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from gerbang._choices import Choice


class IdentifyOptions(TypedDict, total=False):
    """Keyword arguments of identify, identify_stream and identify_batch, where they hold for every probe.

    direction: "arrival", "departure", "both" or a Direction. Default: any direction.
    watchlists: ids of the lists to search; each must exist. Default: all.
    max_candidates: how many subjects to return at most, 0 to 100. Default 0: 5.
    threshold: cosine similarity, -1 to 1, from which on a subject is a hit. Default None: each watchlist's
        own, else the server's. A caller of role gate can only raise these.
    plan: how to search: "both", "sweep", "exact" or a Plan, but not the graph alone. Default: the server's.
        Reported scores are exact in any case.
    min_revision: answer only from a gallery at this revision or later (a change's answer has its `revision`);
        the server waits for it, at most 5 s. Default 0: as it is now.
    face_choice: which face of an image is meant: "largest", "only" or a FaceChoice. Default: the largest.
    """

    direction: Choice | None
    watchlists: Sequence[str]
    max_candidates: int
    threshold: float | None
    plan: Choice | None
    min_revision: int
    face_choice: Choice | None


class EnrollOptions(TypedDict, total=False):
    """Keyword arguments of enroll and enroll_request.

    watchlists: ids of the lists to put the subject on, at most 64; each must exist. Default: none, a plain
        1:1 reference that verify sees and identify does not. With on_existing "add": besides those it is on.
    valid_from: from when on identify sees the subject, a datetime with a time zone. Default None: always has.
    expire_time: from when on identify no longer does, after valid_from. Default None: never ends. One that has
        passed is answered with a warning.
    labels: free pairs that come back with every candidate, at most 32 of 256 characters each. Default: none.
    request_id: a UUID. A repeat with it changes nothing and returns the first answer, without `duplicates`
        (see EnrollResponse.replayed). Default: a new random one, so that the client's own retries are safe;
        give one to repeat a call yourself, as after DeadlineExceeded.
    on_existing: when the subject is there already: "reject", "add", "replace" or an OnExisting. Default:
        reject.
    allow_partial: True: rejected samples are reported in `sample_results` and the rest is enrolled. Default
        False: one rejected sample fails the call.
    allow_different: True: samples and stored templates need not show one face, by the verification threshold;
        what would have been refused is answered with a warning. Default False: SamplesDiffer, and nothing is stored.
    face_choice: which face of an image is meant: "only", "largest" or a FaceChoice. Default: there must be
        only one.
    expected_revision: with on_existing "add" or "replace": the subject's `revision` that this is made from.
        Another one by now is RevisionConflict, and nothing is changed. Default 0: whatever was changed since.
    """

    watchlists: Sequence[str]
    valid_from: datetime | None
    expire_time: datetime | None
    labels: Mapping[str, str] | None
    request_id: str | None
    on_existing: Choice | None
    allow_partial: bool
    allow_different: bool
    face_choice: Choice | None
    expected_revision: int


class ChangeOptions(TypedDict, total=False):
    """Keyword arguments of every change of a list or a subject.

    request_id: a UUID. A repeat with it changes nothing and returns the first answer (see `replayed`). Default
        None: a repeat is a new change.
    expected_revision: the `revision` of the subject, or the list, that the change is made from. Another one by
        now is RevisionConflict, and nothing is changed. Default 0: it is made whatever was changed since.
    note: why, for the second person where one is needed, at most 256 characters. Default: none.
    """

    request_id: str | None
    expected_revision: int
    note: str


class WatchlistFields(TypedDict, total=False):
    """Keyword arguments of create_watchlist and update_watchlist; update changes only those that are given.

    title: what officers call it, at most 256 characters. Default: empty.
    direction: "arrival", "departure", "both" or a Direction. Default: both.
    action: what a gate does on a hit: "silent_alert", "refer_to_officer", "defer_departure", "refuse_entry"
        or an Action. Default: refer_to_officer.
    threshold: cosine similarity, -1 to 1, from which on a candidate is a hit in this list. None, in an update
        too: the server's.
    target_fpir: the share of strangers that the list may stop, above 0 and at most 0.5, which its threshold
        follows as it grows. Not together with a threshold: in an update give the other as None. None: the server's.
    two_person_removal: True: what makes the list stop fewer people needs another person's confirmation. Default:
        False.
    labels: free pairs, at most 32 of 256 characters each. None or empty, in an update too: none.
    """

    title: str
    direction: Choice | None
    action: Choice | None
    threshold: float | None
    target_fpir: float | None
    two_person_removal: bool
    labels: Mapping[str, str] | None


class WatchlistChange(WatchlistFields, ChangeOptions, total=False):
    """Keyword arguments of update_watchlist."""


class SubjectFields(ChangeOptions, total=False):
    """Keyword arguments of update_subject, which changes only those that are given.

    watchlists: ids of all the lists that the subject is on from now on; empty: none.
    add_watchlists, remove_watchlists: ids of lists to put the subject on, besides those that it is on, and to
        take it off; not together with `watchlists`. The answer says which it was put on and taken off.
    valid_from, expire_time: datetimes with a time zone. None: no such limit any more.
    labels: all labels from now on. None or empty: none.
    """

    watchlists: Sequence[str]
    add_watchlists: Sequence[str]
    remove_watchlists: Sequence[str]
    valid_from: datetime | None
    expire_time: datetime | None
    labels: Mapping[str, str] | None


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for a keyword argument that the call does not have, as Python itself would."""
    for name in given:
        if name not in known:
            raise TypeError(f"unexpected keyword argument {name!r}: there are {', '.join(known)}")
