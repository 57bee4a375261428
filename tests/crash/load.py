"""A mixed load by several clients, each of which knows what was acknowledged to it, until the server is gone."""

from __future__ import annotations

import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from crash.failures import check_failure
from crash.model import Person, State, Truth, Wrong, left_behind
from crash.searching import check_found, search
from crash.sending import Sending
from crash.templates import samples_of
from gerbang import EnrollRequest
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from rpc.wire import Wire, of_status

LISTS = ("cegah", "tangkal")
TIMEOUT_S = 20.0
# People of each client, from which on it deletes more than it enrols.
_CROWD = 10
# Items of a stream: not more than a round can check.
_STREAMED = 60
# One acknowledgement in so many is looked after at once.
_LOOKED_AFTER = 4
_numbers = itertools.count(1)


@dataclass
class Load:
    """The clients of one life of a server at `address`. `unanswered`: enrolments by name, to be repeated later."""

    address: str
    truth: Truth
    seed: int
    unanswered: dict[str, EnrollRequest] = field(default_factory=dict)
    wrong: list[BaseException] = field(default_factory=list)
    answers: int = 0
    looks: int = 0

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._killed = threading.Event()
        clients: list[Callable[[str], None]] = [*[self._office] * 3, self._stream, self._lists, *[self._gate] * 2]
        self._threads = [
            threading.Thread(target=self._run, args=(client, f"{index}-"), daemon=True)
            for index, client in enumerate(clients)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def expect_kill(self) -> None:
        """Be told that a process of the server will be killed now: from here on calls may fail as they do then."""
        self._killed.set()

    def stop(self) -> None:
        """End, when the server is gone or shall be. Raises what a client found wrong."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        if self.wrong:
            raise self.wrong[0]
        if any(thread.is_alive() for thread in self._threads):
            raise Wrong("a call hangs")

    def _run(self, client: Callable[[str], None], prefix: str) -> None:
        try:
            try:
                client(prefix)
            except grpc.RpcError as error:
                check_failure(error, killed=self._killed.is_set())
        except BaseException as error:  # noqa: BLE001 - told by `stop`
            self.wrong.append(error)

    def _office(self, prefix: str) -> None:
        chance = random.Random(f"{self.seed} {prefix}")
        with Wire(self.address) as wire:
            while not self._stopping.is_set():
                mine = {name: state for name, state in self.truth.settled(prefix).items() if isinstance(state, Person)}
                known = sorted(mine)
                if chance.random() < 0.1:
                    time.sleep(chance.random() * 0.05)
                if not known or chance.random() < (0.5 if len(known) < _CROWD else 0.2):
                    self._enroll(wire, f"{prefix}{next(_numbers)}-{self.seed}", chance)
                    continue
                name = chance.choice(known)
                chance.choice((self._update, self._delete, self._replace))(wire, name, mine[name], chance)

    def _enroll(self, wire: Wire, name: str, chance: random.Random) -> None:
        request, person = _enrolment(name, chance)
        self.truth.attempt(name, person)
        self.unanswered[name] = request
        self._acknowledge(wire, name, wire.matching.Enroll(request, timeout=TIMEOUT_S).revision, chance)

    def _replace(self, wire: Wire, name: str, _: Person, chance: random.Random) -> None:
        request, person = _enrolment(name, chance, on_existing=pb.ON_EXISTING_REPLACE, allow_different=True)
        self.truth.attempt(name, person)
        self.unanswered[name] = request
        self._acknowledge(wire, name, wire.matching.Enroll(request, timeout=TIMEOUT_S).revision, chance)

    def _update(self, wire: Wire, name: str, person: Person, chance: random.Random) -> None:
        changed = Person(person.seed, person.templates, chance.choice((LISTS, LISTS[:1])), uuid.uuid4().hex)
        subject = Subject(subject_id=name, watchlists=changed.lists, labels=changed.labels)
        self.truth.attempt(name, changed)
        request = office_pb.UpdateSubjectRequest(subject=subject)
        request.update_mask.paths.extend(("watchlists", "labels"))
        self._acknowledge(wire, name, wire.watchlists.UpdateSubject(request, timeout=TIMEOUT_S).revision, chance)

    def _delete(self, wire: Wire, name: str, _: Person, chance: random.Random) -> None:
        self.truth.attempt(name, None)
        request = office_pb.DeleteSubjectRequest(subject_id=name)
        self._acknowledge(wire, name, wire.watchlists.DeleteSubject(request, timeout=TIMEOUT_S).revision, chance)

    def _acknowledge(self, wire: Wire, name: str, revision: int, chance: random.Random) -> None:
        before, now = self.truth.acknowledge(name, revision)
        self.unanswered.pop(name, None)
        self.answers += 1
        if chance.randrange(_LOOKED_AFTER) == 0:
            self._look(wire, name, revision, before, now)

    def _look(self, wire: Wire, name: str, revision: int, before: State, now: State) -> None:
        """Search for whom a change was about: they are found as they are now, and by what was taken away nobody is."""
        sought: list[tuple[int, dict[str, Person]]] = []
        if isinstance(now, Person):
            sought.append((now.seed, {name: now}))
        if (taken := left_behind(before, now)) is not None:
            sought.append((taken, {}))
        for seed, expected in sought:
            request = search(samples_of(seed)[revision % 3], revision)
            check_found(wire.matching.Identify(request, timeout=TIMEOUT_S), request, expected)
            self.looks += 1

    def _stream(self, prefix: str) -> None:
        chance = random.Random(f"{self.seed} {prefix}")
        sent: list[str] = []

        def make() -> EnrollRequest:
            name = f"{prefix}{next(_numbers)}-{self.seed}"
            request, person = _enrolment(name, chance)
            self.truth.attempt(name, person)
            self.unanswered[name] = request
            sent.append(name)
            return request

        with Wire(self.address) as wire:
            for name, state in self.truth.settled(prefix).items():
                if isinstance(state, Person) and chance.random() < 0.5:
                    self._delete(wire, name, state, chance)
            sending = Sending(make, _STREAMED)
            try:
                for number, answer in enumerate(wire.matching.EnrollStream(iter(sending), timeout=TIMEOUT_S)):
                    sending.answered()
                    self._answered(wire, sent[number], answer, chance)
                    if self._stopping.is_set():
                        sending.end()
            finally:
                sending.end()

    def _answered(self, wire: Wire, name: str, answer: pb.EnrollResponse, chance: random.Random) -> None:
        """Take the answer to an item of a stream."""
        if not answer.HasField("error"):
            self._acknowledge(wire, name, answer.revision, chance)
        elif of_status(answer.error).reason == "OVERLOADED":
            self.truth.refuse(name)
            del self.unanswered[name]
        else:
            raise Wrong(f"an item of a stream failed: {of_status(answer.error)}")

    def _lists(self, prefix: str) -> None:
        chance = random.Random(f"{self.seed} {prefix}")
        with Wire(self.address) as wire:
            while not self._stopping.is_set():
                known = {name: state for name, state in self.truth.settled(f"list-{prefix}").items() if state}
                title = uuid.uuid4().hex
                if len(known) < 3:
                    name = f"list-{prefix}{next(_numbers)}-{self.seed}"
                    self.truth.attempt(name, title)
                    create = office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name, title=title))
                    revision = wire.watchlists.CreateWatchlist(create, timeout=TIMEOUT_S).revision
                elif chance.random() < 0.5:
                    name = chance.choice(sorted(known))
                    self.truth.attempt(name, title)
                    update = office_pb.UpdateWatchlistRequest(watchlist=Watchlist(watchlist_id=name, title=title))
                    update.update_mask.paths.append("title")
                    revision = wire.watchlists.UpdateWatchlist(update, timeout=TIMEOUT_S).revision
                else:
                    name = chance.choice(sorted(known))
                    self.truth.attempt(name, None)
                    delete = office_pb.DeleteWatchlistRequest(watchlist_id=name)
                    revision = wire.watchlists.DeleteWatchlist(delete, timeout=TIMEOUT_S).revision
                self._acknowledge(wire, name, revision, chance)

    def _gate(self, prefix: str) -> None:
        chance = random.Random(f"{self.seed} {prefix}")
        with Wire(self.address) as wire:
            while not self._stopping.is_set():
                wanted = self.truth.revision
                probe = samples_of(chance.randrange(1000))[0]
                request = pb.IdentifyRequest(probe=probe, min_revision=wanted)
                answer = wire.matching.Identify(request, timeout=TIMEOUT_S)
                if answer.revision < wanted:
                    raise Wrong(f"min_revision {wanted} was answered from {answer.revision}")
                self.truth.seen(answer.revision)
                wire.matching.Verify(pb.VerifyRequest(probe=probe, sample=probe), timeout=TIMEOUT_S)
                self.answers += 2


def _enrolment(
    name: str, chance: random.Random, on_existing: int = 0, *, allow_different: bool = False
) -> tuple[EnrollRequest, Person]:
    """Make an enrolment of three templates that nobody else has, and the person that it leads to."""
    person = Person(next(_numbers), 3, chance.choice((LISTS, LISTS[1:])), uuid.uuid4().hex)
    request = EnrollRequest(
        subject=Subject(subject_id=name, watchlists=person.lists, labels=person.labels),
        samples=samples_of(person.seed),
        request_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        on_existing=on_existing,  # type: ignore[arg-type]
        allow_different=allow_different,
    )
    return request, person
