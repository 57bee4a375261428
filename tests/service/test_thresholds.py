"""Each answer says where its threshold comes from, and how many strangers that stops; so do the commands."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner

from gerbang import CounterClient, FieldInvalid, GateClient, WatchlistClient
from gerbang.v1 import threshold_pb2 as pb
from gerbang_service.cli.root import root
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.domain.false_matches import fpir_of, step_of
from gerbang_service.domain.thresholds import as_float32
from gerbang_service.faces.standin import STAND_IN_POINTS, STAND_IN_THRESHOLD, stand_in_fingerprint
from gerbang_service.faces.standin.drawing import draw_face, encode_jpeg
from gerbang_service.faces.thresholds import known_recogniser, thresholds_for
from running import RunningServer

BUFFALO_L = "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def test_a_search_follows_the_servers_target_and_a_list_its_own(office: WatchlistClient, gate: GateClient) -> None:
    """It is worked out for how many are on the lists that are searched."""
    plain, own, who = fresh("w"), fresh("w"), fresh("s")
    photo = encode_jpeg(draw_face(70_707))
    office.create_watchlist(plain)
    office.create_watchlist(own, target_fpir=0.1)
    office.enroll(who, [photo], watchlists=[plain, own])
    answer = gate.identify(photo, watchlists=[plain])
    basis = answer.threshold_basis
    assert basis.source == pb.THRESHOLD_SOURCE_TARGET
    assert (basis.target_fpir, basis.target_not_shown, basis.templates) == (0.001, False, step_of(1))
    assert basis.expected_fpir == pytest.approx(0.001) == fpir_of(basis.fmr, 16)
    assert "drawn faces" in basis.points_source
    (found,) = answer.candidates
    assert found.threshold_basis == basis
    (found,) = gate.identify(photo, watchlists=[own]).candidates
    assert found.threshold_basis.source == pb.THRESHOLD_SOURCE_WATCHLIST_TARGET
    assert found.threshold_basis.target_fpir == 0.1
    assert found.threshold < answer.threshold
    office.update_watchlist(own, target_fpir=None, threshold=0.45)
    (found,) = gate.identify(photo, watchlists=[own]).candidates
    assert (found.threshold_basis.source, found.threshold_basis.HasField("target_fpir")) == (
        pb.THRESHOLD_SOURCE_WATCHLIST,
        False,
    )
    raised = gate.identify(photo, watchlists=[plain], threshold=0.9).threshold_basis
    assert (raised.source, raised.HasField("fmr")) == (pb.THRESHOLD_SOURCE_REQUEST, False)
    office.delete_watchlist(own, force=True)


def test_the_server_tells_both_thresholds_and_the_commands_say_them(
    office: WatchlistClient, counter: CounterClient, tmp_path: Path
) -> None:
    """A recogniser's own for Verify, with how often two people's photos are as similar as these."""
    info = office.server_info()
    assert info.identification_basis.source == pb.THRESHOLD_SOURCE_TARGET
    assert info.verification_basis.source == pb.THRESHOLD_SOURCE_RECOGNISER
    assert (info.verification_threshold, info.verification_basis.templates) == (as_float32(STAND_IN_THRESHOLD), 0)
    photos = [encode_jpeg(draw_face(number)) for number in (1, 2)]
    same, other = (counter.verify(photos[0], reference=each) for each in photos)
    assert same.threshold_basis == info.verification_basis
    assert not same.HasField("fmr_at_similarity")
    known = STAND_IN_POINTS[0][1] <= other.similarity <= STAND_IN_POINTS[-1][1]
    assert other.HasField("fmr_at_similarity") == known
    shown = CliRunner().invoke(root, ["info", "--server", office.target], prog_name="gerbang").output
    assert "for the target of 1 of 1,000 strangers" in shown
    assert f"{STAND_IN_THRESHOLD:.4f}, known of the recogniser" in shown
    (tmp_path / "photo.jpg").write_bytes(photos[0])
    arguments = ["identify", str(tmp_path / "photo.jpg"), "--verbose", "--server", office.target]
    shown = CliRunner().invoke(root, arguments, prog_name="gerbang").output
    assert "threshold where a list has none of its own: 0." in shown
    assert "strangers among" in shown


def test_without_known_rates_a_threshold_says_so_and_a_target_is_refused(templates_server: RunningServer) -> None:
    """Nothing is made up of a recogniser that nobody has measured."""
    with WatchlistClient(templates_server.address, timeout=30) as desk:
        basis = desk.server_info().identification_basis
        assert (basis.source, basis.HasField("fmr"), basis.HasField("expected_fpir"), basis.points_source) == (
            pb.THRESHOLD_SOURCE_SETTING,
            False,
            False,
            "",
        )
        name = fresh("w")
        desk.create_watchlist(name)
        for change, of in ((desk.create_watchlist, fresh("w")), (desk.update_watchlist, name)):
            with pytest.raises(FieldInvalid, match="rates of this server's recogniser are not known"):
                change(of, target_fpir=0.1)
        desk.delete_watchlist(name)


def test_a_recogniser_is_known_by_its_hash_and_by_nothing_else(tmp_path: Path) -> None:
    """One point of buffalo_l; the stand-in's own; a folder's name says nothing, and nothing is guessed."""
    settings = Settings(data=tmp_path, pack="buffalo_l")
    rule, verification = thresholds_for(BUFFALO_L, settings)
    assert (rule.fixed, rule.target_fpir) == (None, 0.001)
    assert rule.of_server(1000).cosine == verification.cosine == as_float32(0.4078)
    stand_in = known_recogniser(stand_in_fingerprint())
    assert stand_in is not None
    assert stand_in.verification == STAND_IN_THRESHOLD
    for unknown in ("0" * 64, "buffalo_l", "stand-in", "", None):
        with pytest.raises(StartupError, match="no threshold is known"):
            thresholds_for(unknown, settings)
    fixed, verification = thresholds_for("0" * 64, Settings(data=tmp_path, pack="p", threshold=0.3))
    assert (fixed.of_server(9).cosine, verification.cosine, fixed.rates) == (as_float32(0.3), as_float32(0.3), None)
    with pytest.raises(StartupError, match="target_fpir: not together"):
        Settings(data=tmp_path, pack="p", threshold=0.3, target_fpir=0.1)
    for target in (0.0, 0.6):
        with pytest.raises(StartupError, match="target_fpir: must be"):
            Settings(data=tmp_path, pack="p", target_fpir=target)
