"""Servers that tell metrics: in a process of their own, or in a thread of the test where it must reach inside."""

from __future__ import annotations

import asyncio
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from gerbang_service.configuration.settings import Settings
from gerbang_service.running.server import Server
from running import RunningServer

DIMENSION = 16
TEMPLATES = ("--pack", "none", "--dimension", str(DIMENSION), "--threshold", "0.5")
_ADDRESS = re.compile(r"metrics on http://([0-9.:]+)/metrics")

Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]


def ask(address: str, path: str, timeout: float = 10.0) -> tuple[int, str]:
    """Return the status and body of a GET."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def samples_of(text: str) -> Samples:
    """Return the values of a scrape by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(address: str) -> Samples:
    """Return what /metrics of an address says."""
    status, text = ask(address, "/metrics")
    assert status == 200, text
    return samples_of(text)


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return one value; a series that is not there has never counted anything."""
    return samples.get((name, frozenset(labels.items())), 0.0)


def addresses(log: str) -> list[str]:
    """Return where servers said that they tell metrics."""
    return _ADDRESS.findall(log)


class MeteredServer(RunningServer):
    """A server with metrics on a free port, at `metrics`."""

    def __init__(self, data: Path, *options: str, wait_ready: bool = True, env: dict[str, str] | None = None) -> None:
        super().__init__(data, "--metrics-listen", "127.0.0.1:0", *options, wait_ready=wait_ready, env=env)
        (self.metrics,) = addresses(self.stderr)

    def scrape(self) -> Samples:
        """Return what it says of itself."""
        return scrape(self.metrics)


class InnerServer:
    """A whole server in a thread of this process, whose event loop the test can reach."""

    def __init__(self, data: Path, caplog_text: Callable[[], str]) -> None:
        settings = Settings(
            data=data,
            pack="none",
            dimension=DIMENSION,
            threshold=0.5,
            listen="127.0.0.1:0",
            metrics_listen="127.0.0.1:0",
            encryption=False,
            audit_log=False,
        )
        self._said: list[str] = []
        self._log = caplog_text
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(settings)))
        self._thread.start()
        self.said("listening on")
        (self.metrics,) = addresses(self._log())
        (self.address,) = (
            line.removeprefix("listening on ") for line in self._said if line.startswith("listening on ")
        )

    async def _run(self, settings: Settings) -> None:
        self.loop = asyncio.get_running_loop()
        self._server = Server(settings)
        await self._server.run(self._said.append)

    def said(self, start: str) -> None:
        """Wait until it said something that begins so."""
        deadline = time.monotonic() + 30
        while not any(line.startswith(start) for line in self._said):
            assert time.monotonic() < deadline, self._log()
            assert self._thread.is_alive(), self._log()
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._server.stop)
        self._thread.join(30)
        assert not self._thread.is_alive()
