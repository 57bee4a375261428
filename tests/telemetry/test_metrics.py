"""What /metrics says after calls of every kind."""

from __future__ import annotations

import resource
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import grpc
import numpy as np
import pytest

from gerbang import (
    CounterClient,
    FaceRejected,
    GateClient,
    GerbangError,
    NotFound,
    RevisionConflict,
    WatchlistClient,
)
from gerbang.v1.matching_service_pb2 import IdentifyRequest
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub
from gerbang.v1.sample_pb2 import Sample, Template
from gerbang_service.domain.changes import Change
from gerbang_service.faces.standin.drawing import Problem
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.store.sqlite.connection import DATABASE_FILE
from gerbang_service.telemetry import call_counts
from pictures import photo, spoiled
from running import RunningServer
from telemetry.metered import DIMENSION, TEMPLATES, InnerServer, MeteredServer, addresses, scrape, value
from workers.connections import to_each_worker


def vector(number: int) -> list[float]:
    """Return a template similar to no other number's."""
    return [float(number == each) for each in range(DIMENSION)]


def test_calls_are_counted_by_rpc_role_and_status(metered: MeteredServer) -> None:
    """Every answer and every failure is one call, with how it ended and why."""
    with GateClient(metered.address) as gate, WatchlistClient(metered.address) as office:
        office.create_watchlist("w")
        for _ in range(3):
            gate.identify(vector(1))
        for _ in range(2):
            with pytest.raises(NotFound):
                office.get_subject("nobody")
    samples = metered.scrape()
    assert value(samples, "gerbang_requests_total", rpc="Identify", role="admin", status="OK") == 3
    assert value(samples, "gerbang_requests_total", rpc="CreateWatchlist", role="admin", status="OK") == 1
    assert value(samples, "gerbang_requests_total", rpc="GetSubject", role="admin", status="NOT_FOUND") == 2
    assert value(samples, "gerbang_errors_total", rpc="GetSubject", reason="SUBJECT_NOT_FOUND") == 2
    assert value(samples, "gerbang_request_duration_seconds_count", rpc="Identify") == 3
    assert 0 < value(samples, "gerbang_request_duration_seconds_sum", rpc="Identify") < 10


def test_hits_are_counted_by_list_and_action(metered: MeteredServer) -> None:
    """An answer with candidates is one hit for each list they are on; one without is none."""
    with GateClient(metered.address) as gate, WatchlistClient(metered.address) as office:
        office.create_watchlist("red", action="refuse_entry")
        office.create_watchlist("quiet", action="silent_alert")
        office.enroll("a", [vector(1)], watchlists=["red", "quiet"])
        office.enroll("b", [vector(1)], watchlists=["red"])
        office.enroll("c", [vector(2)], watchlists=["quiet"])
        gate.identify(vector(1))
        gate.identify(vector(2))
        gate.identify(vector(3))
        gate.identify_batch([vector(2), vector(3)])
    samples = metered.scrape()
    hits = {labels: found for (name, labels), found in samples.items() if name == "gerbang_hits_total"}
    assert hits == {
        frozenset({("watchlist", "red"), ("action", "refuse_entry")}): 1,
        frozenset({("watchlist", "quiet"), ("action", "refuse_entry")}): 1,
        frozenset({("watchlist", "quiet"), ("action", "silent_alert")}): 2,
    }
    tops = {
        decision: (
            value(samples, "gerbang_identify_top_similarity_count", decision=decision),
            value(samples, "gerbang_identify_top_similarity_sum", decision=decision),
        )
        for decision in ("hit", "silent_hit", "no_hit")
    }
    assert tops == {"hit": (1, 1.0), "silent_hit": (2, 2.0), "no_hit": (2, 0.0)}
    assert value(samples, "gerbang_identify_top_similarity_bucket", decision="no_hit", le="0.1") == 2


