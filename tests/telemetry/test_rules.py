"""The dashboard and the alert rules, against what a real server exposes after real calls."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gerbang import GateClient, GerbangError, WatchlistClient
from gerbang_service.domain.errors import AccessRefused
from gerbang_service.rpc.errors import STATUS
from pictures import photo
from running import RunningServer
from telemetry import promql
from telemetry.metered import TEMPLATES, MeteredServer, Samples, addresses, scrape

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "gerbang.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
PROMTOOL = shutil.which("promtool") or ""
OPERATIONS = ROOT / "docs" / "operations.md"

# Added to every series by Prometheus itself, and the series that is its own.
TARGET_LABELS = frozenset({"job", "instance"})
OWN_SERIES = {"up"}
SELECTOR = re.compile(r"\b(up|(?:gerbang|process|python)_\w+)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
SHOWN = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """What servers expose after calls: one with photos, one with TLS, whose certificates expire, and one of workers."""
    folder = tmp_path_factory.mktemp("rules")
    with MeteredServer(folder / "photos", "--pack", "stand-in", "--recall-check-every", "1") as server:
        with GateClient(server.address, timeout=30) as gate, WatchlistClient(server.address, timeout=30) as office:
            office.create_watchlist("w")
            office.enroll("a", [photo(1)], watchlists=["w"])
            assert gate.identify(photo(1)).hit
            office.enroll("a", [photo(1)], watchlists=["w"], on_existing="replace")
            with pytest.raises(GerbangError):
                office.get_subject("nobody")
            office.create_watchlist("gone")
            office.delete_watchlist("gone")
        samples = server.scrape()
    make = [sys.executable, "-m", "gerbang_service.cli", "certs"]
    certificates = folder / "certs"
    for arguments in (["ca", certificates], ["issue", certificates, "gate-1.example", "--role", "gate"]):
        subprocess.run([*make, *map(str, arguments)], check=True, capture_output=True)
    tls = ("--tls-certificate", certificates / "server.pem", "--tls-key", certificates / "server.key")
    mutual = ("--client-ca", certificates / "ca.pem", "--policy", certificates / "policy.toml")
    with MeteredServer(folder / "tls", *TEMPLATES, *map(str, (*tls, *mutual))) as server:
        samples |= server.scrape()
    workers = ("--workers", "2", "--metrics-listen", "127.0.0.1:0")
    with RunningServer(folder / "workers", *TEMPLATES, *workers) as several:
        samples |= scrape(addresses(several.stderr)[0])
    return samples


def expressions() -> Iterator[tuple[str, str]]:
    """Yield (where, expression) of all rules and panels."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    found: list[dict[str, Any]] = [
        rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    ]
    return found


def labels_of(samples: Samples, name: str) -> dict[str, set[str]]:
    """Return the labels that the series of a name have, with all values seen."""
    found: dict[str, set[str]] = {}
    for each, labels in samples:
        if each == name:
            for label, content in labels:
                found.setdefault(label, set()).add(content)
    return found


def test_every_series_that_is_asked_for_exists(exposed: Samples) -> None:
    """A misspelt name would be an alert that never comes. And something is asked for everywhere."""
    names = {name for name, _ in exposed} | OWN_SERIES
    for where, expression in expressions():
        used = {name for name, _ in SELECTOR.findall(expression)}
        assert used, where
        assert used <= names, (where, used - names)


def test_labels_match_on_both_sides_and_are_there(exposed: Samples) -> None:
    """Neither matchers nor groupings name a label that a series does not have, and no join is of unlike sides."""
    for where, expression in expressions():
        try:
            promql.labels_of(expression, lambda name: frozenset(labels_of(exposed, name)) | TARGET_LABELS)
        except promql.WrongLabels as wrong:
            pytest.fail(f"{where}: {wrong}")


@pytest.mark.parametrize(
    "expression",
    [
        "sum by (instance, rpc) (rate(gerbang_errors_total[5m])) / sum by (instance) (rate(gerbang_errors_total[5m]))",
        "gerbang_queue_length / gerbang_ready > 0.8",
        "sum(gerbang_ready) > 0 and gerbang_ready",
        "gerbang_queue_length unless on (queue) gerbang_ready",
        "sum by (queue) (gerbang_ready)",
        "histogram_quantile(0.9, sum by (rpc) (rate(gerbang_request_duration_seconds_bucket[5m])))",
        'gerbang_ready{queue="images"}',
    ],
)
def test_wrong_labels_are_found(exposed: Samples, expression: str) -> None:
    """What Prometheus would take without a word, and never fire."""
    with pytest.raises(promql.WrongLabels):
        promql.labels_of(expression, lambda name: frozenset(labels_of(exposed, name)) | TARGET_LABELS)


