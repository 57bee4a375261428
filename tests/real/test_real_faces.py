"""Real photographs through the running server, against InsightFace itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from gerbang import CounterClient, FaceRejected, GateClient, SamplesDiffer, WatchlistClient, enroll_request, error_of
from gerbang.v1 import matching_service_pb2 as pb
from running import RunningServer

# A third of what `make evaluation` takes, for which GERBANG_TEST_EFFORT is 3: a photo takes a tenth of a second.
_SHARE = min(3, int(os.environ.get("GERBANG_TEST_EFFORT", "1")))
WANTED = 100 * _SHARE
STRANGERS = 200 * _SHARE
DETECTOR_SIZE = 320
TOLERANCE = 1e-4


class Reference:
    """InsightFace as its own documentation uses it: FaceAnalysis.get, the largest face."""

    def __init__(self, pack: Path) -> None:
        from insightface.app import FaceAnalysis

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._analysis = FaceAnalysis(
            name=str(pack),
            allowed_modules=["detection", "recognition"],
            providers=["CPUExecutionProvider"],
            sess_options=options,
        )
        self._analysis.prepare(ctx_id=0, det_size=(DETECTOR_SIZE, DETECTOR_SIZE))

    def embedding(self, photo: Path) -> np.ndarray | None:
        """Return the unit-length embedding of the largest face, or None."""
        faces: list[Any] = self._analysis.get(cv2.imread(str(photo)))
        if not faces:
            return None
        largest = max(faces, key=lambda f: (f.bbox[2] - f.bbox[0]) * (f.bbox[3] - f.bbox[1]))
        return np.asarray(largest.normed_embedding, np.float64)


@pytest.fixture(scope="module")
def reference(real_pack: Path) -> Reference:
    """InsightFace on the real pack."""
    return Reference(real_pack)


@pytest.fixture(scope="module")
def people(real_faces: Path) -> dict[str, list[Path]]:
    """Photos by person, in order."""
    return {folder.name: sorted(folder.glob("*.jpg")) for folder in sorted(real_faces.iterdir()) if folder.is_dir()}


def test_a_template_equals_that_of_insightface_itself(
    real_server: RunningServer, reference: Reference, people: dict[str, list[Path]]
) -> None:
    """Extract gives the embedding of FaceAnalysis.get on the same pack: cosine >= 0.9999 for 100 photos."""
    photos = [photos[0] for photos in people.values()][:: len(people) // 100][:100]
    with GateClient(real_server.address, timeout=30) as gate:
        for photo in photos:
            expected = reference.embedding(photo)
            assert expected is not None
            vector = np.frombuffer(gate.extract(photo).template.vector, "<f4").astype(np.float64)
            assert vector @ expected >= 0.9999, photo.name


@dataclass(frozen=True)
class Evaluation:
    """A watchlist of WANTED people on the server, and the offline embeddings of all photos that take part."""

    server: RunningServer
    wanted: dict[str, np.ndarray]
    mated: dict[str, tuple[Path, np.ndarray]]
    strangers: dict[str, tuple[Path, np.ndarray]]


@pytest.fixture(scope="module")
def evaluation(real_server: RunningServer, reference: Reference, people: dict[str, list[Path]]) -> Evaluation:
    """Enrol the first photo of WANTED people; keep their second photos, and strangers, as probes."""
    pairs = {name: photos for name, photos in people.items() if len(photos) >= 2}
    wanted: dict[str, np.ndarray] = {}
    with WatchlistClient(real_server.address, timeout=60) as office:
        office.create_watchlist("evaluation", direction="both", action="refer_to_officer")
        requests = (
            enroll_request(name, [photos[0]], watchlists=["evaluation"], face_choice="largest")
            for name, photos in pairs.items()
        )
        for (name, photos), answer in zip(pairs.items(), office.enroll_stream(requests), strict=False):
            if error_of(answer) is None:
                embedding = reference.embedding(photos[0])
                assert embedding is not None
                wanted[name] = embedding
        for name in list(wanted)[WANTED:]:
            office.delete_subject(name)
            del wanted[name]
    assert len(wanted) == WANTED
    singles = [(name, photos[0]) for name, photos in people.items() if len(photos) == 1][:STRANGERS]
    return Evaluation(
        real_server, wanted, probes(reference, ((name, pairs[name][1]) for name in wanted)), probes(reference, singles)
    )


def probes(reference: Reference, photos: Any) -> dict[str, tuple[Path, np.ndarray]]:
    return {name: (photo, found) for name, photo in photos if (found := reference.embedding(photo)) is not None}


def test_every_answer_equals_an_exact_offline_comparison(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hits, candidates and scores of all wanted people and strangers are those of InsightFace's embeddings."""
    names = list(evaluation.wanted)
    gallery = np.stack([evaluation.wanted[name] for name in names])
    missed = false_hits = 0
    with GateClient(evaluation.server.address, timeout=30) as gate:
        mated = {name: ask(gate, photo) for name, (photo, _) in evaluation.mated.items()}
        strangers = {name: ask(gate, photo) for name, (photo, _) in evaluation.strangers.items()}
    answered = [(name, answer) for name, answer in (mated | strangers).items() if answer is not None]
    for name, answer in answered:
        check(answer, names, gallery @ (evaluation.mated | evaluation.strangers)[name][1])
        is_found = any(found.subject_id == name for found in answer.candidates)
        missed += name in mated and not is_found
        false_hits += name in strangers and answer.hit
    wanted_seen = sum(name in mated for name, _ in answered)
    strangers_seen = len(answered) - wanted_seen
    with capsys.disabled():
        print(
            f"\nIdentify, {len(names)} on the list, threshold {answered[0][1].threshold:.3f}: "
            f"FNIR {missed / wanted_seen:.4f} ({missed} of {wanted_seen}), "
            f"FPIR {false_hits / strangers_seen:.4f} ({false_hits} of {strangers_seen}), "
            f"FTA {WANTED + STRANGERS - len(answered)} of {WANTED + STRANGERS}"
        )
    assert len(answered) >= 0.99 * (WANTED + STRANGERS)
    assert missed / wanted_seen <= 0.06
    assert false_hits / strangers_seen <= 0.02