def test_the_gallery_is_told_as_it_is(metered: MeteredServer) -> None:
    """Templates, subjects, subjects by list, revision and when it came about."""
    began = time.time()
    with WatchlistClient(metered.address) as office:
        office.create_watchlist("w")
        office.create_watchlist("empty")
        office.enroll("a", [vector(1), vector(2)], watchlists=["w"], allow_different=True)
        office.enroll("b", [vector(3)], watchlists=["w"])
        office.enroll("reference", [vector(4)])
        before = metered.scrape()
        office.delete_subject("b")
        revision = office.server_info().revision
    samples = metered.scrape()
    assert value(before, "gerbang_watchlist_subjects", watchlist="w") == 2
    assert value(samples, "gerbang_watchlist_subjects", watchlist="w") == 1
    assert samples["gerbang_watchlist_subjects", frozenset({("watchlist", "empty")})] == 0
    assert value(samples, "gerbang_gallery_templates") == 3
    assert value(samples, "gerbang_gallery_subjects") == 2
    assert value(samples, "gerbang_watchlists") == 2
    assert value(samples, "gerbang_revision") == revision
    assert value(samples, "gerbang_revision_lag") == 0
    assert began < value(samples, "gerbang_revision_timestamp_seconds") <= time.time()
    assert began < value(samples, "gerbang_last_commit_timestamp_seconds") <= time.time()
    assert value(samples, "gerbang_disk_free_bytes") > 0
    assert value(samples, "gerbang_database_bytes", file="database") > 0


def test_the_stages_of_an_image_and_its_outcome_are_counted(data: Path) -> None:
    """A photo goes through four stages and ends as a template; one without a usable face ends with its reason."""
    with MeteredServer(data, "--pack", "stand-in") as server:
        with GateClient(server.address, timeout=30) as gate, CounterClient(server.address, timeout=30) as counter:
            gate.identify(photo(1))
            counter.verify(photo(1), reference=photo(1, 2))
            with pytest.raises(FaceRejected) as rejected:
                gate.identify(spoiled(Problem.BLURRED))
            with pytest.raises(GerbangError):
                gate.identify(b"no image at all")
        samples = server.scrape()
    for stage, times in (("decode", 5), ("detect", 4), ("align", 4), ("embed", 3), ("extract", 5), ("search", 1)):
        assert value(samples, "gerbang_stage_duration_seconds_count", stage=stage) == times, stage
    assert value(samples, "gerbang_images_total", outcome="TEMPLATE") == 3
    assert value(samples, "gerbang_images_total", outcome=rejected.value.reason) == 1
    assert value(samples, "gerbang_images_total", outcome="IMAGE_UNREADABLE") == 1


def test_batches_and_commits_are_counted(metered: MeteredServer) -> None:
    """All probes of a call are searched, and each change is in some group; the sums say how many there were."""
    with GateClient(metered.address) as gate, WatchlistClient(metered.address) as office:
        office.create_watchlist("w")
        gate.identify_batch([vector(each % DIMENSION) for each in range(40)])
        office.create_watchlist("x")
    samples = metered.scrape()
    assert value(samples, "gerbang_search_batch_probes_sum") == 40
    assert value(samples, "gerbang_search_batch_probes_count") >= 2
    assert value(samples, "gerbang_commit_group_changes_sum") == 2
    assert value(samples, "gerbang_stage_duration_seconds_count", stage="commit") == 2
    assert value(samples, "gerbang_stage_duration_seconds_count", stage="search") == 1


def test_items_of_a_stream_are_counted_one_by_one(metered: MeteredServer) -> None:
    """Each item is a call; a bad one is a failure of its own."""
    good = Sample(template=Template(vector=np.array(vector(1), "<f4").tobytes()))
    requests = [IdentifyRequest(probe=good), IdentifyRequest(), IdentifyRequest(probe=good)]
    with grpc.insecure_channel(metered.address) as channel:
        answers = list(MatchingServiceStub(channel).IdentifyStream(iter(requests), timeout=10))
    assert len(answers) == 3
    samples = metered.scrape()
    assert value(samples, "gerbang_requests_total", rpc="IdentifyStream", role="admin", status="OK") == 2
    assert value(samples, "gerbang_requests_total", rpc="IdentifyStream", role="admin", status="INVALID_ARGUMENT") == 1
    assert value(samples, "gerbang_errors_total", rpc="IdentifyStream", reason="FIELD_INVALID") == 1
    assert value(samples, "gerbang_request_duration_seconds_count", rpc="IdentifyStream") == 2