def test_every_value_that_is_asked_for_can_come(exposed: Samples) -> None:
    """Reasons are those of the error table, statuses gRPC's, stages and the like those that are counted."""
    known = {
        "reason": {kind.reason for kind in STATUS} | {"INTERNAL"},
        "status": {code.name for code in STATUS.values()} | {"INTERNAL"},
        "job": {"gerbang"},
        "rpc": {"Identify", "IdentifyStream", "Verify"},
    }
    for where, expression in expressions():
        for name, matchers in SELECTOR.findall(expression):
            for label, _, content in MATCHER.findall(matchers):
                if content.startswith("$"):
                    continue
                possible = known.get(label) or labels_of(exposed, name)[label]
                assert set(content.split("|")) <= possible, (where, label, content)


def test_legends_and_summaries_show_labels_that_are_left(exposed: Samples) -> None:
    """What an expression groups away can't be shown."""
    shown = [(rule["alert"], rule["expr"], rule["annotations"]["summary"]) for rule in rules()]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        shown += [(panel["title"], each["expr"], each["legendFormat"]) for each in panel.get("targets", ())]
    for where, expression, text in shown:
        left = promql.labels_of(expression, lambda name: frozenset(labels_of(exposed, name)) | TARGET_LABELS)
        assert set(SHOWN.findall(text)) <= (left or set()), (where, text)


def test_what_alerts_wait_for_is_there_at_zero(data: Path) -> None:
    """Prometheus sees no increase when a series appears with its first failure."""
    with MeteredServer(data, *TEMPLATES) as server:
        samples = server.scrape()
    waited_for = {"INTERNAL", *(kind.reason for kind in AccessRefused.__subclasses__())}
    for reason in waited_for:
        assert samples["gerbang_errors_total", frozenset({("rpc", "Identify"), ("reason", reason)})] == 0
    for result in ("missed", "checked"):
        assert samples["gerbang_recall_check_searches_total", frozenset({("result", result)})] == 0
    for generator in ("sweep", "graph"):
        assert samples["gerbang_generator_failures_total", frozenset({("generator", generator)})] == 0


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    """Whoever is woken finds what it means and what to do under the alert's own name."""
    sections = re.findall(r"^### (Gerbang\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    names = [rule["alert"] for rule in rules()]
    assert sorted(sections) == sorted(names)
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_dashboard_can_be_loaded() -> None:
    """Ids and places are unique, every panel says what it shows, and nothing is outside of the grid."""
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["description"]
        legends = {each["legendFormat"] for each in panel.get("targets", ())}
        drawn_apart = {each["matcher"]["options"] for each in panel.get("fieldConfig", {}).get("overrides", ())}
        assert drawn_apart <= legends, panel["title"]
    assert {each["name"] for each in dashboard["templating"]["list"]} == {"datasource", "instance"}


def test_the_example_scrapes_under_the_name_that_the_rules_expect() -> None:
    """The rules are of job gerbang; so is the example."""
    example = yaml.safe_load((ALERTS.parent / "prometheus.yml").read_text())
    assert [each["job_name"] for each in example["scrape_configs"]] == ["gerbang"]
    assert example["rule_files"] == [ALERTS.name]
    # `for: 30s` at an interval of a minute, which is the default, would be up to a minute and a half.
    assert example["global"]["evaluation_interval"] == example["global"]["scrape_interval"] == "15s"


@pytest.mark.skipif(not PROMTOOL, reason="promtool (of Prometheus) is not installed")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "deploy/prometheus/prometheus.yml"),
        ("check", "rules", "deploy/prometheus/alerts.yml"),
        ("test", "rules", "tests/telemetry/alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_takes_the_rules_and_they_fire_when_they_should(arguments: tuple[str, ...]) -> None:
    """By its own tool: syntax, and what alerts say of series that were made up."""
    ended = subprocess.run([PROMTOOL, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_container_is_not_replaced_for_being_unready() -> None:
    """Nobody restarts it while it loads, or when the database can't be read: it would not come up again."""
    (check,) = re.findall(r"^HEALTHCHECK (?:.*\\\n)*.*$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert "/livez" in check
    assert "/readyz" not in check
