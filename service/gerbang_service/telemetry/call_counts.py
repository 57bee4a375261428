"""Counts calls: who asked what, how it ended, how long it took, and in which lists somebody was found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.rpc import status_pb2
from prometheus_client import CollectorRegistry, Counter, Histogram

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1.watchlist_pb2 import Action
from gerbang_service.access.calls import Call, OneByOne
from gerbang_service.access.identity import RPCS
from gerbang_service.domain.errors import AccessRefused
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.domain.weakening import Weakening
from gerbang_service.telemetry.statuses import UNKNOWN, reason_of, status_name

# Seconds; the first is less than any call over a network takes, who waits for the last has given up.
CALL_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
# Cosines: from what any two people may have in common to what two photos of one person have at least.
TOP_BUCKETS = tuple(each / 100 for each in range(10, 95, 5))
# Watchlists with series of their own, at most; the others are counted together.
_MOST_WATCHLISTS = 256
_OTHERS = "(others)"
_INTERNAL = "INTERNAL"
_DENIALS = tuple(kind.reason for kind in AccessRefused.__subclasses__())
_OK = grpc.StatusCode.OK.name
_DECISIONS = {number: name.removeprefix("DECISION_").lower() for name, number in pb.Decision.items() if number}
_ACTIONS = {number: name.removeprefix("ACTION_").lower() for name, number in Action.items()}


class CallCounts(OneByOne):
    """An Observer that counts. Belongs to the event loop; a call costs it a few microseconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "gerbang_requests",
            "Calls answered or failed, and items of streams, by rpc, the caller's role and gRPC status.",
            ["rpc", "role", "status"],
            registry=registry,
        )
        self._errors = Counter(
            "gerbang_errors",
            "Failures by reason of the error table, those of items in a batch or stream included.",
            ["rpc", "reason"],
            registry=registry,
        )
        self._durations = Histogram(
            "gerbang_request_duration_seconds",
            "Time from a call, or an item of a stream, to its answer. What failed is left out.",
            ["rpc"],
            buckets=CALL_BUCKETS,
            registry=registry,
        )
        self._hits = Counter(
            "gerbang_hits",
            "Answers of Identify with a candidate, silent or not, once for each watchlist it hit in and its action.",
            ["watchlist", "action"],
            registry=registry,
        )
        self._tops = Histogram(
            "gerbang_identify_top_similarity",
            "Of answers of Identify, the cosine of the most similar subject that was compared, by what it came to.",
            ["decision"],
            buckets=TOP_BUCKETS,
            registry=registry,
        )
        self._weakened = Counter(
            "gerbang_watchlist_weakened",
            "Changes by which a watchlist stops fewer people: removed: somebody left it; validity: somebody on it is "
            "found for less long; templates: somebody on it lost one of several; list: it was deleted, or its "
            "threshold, target, action, direction, or need of a second person was changed.",
            ["watchlist", "change"],
            registry=registry,
        )
        # Looking a child up by its labels costs more than all the rest.
        self._request_of: dict[tuple[str, str, str], Counter] = {}
        self._duration_of: dict[str, Histogram] = {}
        self._top_of: dict[int, Histogram] = {}
        self._hit_of: dict[tuple[str, int], Counter] = {}
        self._watchlists: set[str] = set()
        for decision in _DECISIONS.values():
            self._tops.labels(decision)
        # Prometheus sees no increase in a series that begins at 1: what alerts wait for has to be there at 0.
        for rpc in sorted(frozenset().union(*RPCS.values())):
            for reason in (_INTERNAL, *_DENIALS):
                self._errors.labels(rpc, reason)

    def expect(self, watchlists: Iterable[Watchlist]) -> None:
        """Begin to count hits in these lists, and what weakens them, at 0. May be called from any thread."""
        for each in watchlists:
            name = self.shown(each.watchlist_id)
            self._hits.labels(name, each.action.name.lower())
            for change in Weakening:
                self._weakened.labels(name, change.value)

    def shown(self, watchlist: str) -> str:
        """Return the name under which a watchlist is counted: its own, or that of all beyond a number."""
        if len(self._watchlists) < _MOST_WATCHLISTS:
            self._watchlists.add(watchlist)
        return watchlist if watchlist in self._watchlists else _OTHERS

    async def answered(self, call: Call, request: Any, response: Any) -> None:  # noqa: ANN401, ARG002
        """Count an answer, and whom it found."""
        self._count(call, _OK)
        duration = self._duration_of.get(call.rpc)
        if duration is None:
            duration = self._duration_of[call.rpc] = self._durations.labels(call.rpc)
        duration.observe(call.seconds)
        for name, change in call.weakened:
            self._weakened.labels(self.shown(name), change.value).inc()
        if isinstance(response, pb.IdentifyResponse):
            self._count_search(response)
        elif isinstance(response, pb.IdentifyBatchResponse):
            for each in response.responses:
                self._count_search(each)
                if each.HasField("error"):
                    self._errors.labels(call.rpc, reason_of(each.error)).inc()

    async def failed(self, call: Call, request: Any, status: status_pb2.Status) -> None:  # noqa: ANN401, ARG002
        """Count a failure."""
        self._count(call, status_name(status))
        self._errors.labels(call.rpc, reason_of(status)).inc()

    def _count(self, call: Call, status: str) -> None:
        role = call.identity.role.value if call.identity else UNKNOWN
        key = (call.rpc, role, status)
        series = self._request_of.get(key)
        if series is None:
            series = self._request_of[key] = self._requests.labels(*key)
        series.inc()

    def _count_search(self, response: pb.IdentifyResponse) -> None:
        if response.HasField("top_similarity"):
            top = self._top_of.get(response.decision)
            if top is None:
                decision = _DECISIONS.get(response.decision, UNKNOWN)
                top = self._top_of[response.decision] = self._tops.labels(decision)
            top.observe(response.top_similarity)
        # Not `hit`, which a silent alert is not.
        if not response.candidates:
            return
        for key in {(name, each.action) for each in response.candidates for name in each.watchlists}:
            series = self._hit_of.get(key)
            if series is None:
                series = self._hit_of[key] = self._hits.labels(self.shown(key[0]), _ACTIONS.get(key[1], UNKNOWN))
            series.inc()
