"""What the server holds and how it stands, read when somebody asks, never counted in a call's way."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import DataDamaged, StoreUnavailable
from gerbang_service.gallery.candidates.port import GeneratorProgress
from gerbang_service.running.list_sizes import ListSizes
from gerbang_service.running.parts import Parts
from gerbang_service.telemetry.call_counts import CallCounts
from gerbang_service.telemetry.certificate_dates import CertificateDates
from gerbang_service.telemetry.connections import open_connections
from gerbang_service.telemetry.stages import StageMetrics

# How long what was just committed may take to be searched, seconds: until then it is not behind.
_APPLIED_WITHIN_S = 0.5
_LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class Probes:
    """What only the server itself knows. `audit_waiting`: records of the audit log that are not on disk yet."""

    ready: Callable[[], bool]
    draining: Callable[[], bool]
    ports: Callable[[], Collection[int]]
    audit_waiting: Callable[[], int] | None = None
    audit_writable: Callable[[], bool] | None = None
    open_streams: Callable[[], int] | None = None
    nursery_ready: Callable[[], bool | None] = lambda: None


class ServerState(Collector):
    """Reads the parts of the server. `collect` belongs to one thread at a time."""

    def __init__(
        self, parts: Parts, settings: Settings, stages: StageMetrics, calls: CallCounts, probes: Probes
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._stages = stages
        self._calls = calls
        self._probes = probes
        files = {"server": settings.tls_certificate, "client_ca": settings.client_ca}
        self._certificates = {name: CertificateDates(path) for name, path in files.items() if path}
        self._list_sizes = ListSizes()
        self._on_lists: Mapping[str, int] = {}
        self._waiting = ListSizes()
        self._proposed: Mapping[str, int] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield everything."""
        yield from self._life()
        yield from self._queues()
        yield from self._gallery()
        yield from self._recall_check()
        yield from self._store()
        yield from self._disk()
        yield from self._audit_log()
        yield _by(
            "gerbang_certificate_expiry_timestamp_seconds",
            "End of validity of the first certificate in the file that expires; 0 when it can't be read.",
            "certificate",
            {name: dates.expires_s() for name, dates in self._certificates.items()},
        )

    def _life(self) -> Iterator[Metric]:
        recogniser, probes = self._parts.recogniser, self._probes
        build = GaugeMetricFamily(
            "gerbang_build_info",
            "Always 1: what runs here.",
            labels=("version", "pack", "model", "plan"),
        )
        # A folder's path says nothing to others.
        pack = recogniser.pack.rpartition("/")[2]
        build.add_metric((version("gerbang"), pack, recogniser.model, recogniser.defaults.plan.value), 1)
        yield build
        yield _gauge(
            "gerbang_ready",
            "1 when calls are served: the gallery is loaded and nothing drains.",
            probes.ready() and not probes.draining(),
        )
        connections = open_connections(probes.ports())
        if connections is not None:
            yield _gauge("gerbang_open_connections", "TCP connections of clients.", connections)
        if (nursery := probes.nursery_ready()) is not None:
            yield _gauge("gerbang_nursery_up", "1 when a worker that dies can be replaced at once.", nursery)
        if probes.open_streams is not None:
            yield _gauge("gerbang_open_streams", "Streams of clients that are open.", probes.open_streams())

    def _queues(self) -> Iterator[Metric]:
        parts, settings = self._parts, self._settings
        waiting = {
            "searches": parts.lanes.searches.pending,
            "exact_searches": parts.lanes.exact.pending,
            "images": parts.images.pending,
            "queries": parts.queries.pending,
            "writes": parts.writer.waiting.count,
        }
        limits = {
            "searches": parts.lanes.searches.limit,
            "exact_searches": parts.lanes.exact.limit,
            "images": settings.max_pending_images,
            "queries": parts.queries.limit,
            "writes": settings.max_pending_writes,
        }
        yield _by(
            "gerbang_queue_length",
            "Work that waits or runs, by kind: searches are probes, images photos, queries calls, writes changes.",
            "queue",
            waiting,
        )
        yield _by(
            "gerbang_queue_limit",
            "Work of a kind beyond which calls are OVERLOADED; of searches those that can't be answered in time too.",
            "queue",
            limits,
        )

    def _gallery(self) -> Iterator[Metric]:
        gallery = self._parts.gallery
        self._calls.expect(gallery.watchlists.values())
        yield _gauge("gerbang_gallery_templates", "Live templates in memory.", gallery.size)
        yield _gauge("gerbang_gallery_subjects", "Subjects, those without templates included.", gallery.subject_count)
        yield _gauge("gerbang_watchlists", "Watchlists.", len(gallery.watchlists))
        yield _by(
            "gerbang_identification_threshold",
            "Similarity from which on Identify says hit: of each list with one, or a target, of its own, and, with an "
            "empty name, of all others together.",
            "watchlist",
            self._thresholds(),
        )
        yield _gauge("gerbang_revision", "Revision of the gallery that is searched.", gallery.revision)
        yield _gauge(
            "gerbang_revision_timestamp_seconds",
            "When this process last saw a change; its start when there was none since.",
            self._stages.revised_s,
        )
        yield from of_generators(gallery.progress())

    def _thresholds(self) -> Mapping[str, float]:
        shown: dict[str, float] = {}
        for name, each in self._parts.thresholds.now().items():
            # Of the lists that are counted together, the lowest.
            label = self._calls.shown(name) if name else name
            shown[label] = min(each.cosine, shown.get(label, 1.0))
        return shown

    def _recall_check(self) -> Iterator[Metric]:
        count = self._parts.recall_check.count
        family = CounterMetricFamily(
            "gerbang_recall_check_searches",
            "Searches answered again exactly: checked in all; missed: of those, where somebody was missing; skipped.",
            labels=("result",),
        )
        for result, searches in (("checked", count.checked), ("missed", count.missed), ("skipped", count.skipped)):
            family.add_metric((result,), searches)
        yield family

    def _store(self) -> Iterator[Metric]:
        stages = self._stages
        try:
            with self._parts.store.reading() as reader:
                stored = reader.revision()
            self._on_lists = self._shown(self._list_sizes.at(stored, self._counted))
            self._proposed = self._shown(self._waiting.at(stored, self._proposals))
            readable = True
        except (StoreUnavailable, DataDamaged):
            stored, readable = 0, False
        yield _gauge("gerbang_store_readable", "1 when the database could be read just now.", readable)
        yield _gauge(
            "gerbang_store_writable",
            "0 after a change that the database could not keep, until one it could, and while the disk hangs.",
            self._parts.writer.writable,
        )
        yield _gauge(
            "gerbang_last_commit_timestamp_seconds",
            "When this process last made a change durable; 0: never.",
            stages.last_commit_s,
        )
        yield _gauge(
            "gerbang_revision_lag", "Stored revisions that this process does not search yet.", self._behind(stored)
        )
        yield _by("gerbang_watchlist_subjects", "Subjects on each watchlist.", "watchlist", self._on_lists)
        yield _by(
            "gerbang_proposals_open",
            "Changes by which a watchlist would stop fewer people and that wait for a second person.",
            "watchlist",
            self._proposed,
        )

    def _counted(self) -> Mapping[str, int]:
        with self._parts.store.reading() as reader:
            return reader.subject_counts()

    def _proposals(self) -> Mapping[str, int]:
        with self._parts.store.reading() as reader:
            return {**dict.fromkeys(reader.subject_counts(), 0), **reader.proposal_counts()}

    def _behind(self, stored: int) -> int:
        """Return how many stored changes are not searched, after what is being applied just now has had its time."""
        if not self._probes.ready():
            return 0
        until = time.monotonic() + _APPLIED_WITHIN_S
        while (behind := stored - self._parts.gallery.revision) > 0 and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
        return max(0, behind)

    def _shown(self, on_lists: Mapping[str, int]) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for watchlist, subjects in on_lists.items():
            counts[self._calls.shown(watchlist)] += subjects
        return counts

    def _disk(self) -> Iterator[Metric]:
        folder = self._parts.store.folder
        try:
            usage = shutil.disk_usage(folder)
        except OSError:
            return
        yield _gauge("gerbang_disk_free_bytes", "Free on the file system of the data folder.", usage.free)
        yield _gauge("gerbang_disk_size_bytes", "Size of the file system of the data folder.", usage.total)
        yield _by("gerbang_database_bytes", "Sizes of the database's files.", "file", self._parts.store.file_sizes())

    def _audit_log(self) -> Iterator[Metric]:
        probes = self._probes
        if probes.audit_waiting is not None:
            yield _gauge(
                "gerbang_audit_log_unwritten_records",
                "Records of the audit log that are not on disk yet.",
                probes.audit_waiting(),
            )
        if probes.audit_writable is not None:
            yield _gauge(
                "gerbang_audit_log_writable", "0 while the audit log can't be written.", probes.audit_writable()
            )


def of_generators(progress: Sequence[GeneratorProgress]) -> Iterator[Metric]:
    """Yield how far each generator of candidates is, and whether and how often it failed."""
    templates = GaugeMetricFamily(
        "gerbang_generator_templates",
        "Templates that a generator holds (indexed), does not hold yet (pending), holds though deleted (tombstones).",
        labels=("generator", "state"),
    )
    up = GaugeMetricFamily(
        "gerbang_generator_up", "0 when a generator proposes nobody any more.", labels=("generator",)
    )
    failures = CounterMetricFamily(
        "gerbang_generator_failures", "Times that a generator could not propose, or follow.", labels=("generator",)
    )
    for each in progress:
        states = {"indexed": each.indexed, "pending": each.pending, "tombstones": each.tombstones}
        for state, count in states.items():
            templates.add_metric((each.name, state), count)
        up.add_metric((each.name,), float(not each.failed))
        failures.add_metric((each.name,), each.failures)
    yield from (templates, up, failures)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for each, value in values.items():
        family.add_metric((each,), value)
    return family
