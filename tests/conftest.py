"""Fixtures: real servers on loopback ports, drawn people, and the real pack and photographs where they are."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from gerbang import CounterClient, GateClient, WatchlistClient
from running import FreshServer, RunningServer

# Compiled modules are kept, whatever the shell says: hundreds of servers and commands are started, and to compile each
# time what they import would be half of a start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The files that take longest, first of all: a process that came to one of them last would work on alone.
_LONGEST = (
    "workers/test_nursery.py",
    "rpc/test_under_pressure.py",
    "changing/test_model_of_ports.py",
    "disk/test_failing_disk.py",
    "workers/test_hanging.py",
    "crash/test_start_refusals.py",
    "workers/test_workers.py",
    "store/test_at_rest.py",
    "store/test_encrypting.py",
    "audit/test_supervised_logs.py",
    "store/test_scrub.py",
    "audit/test_chain.py",
    "telemetry/test_doctor_storage.py",
    "access/test_access_matrix.py",
    "store/test_damaged_log.py",
    "store/test_check.py",
    "crash/test_mixed_load.py",
    "workers/test_replacing.py",
    "hostile/test_slow_clients.py",
    "real/test_real_faces.py",
    "disk/test_bulk_enrolment.py",
    "audit/test_unwritable_log.py",
    "telemetry/test_pages.py",
    "store/test_backup.py",
    "access/test_certificate_files.py",
    "audit/test_before_encryption.py",
    "crash/test_manifest_kills.py",
    "rpc/test_odd_messages.py",
    "workers/test_following.py",
)
# What a test of a large gallery may take of the processor; a busy machine makes it more, but not twice as much.
_LARGE_S, _BUSY = 1.0, 2.0
_SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the others stay in the order of their names."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test marked `large` that needs more than a second of the processor, in all threads of this process."""
    before = time.process_time()
    result = yield
    took = time.process_time() - before
    if item.get_closest_marker("large") and took > _LARGE_S * _BUSY:
        pytest.fail(f"took {took:.1f} s of the processor: share the gallery, make it smaller, or load it at once")
    return result


def _real(variable: str, default: Path) -> Path:
    path = Path(os.environ.get(variable, default))
    if not path.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{variable}: {path} is not there, and in CI it must be")
        pytest.skip(f"{variable} names no folder, and there is none at the default place: needs real test data")
    return path


@pytest.fixture(scope="session")
def real_pack() -> Path:
    """The folder of a real face pack (GERBANG_TEST_PACK)."""
    return _real("GERBANG_TEST_PACK", _SHARED / "packs" / "scrfd500m_mobilefacenet")


@pytest.fixture(scope="session")
def real_faces() -> Path:
    """A folder of real photographs, one folder a person (GERBANG_TEST_FACES)."""
    return _real("GERBANG_TEST_FACES", _SHARED / "faces" / "lfw")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the stand-in pack, shared by all tests: each uses subjects and watchlists of its own names."""
    with FreshServer(tmp_path_factory.mktemp("shared") / "data", "--pack", "stand-in") as running:
        yield running


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory, real_pack: Path) -> Iterator[RunningServer]:
    """A server with the real pack, shared by all tests."""
    with FreshServer(tmp_path_factory.mktemp("real") / "data", "--pack", str(real_pack)) as running:
        yield running


@pytest.fixture(scope="session")
def templates_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server without a face pack, of templates of 16 dimensions, shared by all tests; threshold 0.5."""
    data = tmp_path_factory.mktemp("templates") / "data"
    with FreshServer(data, "--pack", "none", "--dimension", "16", "--threshold", "0.5") as running:
        yield running


@pytest.fixture
def gate(server: RunningServer) -> Iterator[GateClient]:
    """A gate at the shared server."""
    with GateClient(server.address, timeout=30) as client:
        yield client


@pytest.fixture
def counter(server: RunningServer) -> Iterator[CounterClient]:
    """A counter at the shared server."""
    with CounterClient(server.address, timeout=30) as client:
        yield client


@pytest.fixture
def office(server: RunningServer) -> Iterator[WatchlistClient]:
    """A watchlist office at the shared server."""
    with WatchlistClient(server.address, timeout=30) as client:
        yield client


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder that does not exist yet."""
    return tmp_path / "data"
