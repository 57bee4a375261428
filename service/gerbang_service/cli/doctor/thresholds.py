"""The thresholds: where they come from, and how many strangers they stop."""

from __future__ import annotations

from collections.abc import Iterator

from gerbang_service.cli.doctor.finding import Finding
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.domain.false_matches import step_of
from gerbang_service.domain.threshold_texts import describe, warning

_AREA = "thresholds"
_ADVICE = "docs/operations.md, Thresholds"


def check_thresholds(settings: Settings, model: str | None, templates: int) -> Iterator[Finding]:
    """Look at them. `model`: the recogniser's fingerprint, None for an unknown one; `templates`: that are stored."""
    # Imported here: it takes a second.
    from gerbang_service.faces.thresholds import thresholds_for  # noqa: PLC0415

    try:
        rule, verification = thresholds_for(model, settings)
    except StartupError as error:
        yield Finding.fail(_AREA, str(error), _ADVICE)
        return
    # As if all were on lists: so many are searched at most.
    identification = rule.of_server(step_of(templates))
    yield Finding.ok(_AREA, f"Identify: {describe(identification)}")
    said = warning(identification)
    if said is not None:
        yield Finding.warning(_AREA, f"Identify: {said}", _ADVICE)
    yield Finding.ok(_AREA, f"Verify: {describe(verification)}")