def test_queues_connections_and_what_runs_are_told(metered: MeteredServer) -> None:
    """An idle server with one client: nothing waits, one connection, and the build says what it is."""
    with GateClient(metered.address) as gate:
        gate.identify(vector(1))
        samples = metered.scrape()
    for queue in ("searches", "images", "queries", "writes"):
        assert samples["gerbang_queue_length", frozenset({("queue", queue)})] == 0
        assert value(samples, "gerbang_queue_limit", queue=queue) > 0
    assert value(samples, "gerbang_open_connections") == 1
    assert value(samples, "gerbang_ready") == 1
    assert value(samples, "process_resident_memory_bytes") > 1e7
    (build,) = (dict(labels) for (name, labels) in samples if name == "gerbang_build_info")
    assert (build["pack"], build["plan"]) == ("none", "both")


def test_a_stream_that_waits_is_open(metered: MeteredServer) -> None:
    """Streams are counted while they are open."""
    going = Sample(template=Template(vector=np.array(vector(1), "<f4").tobytes()))
    with grpc.insecure_channel(metered.address) as channel:

        def requests() -> Iterator[IdentifyRequest]:
            yield IdentifyRequest(probe=going)
            assert value(metered.scrape(), "gerbang_open_streams") == 1

        list(MatchingServiceStub(channel).IdentifyStream(requests(), timeout=10))
    assert value(metered.scrape(), "gerbang_open_streams") == 0


def test_searches_answered_again_are_counted(data: Path) -> None:
    """The recall check's counts are those of the server's own answer."""
    with MeteredServer(data, *TEMPLATES, "--recall-check-every", "1") as server, GateClient(server.address) as gate:
        gate.identify(vector(1))
        deadline = time.monotonic() + 10
        while value(server.scrape(), "gerbang_recall_check_searches_total", result="checked") != 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert value(server.scrape(), "gerbang_recall_check_searches_total", result="missed") == 0


def test_a_store_that_can_not_write_is_told(metered: MeteredServer) -> None:
    """When the system keeps the database from growing, the store is not writable, until it is again."""
    soft, hard = resource.prlimit(metered.pid, resource.RLIMIT_FSIZE)
    with WatchlistClient(metered.address, timeout=10) as office:
        office.create_watchlist("w")
        assert value(metered.scrape(), "gerbang_store_writable") == 1
        resource.prlimit(metered.pid, resource.RLIMIT_FSIZE, (1, hard))
        with pytest.raises(GerbangError) as failed:
            office.enroll("a", [vector(1)], watchlists=["w"])
        samples = metered.scrape()
        resource.prlimit(metered.pid, resource.RLIMIT_FSIZE, (soft, hard))
        assert failed.value.reason in ("STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE")
        deadline = time.monotonic() + 20
        while True:
            try:
                office.enroll("b", [vector(2)], watchlists=["w"])
                break
            except GerbangError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
    assert value(samples, "gerbang_store_writable") == 0
    assert value(metered.scrape(), "gerbang_store_writable") == 1


def test_each_worker_has_metrics_on_a_port_of_its_own(data: Path) -> None:
    """With two workers there are two addresses, each of which counts the calls of its own connections."""
    options = ("--pack", "none", "--dimension", "32", "--threshold", "0.6", "--workers", "2")
    with RunningServer(data, "--metrics-listen", "127.0.0.1:0", *options) as server:
        one, other = to_each_worker(server.address)
        with one.channel, other.channel:
            for _ in range(2):
                one.identify(1)
            for _ in range(3):
                other.identify(1)
        metered = addresses(server.stderr)
        counts = [
            value(scrape(each), "gerbang_requests_total", rpc="Identify", role="admin", status="OK") for each in metered
        ]
        assert sorted(counts) == [2, 3]
        assert [value(scrape(each), "gerbang_revision_lag") for each in metered] == [0, 0]