def ask(gate: GateClient, photo: Path) -> pb.IdentifyResponse | None:
    """Return the gate's answer, or None for a photo that it can't use."""
    try:
        return gate.identify(photo, watchlists=["evaluation"], max_candidates=100)
    except FaceRejected:
        return None


def check(answer: pb.IdentifyResponse, names: list[str], scores: np.ndarray) -> None:
    """Compare an answer with the exact scores of everyone on the list."""
    told = {found.subject_id: found.similarity for found in answer.candidates}
    for name, score in zip(names, scores, strict=True):
        if name in told:
            assert abs(told[name] - score) <= TOLERANCE
            assert score >= answer.threshold - TOLERANCE
        else:
            assert score < answer.threshold + TOLERANCE
    assert answer.hit == bool(told)
    assert list(told.values()) == sorted(told.values(), reverse=True)


def test_verification_equals_an_offline_comparison(evaluation: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    """Verify of the wanted as themselves and as the next one in the list gives the exact scores and decisions."""
    names = list(evaluation.mated)
    non_matches = false_matches = compared = 0
    with CounterClient(evaluation.server.address, timeout=30) as counter:
        for i, name in enumerate(names):
            photo, probe = evaluation.mated[name]
            impostor_of = names[(i + 1) % len(names)]
            try:
                genuine = counter.verify(photo, subject_id=name)
            except FaceRejected:  # counted by the test above
                continue
            compared += 1
            impostor = counter.verify(photo, subject_id=impostor_of)
            for answer, claimed in ((genuine, name), (impostor, impostor_of)):
                assert abs(answer.similarity - evaluation.wanted[claimed] @ probe) <= TOLERANCE
                assert answer.match == (answer.similarity >= answer.threshold)
            non_matches += not genuine.match
            false_matches += impostor.match
    with capsys.disabled():
        print(
            f"\nVerify, threshold {genuine.threshold:.3f}: FNMR {non_matches / compared:.4f} "
            f"({non_matches} of {compared}), FMR {false_matches / compared:.4f} ({false_matches} of {compared})"
        )
    assert non_matches / compared <= 0.05
    assert false_matches <= 1


def test_two_photographs_of_one_person_are_one_face_and_of_two_are_not(
    real_server: RunningServer, people: dict[str, list[Path]]
) -> None:
    """In one enrolment and added later; of six people whose photographs are as alike as most are."""
    chosen = [(name, photos[:2]) for name, photos in people.items() if len(photos) > 10][:6]
    with WatchlistClient(real_server.address, timeout=60) as office:
        for (name, (first, second)), (_, (other, _)) in pairwise(chosen):
            subject = f"one-face-{name}"
            with pytest.raises(SamplesDiffer) as caught:
                office.enroll(subject, [first, other], face_choice="largest")
            assert caught.value.metadata["samples"] == "0;1"
            office.enroll(subject, [first], face_choice="largest")
            with pytest.raises(SamplesDiffer):
                office.enroll(subject, [other], on_existing="add", face_choice="largest")
            added = office.enroll(subject, [second], on_existing="add", face_choice="largest")
            assert added.sample_results[0].similarity_to_subject > 0.412
            office.delete_subject(subject)
