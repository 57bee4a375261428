"""What is known of recognisers: at which similarity which share of strangers is taken for somebody else.

A recogniser is known by the SHA-256 of its file and by nothing else: a folder may have any name. A server with one that
is not known does not start without a threshold: a guessed one lets wanted people through or stops innocent ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.domain.false_matches import FalseMatchRates, Point
from gerbang_service.domain.thresholds import DEFAULT_TARGET_FPIR, Rule, Source, Threshold

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class KnownRecogniser:
    """Its false match rates, and the cosine from which on Verify says match."""

    rates: FalseMatchRates
    verification: float


def _known(source: str, verification: float, *points: tuple[float, float]) -> KnownRecogniser:
    return KnownRecogniser(FalseMatchRates(tuple(Point(fmr, cosine, source) for fmr, cosine in points)), verification)


# All 6,759,654 pairs of two people among 3,720 photographs of 1,504 people. So the lowest point has 20 pairs behind it,
# and each lower one would have less; three of these are photographs of one person that the collection has under two
# names, which makes the points a little higher than they should be.
_LFW = "all pairs of people in 3,720 photographs of Labeled Faces in the Wild, SCRFD 500M at 320 px"

_KNOWN: Final = {
    # w600k_r50.onnx of InsightFace's packs buffalo_l and buffalo_m.
    "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43": _known(
        "ICCV21-MFR MR-ALL at FAR 1e-6, as the README of InsightFace Server 0.2.0 gives it", 0.4078, (1e-6, 0.4078)
    ),
    # MobileFaceNet of foamliu/MobileFaceNet, 128-d. FNMR of 157,686 pairs of one person: 0.12 % at FMR 1e-3, 0.49 % at
    # 1e-4, 1.7 % at 1e-5, 2.8 % at 3e-6.
    "4c8cf00367c7806b84b33787fcb41cb88f9dda7e62f1320c5421531d87886484": _known(
        _LFW, 0.412, (1e-2, 0.2636), (1e-3, 0.3455), (1e-4, 0.4098), (1e-5, 0.4682), (3e-6, 0.4942)
    ),
    # EdgeFace-XS, 512-d, int8 layers dequantised. FNMR: 0.02 % at FMR 1e-3, 0.08 % at 1e-4, 0.22 % at 1e-5, 0.49 % at
    # 3e-6.
    "a13d6423bdc6c96db5da1b04ea39f80bb3eba8b6e8a5f25cef3ac32eba5e57d2": _known(
        _LFW, 0.3277, (1e-2, 0.195), (1e-3, 0.2638), (1e-4, 0.3277), (1e-5, 0.3828), (3e-6, 0.4191)
    ),
}


def known_recogniser(fingerprint: str) -> KnownRecogniser | None:
    """Return what is known of the recogniser whose file has this SHA-256 (lower-case hexadecimal), or None."""
    known = _KNOWN.get(fingerprint)
    if known is None and _SHA256.fullmatch(fingerprint) and fingerprint == _stand_in_fingerprint():
        return _stand_in()
    return known


def thresholds_for(fingerprint: str | None, settings: Settings) -> tuple[Rule, Threshold]:
    """Return what decides for Identify, and the threshold of Verify: the settings', else by the recogniser's points.

    `fingerprint`: see `known_recogniser`; None for a server that does not know whose templates it compares. Raises
    StartupError when neither says.
    """
    known = None if fingerprint is None else known_recogniser(fingerprint)
    if settings.threshold is None and known is None:
        what = "without a face pack" if fingerprint is None else f"for recogniser {fingerprint}"
        raise StartupError(
            f"no threshold is known {what}: give --threshold (a cosine), measured on that recogniser for the false "
            "positive identification rate that you accept"
        )
    rates = None if known is None else known.rates
    if settings.threshold is not None:
        rule = Rule(settings.threshold, None, rates)
    else:
        rule = Rule(None, settings.target_fpir or DEFAULT_TARGET_FPIR, rates)
    if settings.verification_threshold is not None:
        return rule, rule.at(settings.verification_threshold, Source.SETTING)
    if known is not None:
        return rule, rule.at(known.verification, Source.RECOGNISER)
    assert settings.threshold is not None  # noqa: S101 - asked for above
    return rule, rule.at(settings.threshold, Source.SETTING)


@cache
def _stand_in_fingerprint() -> str:
    # Imported here: it takes a second, which a server of templates only does not owe.
    from gerbang_service.faces.standin import stand_in_fingerprint  # noqa: PLC0415

    return stand_in_fingerprint()


def _stand_in() -> KnownRecogniser:
    from gerbang_service.faces.standin import STAND_IN_POINTS, STAND_IN_THRESHOLD  # noqa: PLC0415

    return _known("all pairs of people in drawn faces, see standin", STAND_IN_THRESHOLD, *STAND_IN_POINTS)
