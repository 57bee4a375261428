"""`gerbang doctor`: the same settings as `gerbang serve`, looked at before anything is served."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
from rich.text import Text

from gerbang_service.cli.doctor.finding import Finding, Level
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.output import Output
from gerbang_service.cli.serve import config_option, settings_options
from gerbang_service.configuration.settings import NO_PACK, Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.running.process import keep_private

_STYLES = {Level.OK: "green", Level.WARNING: "bold yellow", Level.FAIL: "bold red"}


@click.command(
    short_help="Look for what would go wrong.",
    epilog="Exit codes: 0 nothing fails (there may be warnings); 1 something does; 2 wrong usage.",
)
@config_option
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")
def doctor(as_json: bool, **values: Any) -> None:  # noqa: ANN401, FBT001 - click passes them by name
    """Look at configuration, face pack, data folder, keys, certificates, ports, memory and clock, and say what to mend.

    Takes the settings of `gerbang serve`, changes nothing, and may be run beside a server. Reads all that is stored, as
    `gerbang check` does.
    """
    # It holds the key, and what that opens, as a server does.
    keep_private()
    logging.disable(logging.WARNING)
    output = Output(as_json=as_json)
    findings: list[Finding] = []
    for finding in examine(values):
        findings.append(finding)
        _show(output, finding)
    count = Counter(each.level for each in findings)
    if as_json:
        listed = [
            {"area": each.area, "level": each.level.value, "text": each.text, "advice": each.advice}
            for each in findings
        ]
        output.document({"healthy": not count[Level.FAIL], "findings": listed})
    output.line(f"{count[Level.OK]} ok, {count[Level.WARNING]} to look at, {count[Level.FAIL]} failed")
    click.get_current_context().exit(ExitCode.NO if count[Level.FAIL] else ExitCode.YES)


def examine(values: dict[str, Any]) -> Iterator[Finding]:
    """Yield what is found, as it is found. `values`: of the settings, not checked yet."""
    try:
        settings = Settings(**values)
    except StartupError as error:
        yield Finding.fail("configuration", str(error), "nothing else can be looked at before this is mended")
        return
    # Imported here: with them come the store and cryptography, which `gerbang --help` does not owe.
    from gerbang_service.cli.doctor.access import check_certificates, check_ports  # noqa: PLC0415
    from gerbang_service.cli.doctor.configuration import check_configuration  # noqa: PLC0415
    from gerbang_service.cli.doctor.machine import check_clock, check_machine  # noqa: PLC0415
    from gerbang_service.cli.doctor.pack import PackCheck  # noqa: PLC0415
    from gerbang_service.cli.doctor.storage import StorageCheck  # noqa: PLC0415
    from gerbang_service.cli.doctor.thresholds import check_thresholds  # noqa: PLC0415

    yield from check_configuration(settings)
    pack = PackCheck(settings)
    yield from pack()
    storage = StorageCheck(settings, pack.model, pack.chain)
    yield from storage()
    if pack.model is not None or settings.pack == NO_PACK:
        yield from check_thresholds(settings, pack.model or storage.stored_model, storage.templates)
    yield from check_certificates(settings)
    yield from check_ports(settings, running=storage.running)
    yield from check_machine(settings, storage.templates, storage.dimension)
    yield from check_clock(settings)


def _show(output: Output, finding: Finding) -> None:
    parts: list[str | Text] = [
        Text(f"{finding.level.value:<8}", style=_STYLES[finding.level]),
        f"{finding.area}: {finding.text}",
    ]
    if finding.advice:
        parts.append(Text(f"  -> {finding.advice}", style="dim"))
    output.line(*parts)
