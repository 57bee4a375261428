"""Default thresholds of known recognisers, each with the measurement it comes from.

A server with an unknown recogniser does not start without thresholds: a guessed one lets wanted people through or
stops innocent ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gerbang_service.configuration.settings import STAND_IN, Settings
from gerbang_service.domain.errors import StartupError

if TYPE_CHECKING:
    from gerbang_service.faces.packs import FacePack


@dataclass(frozen=True, slots=True)
class DefaultThresholds:
    """Cosine similarities from which on Identify says hit and Verify says match."""

    identification: float
    verification: float
    source: str


_BY_PACK = {
    "buffalo_l": DefaultThresholds(
        0.4078, 0.4078, "FAR 1e-6 on ICCV21-MFR MR-ALL, as the README of InsightFace Server gives it"
    ),
}

_BY_FINGERPRINT = {
    # MobileFaceNet of foamliu/MobileFaceNet, 128-d, on Labeled Faces in the Wild with SCRFD 500M at 320.
    # 157,686 genuine and 6,759,654 impostor pairs of 3,720 photographs: at 0.412 FMR 9.2e-5 and FNMR 0.87 %, at
    # 0.45 FMR 2.2e-5 and FNMR 1.5 %. So with 300 on the list one stranger in 150 is sent to an officer; a longer list
    # needs a higher threshold, or better a better recogniser.
    "4c8cf00367c7806b84b33787fcb41cb88f9dda7e62f1320c5421531d87886484": DefaultThresholds(
        0.45, 0.412, "all pairs of 3,720 photographs of Labeled Faces in the Wild"
    ),
}


def thresholds_for(pack: FacePack | None, settings: Settings) -> tuple[float, float]:
    """Return (identification, verification) thresholds: the settings', else the recogniser's known ones.

    Raises StartupError when neither says.
    """
    known = None
    if pack is not None:
        known = _BY_FINGERPRINT.get(pack.fingerprint) or (
            _stand_in() if pack.name == STAND_IN else _BY_PACK.get(pack.name)
        )
    identification = settings.threshold
    if identification is None and known is not None:
        identification = known.identification
    verification = settings.verification_threshold
    if verification is None:
        verification = settings.threshold if known is None else known.verification
    if identification is None or verification is None:
        what = "without a face pack" if pack is None else f"for recogniser {pack.fingerprint} of pack {pack.name}"
        raise StartupError(
            f"no threshold is known {what}: give --threshold (a cosine), measured on that recogniser for the false "
            "positive identification rate that you accept"
        )
    return identification, verification


def _stand_in() -> DefaultThresholds:
    # Imported here: it takes a second, which a server of templates only does not owe.
    from gerbang_service.faces.standin import STAND_IN_THRESHOLD  # noqa: PLC0415

    return DefaultThresholds(STAND_IN_THRESHOLD, STAND_IN_THRESHOLD, "measured on drawn faces, see standin")
