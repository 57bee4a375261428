"""`gerbang doctor` on set-ups that are sound, and on those that are not."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gerbang import WatchlistClient
from gerbang_service.cli.doctor.access import check_ports
from gerbang_service.cli.doctor.finding import Level
from gerbang_service.configuration.settings import Settings
from running import RunningServer
from telemetry.certificates import certificate
from telemetry.examined import doctor, fails, warnings
from telemetry.metered import TEMPLATES


def test_a_new_folder_is_sound_and_stays_missing(data: Path) -> None:
    """Looking makes nothing."""
    code, findings = doctor(data)
    assert (code, fails(findings)) == (0, [])
    assert not data.exists()


def test_it_may_be_run_beside_the_server(data: Path) -> None:
    """The folder is in use and the port taken by the very server that is asked about: all is well."""
    with RunningServer(data, *TEMPLATES) as server, WatchlistClient(server.address) as office:
        office.create_watchlist("w")
        code, findings = doctor(data, "--listen", server.address)
        assert (code, fails(findings)) == (0, [])
        assert any(each["text"] == "a server runs on it" for each in findings)
        assert office.create_watchlist("x").revision == 2


def test_the_stand_in_pack_is_run_and_doubted(data: Path) -> None:
    """Both networks are run once; that it knows drawn faces only is said."""
    code, findings = doctor(data, "--pack", "stand-in")
    assert code == 0
    assert any("detects and embeds in" in each["text"] for each in findings)
    assert any("drawn faces only" in each for each in warnings(findings))


def test_a_pack_that_is_not_there_fails(data: Path, tmp_path: Path) -> None:
    """A folder without networks, and one that does not exist."""
    (tmp_path / "empty").mkdir()
    assert "can't be loaded" in fails(doctor(data, "--pack", str(tmp_path / "empty"))[1])[0]
    assert "no such folder" in fails(doctor(data, "--pack", str(tmp_path / "nowhere"))[1])[0]


def test_a_pack_is_only_said_to_be_fetched_when_it_can_be(data: Path, tmp_path: Path) -> None:
    """InsightFace has packs of some names; another name is a slip of the pen, and the names are told."""
    home = {"HOME": str(tmp_path)}
    code, findings = doctor(data, "--pack", "buffalo_s", env=home)
    assert code == 0
    assert any("buffalo_s is not on this machine yet" in each for each in warnings(findings))
    (failed,) = fails(doctor(data, "--pack", "bufalo_s", env=home)[1])
    assert failed.startswith("face pack: face pack bufalo_s: no such folder")
    assert "buffalo_s" in failed


def test_settings_that_contradict_each_other_fail(data: Path) -> None:
    """What serve would refuse, the doctor names."""
    code, findings = doctor(data, "--listen", "0.0.0.0:0")
    assert code == 1
    assert "listen" in fails(findings)[0]


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:65536", ":50051"])
def test_an_address_without_a_host_or_a_port_fails_with_tls_too(data: Path, tls: Path, listen: str) -> None:
    """It is refused for its form, whatever else is set."""
    (failed,) = fails(doctor(data, "--listen", listen, *certificate(tls, 365))[1])
    assert failed == f"configuration: setting listen: {listen!r} is not HOST:PORT"


def test_what_is_off_is_doubted(data: Path) -> None:
    """Encryption, records, recall checks and metrics are missed when they are switched off."""
    options = ("--no-encryption", "--no-audit-log", "--recall-check-every", "0", "--metrics-listen", "")
    _, findings = doctor(data, *options)
    said = " ".join(warnings(findings))
    for expected in ("in the clear", "records who did what", "checked for misses", "nothing is measured"):
        assert expected in said


def test_a_port_that_is_taken_fails(data: Path) -> None:
    """By another program, or by two settings at once."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        (failed,) = fails(doctor(data, "--listen", taken)[1])
        assert failed.startswith(f"ports: listen {taken}")
    assert "both" in fails(doctor(data, "--listen", taken, "--metrics-listen", taken)[1])[0]


@pytest.mark.parametrize(
    ("error", "said", "advice"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the name can't be resolved", "DNS"),
        (OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)), "Cannot assign", "that this machine has"),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), "Permission denied", "CAP_NET_BIND_SERVICE"),
    ],
)
@pytest.mark.parametrize("running", [False, True])
def test_who_has_the_port_is_blamed_for_a_taken_one_only(
    *, error: OSError, said: str, advice: str, running: bool, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that nobody knows, another machine's address, a port of root's: each has a way out of its own."""

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (found,) = check_ports(Settings(data=data, pack="none"), running=running)
    assert found.level is Level.FAIL
    assert said in found.text
    assert advice in found.advice


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """A folder for `certificate`."""
    folder = tmp_path / "tls"
    folder.mkdir()
    return folder


def test_certificates_are_looked_at(data: Path, tls: Path) -> None:
    """Good for a year; for ten days, which is doubted; expired, and of another key, which fail."""
    code, findings = doctor(data, *certificate(tls, 365))
    assert (code, warnings(findings)) == (0, [])
    assert any("fit together, valid for 365 days" in each["text"] for each in findings)
    code, findings = doctor(data, *certificate(tls, 10))
    assert code == 0
    assert any("valid for 10 days" in each for each in warnings(findings))
    assert "expired" in fails(doctor(data, *certificate(tls, -1))[1])[0]
    options = certificate(tls, 365)
    other = (tls / "server.key").read_bytes()
    certificate(tls, 365)
    (tls / "server.key").write_bytes(other)
    assert "server.key is not the key of" in fails(doctor(data, *options)[1])[0]
    (tls / "server.pem").unlink()
    assert "No such file" in fails(doctor(data, *options)[1])[0]


def test_for_people_it_is_a_line_each(data: Path) -> None:
    """Without --json: level, area, text, and what to do; then a sum."""
    command = [sys.executable, "-m", "gerbang_service.cli", "doctor", "--data", str(data), *TEMPLATES]
    ended = subprocess.run(
        [*command, "--no-encryption"], capture_output=True, text=True, timeout=60, check=False, env={**os.environ}
    )
    assert ended.returncode in (0, 1)
    lines = ended.stdout.splitlines()
    assert (
        "warning configuration: vectors and labels lie on disk in the clear, and who can write the folder can change "
        "who is on which list, a threshold or a token unseen  -> say encryption, with a key_file" in lines
    )
    assert lines[-1].endswith("failed")
