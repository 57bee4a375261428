"""Sending many people's photos: files read only as they are sent, what became of each told as it is known."""

from __future__ import annotations

import stat
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gerbang import EnrollRequest, EnrollResponse, WatchlistClient, error_of
from gerbang_service.cli.enrolments import (
    KEPT,
    Contents,
    Enrolment,
    Outcome,
    PhotoResult,
    is_of_photo,
    request_for,
    results_of,
    was_deleted,
)

LOOK_AHEAD: Final = 32
"""Requests sent or being sent without an answer yet: enough to keep a server busy."""

STOPS_AFTER: Final = 2 * LOOK_AHEAD
"""Requests in a row that the server could not store, as when its disk is full: the rest is then not sent at all."""

LARGEST_FILE: Final = 50_000_000
"""Bytes. A larger file can't be one message (64 MiB) and would end the stream for all others."""

# A request's photos; and the bytes that a turn of those LOOK_AHEAD stands for, so that all take 320 MB at most.
_MOST_PHOTOS: Final = 20
_TURN: Final = 10_000_000
_NOT_STORED: Final = frozenset({"STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE"})


@dataclass(slots=True)
class _Progress:
    """How far a person's photos are: those `left` to send, so many `at_once`, and whether any was `kept`.

    `replaced`: the id of the request that was put in the place of all there was.
    """

    enrolment: Enrolment
    left: deque[Path]
    at_once: int
    kept: bool = False
    generation: int = 0
    replaced: str = ""

    @property
    def on_existing(self) -> str:
        """What the next photos are to somebody who is there: once some are kept, they are added to those."""
        return "add" if self.kept else self.enrolment.terms.on_existing


@dataclass(frozen=True, slots=True)
class _Part:
    """Photos that were sent together, by a request of this id, and how many of the turns they took."""

    progress: _Progress
    photos: tuple[Path, ...]
    request_id: str
    turns: int


class Upload:
    """One run over some people; `results` may be consumed once, by one thread.

    A person's photos are one request, so that they are compared with each other before any is kept. More than fit into
    one follow when the first are kept, and are added to those: to a subject that this run, or the same one before, has
    made. So nobody is added to who is somebody else, unless the terms say "add". Then each photo is sent by itself, and
    recognised by itself when it is sent again.

    The server remembers what was deleted since it was enrolled, and refuses the repeat. With `again`, such photos are
    sent once more with the request_id of their next generation, until one is new or was done already.
    """

    def __init__(
        self,
        office: WatchlistClient,
        people: Sequence[Enrolment],
        *,
        timeout: float | None = None,
        again: bool = False,
    ) -> None:
        self._office = office
        self._people = people
        self._timeout = timeout
        self._again = again
        self._free = threading.Semaphore(LOOK_AHEAD)
        self._over = False
        self._not_stored = 0
        # Both are filled by gRPC's thread and emptied by the caller's: deque's append and popleft are atomic.
        self._sent: deque[_Part] = deque()
        self._unsent: deque[PhotoResult] = deque()

    @property
    def unanswered(self) -> int:
        """Photos that were sent and not answered: after a break, nobody knows whether they were kept."""
        return sum(len(part.photos) for part in self._sent)

    def results(self) -> Iterator[PhotoResult]:
        """Send the photos and yield what became of each, in about their order.

        Ends early when the server can store nothing more. Raises gerbang.GerbangError when the stream breaks. What was
        yielded until then as enrolled is kept by the server.
        """
        people = [each for person in self._people for each in _begun(person)]
        try:
            while people:
                for response in self._office.enroll_stream(self._requests(people), timeout=self._timeout):
                    yield from self._answered(self._sent.popleft(), response)
                    yield from self._drain_unsent()
                yield from self._drain_unsent()
                if self._over:
                    return
                people = [each for each in people if each.left]
        finally:
            self._over = True
            self._free.release(LOOK_AHEAD)  # lets gRPC's thread see that it is over, however many it waits for

    def _answered(self, part: _Part, response: EnrollResponse) -> Iterator[PhotoResult]:
        """Yield what became of a part's photos, unless they are sent again; see to what is left of the person's."""
        self._free.release(part.turns)
        progress, error = part.progress, error_of(response)
        if self._again and was_deleted(error):
            progress.left.extendleft(reversed(part.photos))
            progress.generation += 1
            return
        if error is not None and is_of_photo(error) and len(part.photos) > 1:
            # None could be used, and the server says why of one: each is asked about by itself.
            progress.left.extendleft(reversed(part.photos))
            progress.at_once = 1
            return
        results = results_of(progress.enrolment.subject_id, part.photos, response)
        if not progress.kept and any(each.outcome in KEPT for each in results):
            progress.replaced = part.request_id if progress.on_existing == "replace" else ""
            progress.kept = True
        self._not_stored = self._not_stored + 1 if error is not None and error.reason in _NOT_STORED else 0
        self._over = self._over or self._not_stored >= STOPS_AFTER
        if error is not None and not is_of_photo(error):
            # It lies with the person or with the server: nothing more is asked about this person.
            results += [replace(results[-1], photo=photo) for photo in progress.left]
            progress.left.clear()
        yield from results

    def _drain_unsent(self) -> Iterator[PhotoResult]:
        while self._unsent:
            yield self._unsent.popleft()

    def _requests(self, people: Sequence[_Progress]) -> Iterator[EnrollRequest]:
        """Read and yield a request for each person; run by gRPC's thread, LOOK_AHEAD ahead of the answers at most."""
        for progress in people:
            self._free.acquire()
            if self._over:
                return
            photos, contents = self._next(progress)
            if not photos:
                self._free.release()
                continue
            # Of one thread only, so two of them can't wait for each other.
            turns = min(LOOK_AHEAD, 1 + sum(map(len, contents)) // _TURN)
            for _ in range(turns - 1):
                self._free.acquire()
            if self._over:
                return
            request = request_for(
                progress.enrolment.subject_id,
                contents,
                progress.enrolment.terms,
                progress.on_existing,
                progress.generation,
                progress.replaced,
            )
            self._sent.append(_Part(progress, photos, request.request_id, turns))
            yield request

    def _next(self, progress: _Progress) -> tuple[tuple[Path, ...], Contents]:
        """Take the photos of a person's next request, as many as fit; those that can't be read are told of."""
        photos: list[Path] = []
        contents: list[bytes] = []
        size = 0
        while progress.left and len(photos) < progress.at_once:
            photo = progress.left[0]
            content = self._read(progress.enrolment.subject_id, photo)
            if content is not None:
                size += len(content)
                if photos and size > LARGEST_FILE:
                    break
                photos.append(photo)
                contents.append(content)
            progress.left.popleft()
        return tuple(photos), contents

    def _read(self, subject_id: str, photo: Path) -> bytes | None:
        try:
            found = photo.stat()
            if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
                reason, detail = "FILE_UNREADABLE", "is no file"
            elif found.st_size > LARGEST_FILE:
                reason, detail = "IMAGE_TOO_LARGE", f"larger than {LARGEST_FILE / 1e6:.0f} MB, not sent"
            else:
                return photo.read_bytes()
        except OSError as error:
            reason, detail = "FILE_UNREADABLE", error.strerror or str(error)
        self._unsent.append(PhotoResult(photo, subject_id, Outcome.REJECTED, reason=reason, detail=detail))
        return None


def _begun(person: Enrolment) -> Iterator[_Progress]:
    if person.terms.on_existing == "add":
        yield from (_Progress(person, deque([photo]), 1) for photo in person.photos)
    elif person.photos:
        yield _Progress(person, deque(person.photos), _MOST_PHOTOS)