def test_what_is_stored_and_not_searched_yet_is_told(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The database is three changes ahead of the process."""
    caplog.set_level("INFO")
    with InnerServer(data, lambda: caplog.text) as server:
        server.said("ready")
        assert value(scrape(server.metrics), "gerbang_revision_lag") == 0
        with closing(sqlite3.connect(data / DATABASE_FILE, isolation_level=None)) as connection:
            connection.execute("UPDATE meta SET value = 3 WHERE key = 'revision'")
        assert value(scrape(server.metrics), "gerbang_revision_lag") == 3


def test_what_is_being_applied_is_not_behind(
    data: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its commit and its being searched a change is on its way: whoever looks just then is not alarmed."""
    apply = Gallery.apply

    def slow(self: Gallery, changes: Sequence[Change], revision: int) -> None:
        time.sleep(0.2)
        apply(self, changes, revision)

    monkeypatch.setattr(Gallery, "apply", slow)
    caplog.set_level("INFO")
    with InnerServer(data, lambda: caplog.text) as server:
        server.said("ready")
        with WatchlistClient(server.address) as office:
            enrolling = threading.Thread(target=lambda: [office.create_watchlist(f"w-{each}") for each in range(5)])
            enrolling.start()
            lags = []
            while enrolling.is_alive():
                lags.append(value(scrape(server.metrics), "gerbang_revision_lag"))
            enrolling.join()
        assert len(lags) >= 5
        assert not any(lags)
        assert value(scrape(server.metrics), "gerbang_revision") == 5


def test_only_so_many_lists_have_series_of_their_own(
    data: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Subjects on the others are counted together, as hits are."""
    monkeypatch.setattr(call_counts, "_MOST_WATCHLISTS", 2)
    caplog.set_level("INFO")
    with InnerServer(data, lambda: caplog.text) as server, WatchlistClient(server.address) as office:
        server.said("ready")
        for number, each in enumerate(("a", "b", "c", "d")):
            office.create_watchlist(each)
            office.enroll(f"s-{each}", [vector(number)], watchlists=[each])
            scrape(server.metrics)
        samples = scrape(server.metrics)
    for name in ("gerbang_watchlist_subjects", "gerbang_hits_total"):
        assert {dict(labels)["watchlist"] for each, labels in samples if each == name} == {"a", "b", "(others)"}
    assert value(samples, "gerbang_watchlist_subjects", watchlist="a") == 1
    assert value(samples, "gerbang_watchlist_subjects", watchlist="(others)") == 2


def test_nothing_of_a_subject_is_in_the_metrics(metered: MeteredServer) -> None:
    """Neither ids nor labels of people, and no number of their vectors."""
    marked = [0.123456789] * DIMENSION
    with GateClient(metered.address) as gate, WatchlistClient(metered.address) as office:
        office.create_watchlist("w", labels={"office": "secret-office"})
        office.enroll("subject-xyzzy", [marked], watchlists=["w"], labels={"name": "secret-name"})
        assert gate.identify(marked).hit
        with pytest.raises(GerbangError):
            office.enroll("subject-xyzzy", [marked])
    text = str(metered.scrape())
    for secret in ("xyzzy", "secret", "123456789"):
        assert secret not in text


def test_what_weakens_a_list_is_counted_by_list(metered: MeteredServer) -> None:
    """From 0 on, once for each list and change, however it came about; what was refused or repeated is not."""

    def counted() -> dict[tuple[str, str], float]:
        found = {labels: count for (name, labels), count in metered.scrape().items() if "weakened_total" in name}
        return {(each["watchlist"], each["change"]): count for each, count in ((dict(k), v) for k, v in found.items())}

    with WatchlistClient(metered.address) as office:
        for each in ("one", "two"):
            office.create_watchlist(each)
        metered.scrape()  # which makes a new list's series
        changes = ("removed", "validity", "templates", "list")
        assert counted() == {(name, change): 0 for name in ("one", "two") for change in changes}
        office.enroll("a", [vector(1)], watchlists=["one", "two"])
        once = str(uuid.uuid4())
        for _ in range(2):
            office.update_subject("a", remove_watchlists=["two"], request_id=once)
        office.update_subject("a", expire_time=datetime(2100, 1, 1, tzinfo=UTC))
        with pytest.raises(RevisionConflict):
            office.update_subject("a", watchlists=[], expected_revision=1)
        office.enroll(
            "a", [vector(1)], watchlists=["one"], on_existing="replace", expire_time=datetime(2100, 1, 1, tzinfo=UTC)
        )
        office.enroll("a", [vector(1)], on_existing="replace")
        office.enroll("b", [vector(2)], watchlists=["two"])
        office.delete_subject("b")
        office.update_watchlist("one", threshold=0.9)
        office.update_watchlist("one", title="no weaker")
        office.delete_watchlist("two")
    assert counted() == {
        ("one", "removed"): 1,
        ("one", "validity"): 1,
        ("one", "templates"): 1,
        ("one", "list"): 1,
        ("two", "removed"): 2,
        ("two", "validity"): 0,
        ("two", "templates"): 0,
        ("two", "list"): 1,
    }
