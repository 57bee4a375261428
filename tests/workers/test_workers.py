"""Several processes on one port: whichever answers, the invariants hold."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import threading
import time
import uuid
from contextlib import closing, suppress
from pathlib import Path

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from gerbang.v1.matching_service_pb2 import ON_EXISTING_ADD, ON_EXISTING_REPLACE
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang.v1.watchlist_service_pb2 import (
    CreateWatchlistRequest,
    DeleteSubjectRequest,
    DeleteWatchlistRequest,
    GetServerInfoRequest,
    UpdateSubjectRequest,
)
from gerbang_service.store.sqlite.connection import DATABASE_FILE
from running import RunningServer, StartRefused
from workers.connections import OPTIONS, TIMEOUT_S, Connection, to_each_worker, workers_of

# What the workers promise each other, seconds; see docs/workers.md.
LAG_S = 0.1


def test_enrolled_through_one_is_found_through_the_other(both: list[Connection]) -> None:
    """With `min_revision` no worker ever answers from before an acknowledged write, whoever took it."""
    for number in range(100):
        taker, other = both[number % 2], both[1 - number % 2]
        revision = taker.enroll(f"found-{number}", 1000 + number).revision
        answer = other.identify(1000 + number, min_revision=revision)
        assert [each.subject_id for each in answer.candidates] == [f"found-{number}"]
        assert answer.revision >= revision


def test_others_are_at_most_a_moment_behind(both: list[Connection]) -> None:
    """Without `min_revision` a write is visible everywhere a tenth of a second after it was acknowledged."""
    for number in range(20):
        taker, other = both[number % 2], both[1 - number % 2]
        taker.enroll(f"lag-{number}", 2000 + number)
        time.sleep(LAG_S)
        assert f"lag-{number}" in other.finds(2000 + number)


def test_every_change_is_followed(both: list[Connection]) -> None:
    """Templates added, replaced and expired, lists emptied and made anew, subjects deleted: all reach the other."""
    one, other = both
    one.enroll("s", 1)
    added = other.enroll("s", 2, watchlists=[], on_existing=ON_EXISTING_ADD).revision
    assert one.finds(2, added) == one.finds(1, added) == ["s"]
    replaced = one.enroll("s", 3, on_existing=ON_EXISTING_REPLACE).revision
    assert other.finds(1, replaced) == other.finds(2, replaced) == []
    assert other.finds(3, replaced) == ["s"]
    past = Timestamp(seconds=1)
    update = UpdateSubjectRequest(
        subject=Subject(subject_id="s", watchlists=["w"], expire_time=past), update_mask=FieldMask(paths=["*"])
    )
    expired = other.office.UpdateSubject(update).revision
    assert one.finds(3, expired) == []
    listed = one.office.CreateWatchlist(CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="v"))).revision
    on_v = other.enroll("t", 4, watchlists=["v"]).revision
    assert on_v > listed
    assert one.finds(4, on_v) == ["t"]
    one.office.DeleteWatchlist(DeleteWatchlistRequest(watchlist_id="v", force=True))
    anew = one.office.CreateWatchlist(CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="v"))).revision
    assert other.finds(4, anew) == []
    gone = other.office.DeleteSubject(DeleteSubjectRequest(subject_id="t")).revision
    with pytest.raises(grpc.RpcError) as caught:
        one.office.DeleteSubject(DeleteSubjectRequest(subject_id="t"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert one.identify(4, gone).revision >= gone


def test_repeated_request_is_recognised_by_the_other(both: list[Connection]) -> None:
    """A request_id repeated at another worker returns the first answer and changes nothing."""
    request_id = str(uuid.uuid4())
    first = both[0].enroll("repeated", 5, request_id=request_id)
    again = both[1].enroll("repeated", 5, request_id=request_id)
    assert again.replayed
    assert (again.revision, again.subject) == (first.revision, first.subject)


def test_writes_of_both_at_once_are_all_kept_and_counted(both: list[Connection]) -> None:
    """Workers that write at the same time lose nothing, and no two changes share a revision."""
    revisions: list[int] = []

    def write(taker: Connection, name: str) -> None:
        revisions.extend(taker.enroll(f"{name}-{n}", 10_000 + n).revision for n in range(50))

    threads = [threading.Thread(target=write, args=(each, f"at-once-{i}")) for i, each in enumerate(both)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(revisions)) == 100
    for connection in both:
        assert set(connection.finds(10_020, max(revisions))) == {"at-once-0-20", "at-once-1-20"}


def test_killed_worker_fails_its_own_calls_only_and_is_replaced(tmp_path: Path) -> None:
    """Kill -9 of a worker under load: the other's calls go on, all acknowledged writes stay, and a new one follows.

    Both search and write when it happens, so that it may hold the turn to write.
    """
    with RunningServer(tmp_path / "data", *OPTIONS) as running:
        both = to_each_worker(running.address)
        both[0].office.CreateWatchlist(CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="w")))
        revision = max(each.enroll(f"s{n}", n).revision for n in range(20) for each in both[n % 2 : n % 2 + 1])
        assert both[0].finds(3, revision) == both[1].finds(3, revision) == ["s3"]
        stop = threading.Event()
        failures: dict[int, list[grpc.StatusCode]] = {0: [], 1: []}
        acknowledged: list[tuple[str, int, int]] = []
        answered = [0, 0]

        def load(which: int) -> None:
            while not stop.is_set():
                try:
                    assert both[which].finds(7)[0] == "s7"
                    name, seed = f"load-{which}-{answered[which]}", 50_000 + 10_000 * which + answered[which]
                    acknowledged.append((name, seed, both[which].enroll(name, seed).revision))
                    answered[which] += 1
                except grpc.RpcError as error:
                    failures[which].append(error.code())
                    return

        threads = [threading.Thread(target=load, args=(which,)) for which in (0, 1)]
        for each in threads:
            each.start()
        time.sleep(0.5)
        victim = workers_of(running.pid)[0]
        os.kill(victim, signal.SIGKILL)
        time.sleep(1)
        before = list(answered)
        time.sleep(0.5)
        stop.set()
        for each in threads:
            each.join()
        # None, where it was killed between two calls: gRPC has connected anew by the next one.
        assert sorted(map(len, failures.values())) in ([0, 1], [0, 0])
        survivor = next(which for which in (0, 1) if not failures[which])
        assert answered[survivor] > before[survivor]
        deadline = time.monotonic() + 30
        while len(workers_of(running.pid)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert victim not in workers_of(running.pid)
        anew = to_each_worker(running.address)
        # First: among so many, some are similar to another by chance.
        assert [each.finds(n, revision)[0] for each in anew for n in range(20)] == [f"s{n}" for n in range(20)] * 2
        last = max(revision for _, _, revision in acknowledged)
        assert len({revision for _, _, revision in acknowledged}) == len(acknowledged) > 20
        for connection in anew:
            found = [connection.finds(seed, last)[0] for _, seed, _ in acknowledged]
            assert found == [name for name, _, _ in acknowledged]
        assert "ended with status -9" in running.stderr
        assert running.stop() == 0


def test_worker_that_can_not_follow_is_replaced(tmp_path: Path) -> None:
    """A change without a record of it ends the workers, who would miss it, and new ones answer from what is stored."""
    with RunningServer(tmp_path / "data", *OPTIONS) as running:
        before = workers_of(running.pid)
        with closing(sqlite3.connect(tmp_path / "data" / DATABASE_FILE, timeout=10)) as outsider, outsider:
            outsider.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")
        deadline = time.monotonic() + 30
        while len(now := workers_of(running.pid)) < 2 or set(now) & set(before):
            assert running.process.poll() is None, running.stderr
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for each in to_each_worker(running.address):
            assert each.office.GetServerInfo(GetServerInfoRequest()).revision == 1
            each.channel.close()
        assert "0 of the 1 changes" in running.stderr
        assert "starting another" in running.stderr
        assert running.stop() == 0


def test_erasing_holds_up_nobody_and_is_not_forgotten(tmp_path: Path) -> None:
    """While somebody reads for long, as a new worker does, others write on; what was deleted is erased after that."""
    with RunningServer(tmp_path / "data", *OPTIONS, "--no-encryption") as running:
        one, other = to_each_worker(running.address)
        one.office.CreateWatchlist(CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="w")))
        one.enroll("gone", 1, subject_labels={"case": "to-be-erased"})
        with closing(sqlite3.connect(tmp_path / "data" / DATABASE_FILE, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM templates").fetchone() == (1,)
            deleting = one.office.DeleteSubject.future(DeleteSubjectRequest(subject_id="gone"), timeout=TIMEOUT_S)
            time.sleep(0.2)
            started = time.monotonic()
            other.enroll("quick", 2)
            assert time.monotonic() - started < 1
            assert other.finds(1, deleting.result().revision) == []
            assert left_of(tmp_path / "data", b"to-be-erased")
        deadline = time.monotonic() + 10
        while left_of(tmp_path / "data", b"to-be-erased"):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def left_of(folder: Path, wanted: bytes) -> bool:
    return any(wanted in each.read_bytes() for each in folder.iterdir() if each.is_file())


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    """Kill -9 of the supervisor: its workers drain, and the folder is free when the last one is gone."""
    running = RunningServer(tmp_path / "data", *OPTIONS)
    workers = workers_of(running.pid)
    assert len(workers) == 2
    running.kill()
    deadline = time.monotonic() + 20
    while any(
        Path(f"/proc/{each}/cmdline").exists() and Path(f"/proc/{each}/cmdline").read_bytes() for each in workers
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with RunningServer(tmp_path / "data", *OPTIONS[:-2]) as again:
        assert again.stop() == 0


def test_workers_that_keep_dying_end_the_server(tmp_path: Path) -> None:
    """A server whose workers die again and again at their start ends with a message, rather than try for ever."""
    with RunningServer(tmp_path / "data", *OPTIONS) as running:
        deadline = time.monotonic() + 30
        while running.process.poll() is None:
            assert time.monotonic() < deadline
            for each in workers_of(running.pid):
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            time.sleep(0.01)
        assert running.wait() == 3
        assert "died 5 times in a row soon after its start" in running.stderr


def test_taken_port_is_refused(tmp_path: Path) -> None:
    """A port that another program listens on is not shared with it, even if that one would."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartRefused) as caught:
            RunningServer(tmp_path / "data", *OPTIONS, "--listen", address)
    assert caught.value.returncode == 3
    assert "is the port taken?" in caught.value.stderr


