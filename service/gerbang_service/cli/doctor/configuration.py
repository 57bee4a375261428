"""Settings that go together, and those that somebody may have forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from gerbang_service.cli.doctor.finding import Finding
from gerbang_service.configuration.addresses import is_loopback
from gerbang_service.configuration.settings import STAND_IN, Settings
from gerbang_service.threads.cpu_quota import cpu_quota

_AREA = "configuration"


def check_configuration(settings: Settings) -> Iterator[Finding]:
    """Yield what is unusual. What is impossible was refused when the settings were made."""
    doubts = list(_doubts(settings))
    yield from doubts
    if not doubts:
        yield Finding.ok(_AREA, "the settings go together")


def _doubts(settings: Settings) -> Iterator[Finding]:
    if not is_loopback(settings.listen) and settings.tls_certificate is None:
        yield Finding.warning(
            _AREA,
            f"{settings.listen} is listened on without TLS: whoever is on the network can read, ask and enrol",
            "set tls_certificate, tls_key, client_ca and policy",
        )
    if not settings.encryption:
        yield Finding.warning(
            _AREA,
            "vectors and labels lie on disk in the clear, and who can write the folder can change "
            "who is on which list, a threshold or a token unseen",
            "say encryption, with a key_file",
        )
    if not settings.audit_log:
        yield Finding.warning(_AREA, "nothing records who did what", "say audit_log")
    if not settings.recall_check_every:
        yield Finding.warning(_AREA, "no search is checked for misses", "leave recall_check_every at its default")
    if not settings.metrics_listen:
        yield Finding.warning(_AREA, "nothing is measured: no metrics", "set metrics_listen, such as 127.0.0.1:9464")
    if settings.pack == STAND_IN:
        yield Finding.warning(_AREA, "the stand-in pack knows drawn faces only", "set pack to one for real people")
    quota = cpu_quota()
    if settings.workers > quota:
        yield Finding.warning(
            _AREA, f"{settings.workers} workers share {quota} processors", f"at most {quota} workers pay"
        )
