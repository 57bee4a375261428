"""Every setting of the server: one place for its name, type, default, meaning and check.

A setting is taken from the command line (`--det-size`), else from the environment (`GERBANG_DET_SIZE`), else from a
TOML file (`det_size = 320`), else its default. All of them are fields of `Settings`.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gerbang_service.configuration.addresses import is_loopback, split_address
from gerbang_service.configuration.zones import is_zone
from gerbang_service.domain.errors import StartupError
from gerbang_service.domain.identifiers import MAX_TARGET_FPIR
from gerbang_service.domain.questions import CHOOSABLE

LOG_LEVELS = ("debug", "info", "warning", "error")
PLANS = tuple(each.value for each in CHOOSABLE)
STAND_IN = "stand-in"
NO_PACK = "none"
CPU, CUDA = "cpu", "cuda"


def _setting(default: Any, text: str, choices: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - any field type
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the server was told. Immutable; made and checked before anything starts."""

    data: Path = dataclasses.field(metadata={"help": "Folder of the database. Created when missing."})
    pack: str = dataclasses.field(
        metadata={"help": f"Face pack: a name, a folder, '{STAND_IN}' (drawn faces) or '{NO_PACK}' (templates only)."}
    )
    listen: str = _setting("127.0.0.1:50051", "Address to listen on; port 0 takes a free one.")
    insecure: bool = _setting(False, "Listen on other than loopback addresses without TLS and authentication.")
    tls_certificate: Path | None = _setting(
        None, "PEM file of the server's certificate chain, read again when it changes. Clients then say who they are."
    )
    tls_key: Path | None = _setting(None, "PEM file of the certificate's private key; only its owner may write it.")
    client_ca: Path | None = _setting(
        None, "PEM file of the authorities of client certificates. With it every client of `listen` needs one."
    )
    policy: Path | None = _setting(
        None, "TOML file that says which client certificate has which role; read again when it changes."
    )
    token_listen: str = _setting(
        "", "A second address, TLS without client certificates, for callers with API tokens. Empty: none."
    )
    reflection: bool = _setting(True, "Offer gRPC server reflection.")
    workers: int = _setting(
        1,
        "Processes that serve the port and share the gallery's memory. Several pay where gRPC's Python fills a core.",
    )
    drain_grace_s: float = _setting(30.0, "Seconds that calls in flight have to finish after SIGTERM.")
    max_message_mb: int = _setting(64, "Largest message taken, MiB: an Enroll of several photos must fit.")

    encryption: bool = _setting(
        True,
        "Keep vectors and labels encrypted on disk, and rows sealed. --no-encryption: in the clear, nothing sealed.",
    )
    key_file: Path | None = _setting(
        None, "File with the key that wraps the data key (gerbang key create). Else GERBANG_KEY holds it."
    )
    audit_log: bool = _setting(True, "Record every call in a hash-chained log.")
    audit_folder: Path | None = _setting(
        None, "Folder of that log. Default: 'audit' in the data folder. Workers have a folder each in it."
    )
    accept_older_database: bool = _setting(
        False,
        "Start although the audit log has changes that the database lacks, as after a restore. For one start: they are "
        "lost then.",
    )
    audit_file_mb: float = _setting(64.0, "Size at which a new file of the log is begun, MB.")
    metrics_listen: str = _setting(
        "",
        "Address of /metrics, /livez and /readyz, plain HTTP: loopback, unless insecure is said. Empty: none. "
        "With several workers each has a port of its own, from this one upwards.",
    )
    log_format: str = _setting("text", "Lines of the log: text, or one JSON object each.", ("text", "json"))
    log_level: str = _setting("info", "From which level on lines are written. debug: every call.", LOG_LEVELS)
    trace_endpoint: str = _setting(
        "",
        "OTLP/gRPC collector of OpenTelemetry traces, such as localhost:4317 or https://collector:4317; in the clear "
        "only on loopback, unless insecure is said. Empty: none.",
    )

    target_fpir: float | None = _setting(
        None,
        "Share of strangers that Identify may stop: its threshold follows from that and from how many templates are "
        "searched, where the recogniser's false match rates are known. Default: 0.001, unless threshold is given.",
    )
    threshold: float | None = _setting(None, "A fixed identification threshold, a cosine, in place of target_fpir.")
    verification_threshold: float | None = _setting(
        None, "Verification threshold, a cosine. Default: the recogniser's own, else that of identification."
    )
    det_size: int = _setting(320, "Side of the detector's square input, pixels, a multiple of 32.")
    device: str = _setting(
        CPU, "What the face pack runs on. cuda: an NVIDIA GPU; needs onnxruntime-gpu, never falls back.", (CPU, CUDA)
    )
    max_image_mb: float = _setting(10.0, "Largest image file, MB.")
    max_megapixels: float = _setting(25.0, "Largest image, megapixels.")
    image_workers: int = _setting(0, "Threads that process images. 0: the CPU quota.")
    dimension: int = _setting(0, "With pack 'none' and a new data folder: dimension of a template.")
    model: str = _setting("", "With pack 'none' and a new data folder: fingerprint of the clients' recogniser.")
    other_models: str = _setting(
        "refuse",
        "Stored templates of another recogniser: refuse to start, or ignore them.",
        ("refuse", "ignore"),
    )

    plan: str = _setting("both", "How Identify searches when the request does not say.", PLANS)
    graph_m: int = _setting(16, "HNSW: links a node (hnswlib's M).")
    graph_ef_construction: int = _setting(100, "HNSW: width of the walk that inserts.")
    graph_ef: int = _setting(16, "HNSW: width of the walk that searches.")
    graph_max_tombstones: float = _setting(0.2, "Share of deleted templates in the graph at which it is rebuilt.")
    sketch_bits: int = _setting(0, "Bits of a sketch, a multiple of 8. 0: 512 from 256 dimensions on, else 1024.")
    rescored: int = _setting(32, "Templates that the sweep proposes for the exact comparison.")
    recall_check_every: int = _setting(
        200,
        "One Identify in so many is answered again by plan exact, to count misses; on at most a twentieth of a core. "
        "0: none.",
    )
    search_workers: int = _setting(0, "Threads that search. 0: half the CPU quota; gRPC needs the rest.")

    max_pending_images: int = _setting(64, "Calls with images waiting or running, at most; more are OVERLOADED.")
    max_pending_searches: int = _setting(
        2048, "Searches waiting or running, at most; fewer where they would wait for more than 0.7 seconds."
    )
    max_pending_writes: int = _setting(4096, "Changes waiting to be written, at most.")
    request_ids_kept_days: float = _setting(
        7.0, "Days in which a change that is sent again, with the same request_id, is answered as at first."
    )
    expired_kept_days: float | None = _setting(
        None, "Days after a subject's expire_time when it is erased, with all templates, for good. Default: never."
    )
    proposals_kept_days: float = _setting(
        30.0, "Days in which a change to a watchlist with two_person_removal can be confirmed by a second person."
    )
    time_zone: str = _setting(
        "",
        "Zone in which the office reckons dates, such as Asia/Jakarta: one that is given without a time is the "
        "whole of that day there. Empty: that of the command's machine.",
    )
    max_streams: int = _setting(32, "Open streams of one caller, at most; more are OVERLOADED.")

    def __post_init__(self) -> None:
        """Refuse values that can't work, with StartupError."""
        for name in ("workers", "max_image_mb", "max_megapixels", "max_message_mb", "graph_m", "graph_ef", "rescored"):
            self._require(name, getattr(self, name) > 0, "must be positive")
        for name in (
            "max_pending_images",
            "max_pending_searches",
            "max_pending_writes",
            "request_ids_kept_days",
            "proposals_kept_days",
            "max_streams",
            "audit_file_mb",
            "graph_ef_construction",
        ):
            self._require(name, getattr(self, name) > 0, "must be positive")
        for name in ("image_workers", "search_workers", "drain_grace_s", "dimension", "recall_check_every"):
            self._require(name, getattr(self, name) >= 0, "must not be negative")
        self._require(
            "expired_kept_days", self.expired_kept_days is None or self.expired_kept_days > 0, "must be positive"
        )
        for name in ("threshold", "verification_threshold"):
            value = getattr(self, name)
            self._require(name, value is None or -1 <= value <= 1, "must be between -1 and 1")
        target = self.target_fpir
        self._require(
            "target_fpir",
            target is None or 0 < target <= MAX_TARGET_FPIR,
            f"must be above 0 and at most {MAX_TARGET_FPIR}",
        )
        self._require("target_fpir", target is None or self.threshold is None, "not together with threshold: give one")
        self._require("sketch_bits", self.sketch_bits >= 0 and self.sketch_bits % 8 == 0, "must be a multiple of 8")
        self._require("graph_max_tombstones", 0 < self.graph_max_tombstones < 1, "must be between 0 and 1")
        self._require("det_size", self.det_size > 0 and self.det_size % 32 == 0, "must be a multiple of 32")
        for field in dataclasses.fields(self):
            choices = field.metadata.get("choices")
            if choices:
                self._require(field.name, getattr(self, field.name) in choices, f"must be one of {choices}")
        known = not self.time_zone or is_zone(self.time_zone)
        self._require("time_zone", known, f"{self.time_zone!r} is no zone that this machine knows")
        self._check_telemetry()
        self._check_access()

    def _check_access(self) -> None:
        """Refuse what would let in others than the operator believes."""
        split_address(self.listen)
        tls, mutual = self.tls_certificate is not None, self.client_ca is not None
        self._require("tls_key", tls == (self.tls_key is not None), "goes with tls_certificate, and that with it")
        self._require("client_ca", tls or not mutual, "needs tls_certificate and tls_key")
        self._require(
            "policy",
            mutual == (self.policy is not None),
            "goes with client_ca, and that with it: the one says who is who, the other what they may do",
        )
        self._require(
            "listen",
            tls or self.insecure or is_loopback(self.listen),
            f"{self.listen} is no loopback address, and without tls_certificate nothing is encrypted and nobody is "
            "asked who they are: say insecure if that is meant",
        )
        if self.token_listen:
            self._require("token_listen", tls, "needs tls_certificate and tls_key: tokens are taken over TLS only")
            self._require("token_listen", mutual, "without client_ca tokens are taken at `listen` itself")
            _, port = split_address(self.token_listen, "token_listen")
            self._require("token_listen", port == 0 or self.token_listen != self.listen, "is the address of `listen`")

    def _check_telemetry(self) -> None:
        """Numbers of hits by list, and who called when, are nobody's business who can merely reach the port."""
        if self.metrics_listen:
            self._require(
                "metrics_listen",
                self.insecure or is_loopback(self.metrics_listen, "metrics_listen"),
                f"{self.metrics_listen} is no loopback address, and it is plain HTTP for everybody: say insecure if "
                "that is meant, or let a proxy with TLS stand before it",
            )
            last = split_address(self.metrics_listen, "metrics_listen")[1] + self.workers - 1
            self._require("metrics_listen", last <= 65535, f"{self.workers} workers need ports up to {last}")
        if self.trace_endpoint and not self.trace_endpoint.startswith("https://"):
            self._require(
                "trace_endpoint",
                self.insecure or is_loopback(self.trace_endpoint.removeprefix("http://"), "trace_endpoint"),
                f"{self.trace_endpoint} is no loopback address: say https://, or insecure if the clear is meant",
            )

    def to_json(self) -> str:
        """Return all settings as one line of JSON, for `from_json` in another process. It holds no secret."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, line: str) -> Settings:
        """Make the settings that `to_json` wrote."""
        values: dict[str, Any] = json.loads(line)
        paths = {field.name for field in dataclasses.fields(cls) if "Path" in str(field.type)}
        for name in paths:
            values[name] = None if values[name] is None else Path(values[name])
        return cls(**values)

    @staticmethod
    def _require(name: str, holds: bool, message: str) -> None:  # noqa: FBT001 - a condition
        if not holds:
            raise StartupError(f"setting {name}: {message}")


def read_toml(path: Path) -> dict[str, Any]:
    """Read settings from a TOML file; raise StartupError when it can't be read or names an unknown setting."""
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise StartupError(f"configuration {path}: {error.strerror}") from error
    # Not TOMLDecodeError alone: a number of thousands of digits is a plain ValueError, deep nesting a RecursionError.
    except (ValueError, RecursionError) as error:
        raise StartupError(f"configuration {path}: {error}") from error
    unknown = sorted(set(values) - {field.name for field in dataclasses.fields(Settings)})
    if unknown:
        raise StartupError(f"configuration {path}: unknown settings {', '.join(unknown)}")
    return values