def test_worker_that_refuses_ends_the_server(tmp_path: Path) -> None:
    """What a worker refuses to start with is the server's refusal, said once and not tried again and again."""
    with pytest.raises(StartRefused) as caught:
        RunningServer(tmp_path / "data", "--pack", "none", "--workers", "2")
    assert caught.value.returncode == 3
    assert "needs --dimension" in caught.value.stderr
    assert "starting another" not in caught.value.stderr


def test_the_refusal_of_a_worker_is_a_line_like_all_others(tmp_path: Path) -> None:
    """Where the log is JSON, what a worker refuses with is JSON too."""
    with pytest.raises(StartRefused) as caught:
        RunningServer(tmp_path / "data", "--pack", "none", "--workers", "2", "--log-format", "json")
    lines = [json.loads(line) for line in caught.value.stderr.splitlines()]
    said = [each["level"] for each in lines if each["logger"] == "gerbang_service.running.worker"]
    assert said
    assert set(said) == {"CRITICAL"}


def test_folder_of_living_workers_is_in_use(server: RunningServer) -> None:
    """A second server on the folder of a running one refuses."""
    with pytest.raises(StartRefused) as caught:
        RunningServer(server.data, *OPTIONS)
    assert caught.value.returncode == 3
    assert "in use by another gerbang server" in caught.value.stderr
