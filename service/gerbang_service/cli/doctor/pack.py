"""The face pack: whether it is there, loads, and makes templates."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from gerbang_service.cli.doctor.finding import Finding
from gerbang_service.configuration.settings import NO_PACK, Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.threads.cpu_quota import cpu_quota

_AREA = "face pack"


@dataclass(slots=True)
class PackCheck:
    """Checks the pack. `model` is its recogniser's fingerprint afterwards, and `chain` what stands before that.

    Both are None without a pack that works.
    """

    settings: Settings
    model: str | None = field(default=None, init=False)
    chain: CaptureChain | None = field(default=None, init=False)

    def __call__(self) -> Iterator[Finding]:
        """Load it, and run both networks once."""
        settings = self.settings
        if settings.pack == NO_PACK:
            self.model = settings.model or None
            yield Finding.ok(_AREA, "none: gates send templates")
            return
        try:
            yield from self._run()
        except StartupError as error:
            yield Finding.fail(_AREA, str(error), "docs: README, Face packs")

    def _run(self) -> Iterator[Finding]:
        # Imported here: they take seconds.
        import numpy as np  # noqa: PLC0415

        from gerbang_service.faces.packs import has_to_be_fetched, open_pack  # noqa: PLC0415

        settings = self.settings
        if has_to_be_fetched(settings.pack):
            yield Finding.warning(
                _AREA,
                f"{settings.pack} is not on this machine yet: the first start fetches it",
                "start once with a network, or name a folder",
            )
            return
        pack = open_pack(settings.pack, settings.det_size, settings.device, cpu_quota())
        started = time.perf_counter()
        pack.detector.detect(np.full((settings.det_size, settings.det_size, 3), 128, np.uint8), alone=True)
        side = pack.embedder.side
        (vector,) = pack.embedder.embed([np.full((side, side, 3), 128, np.uint8)], alone=True)
        took_ms = 1000 * (time.perf_counter() - started)
        if vector.shape != (pack.dimension,) or not np.isfinite(vector).all():
            yield Finding.fail(_AREA, "the recogniser gives no usable template", "replace its file")
            return
        self.model, self.chain = pack.fingerprint, pack.chain
        yield Finding.ok(
            _AREA,
            f"{pack.name}, recogniser {pack.fingerprint[:12]}..., {pack.dimension} dimensions, on {pack.device}: "
            f"detects and embeds in {took_ms:.0f} ms",
        )
