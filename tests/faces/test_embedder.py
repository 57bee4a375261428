"""What a recogniser gives becomes a template, or a failure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gerbang_service.faces.embedder import Embedder

BLACK = np.zeros((8, 8, 3), np.uint8)


class Session:
    """Gives the same vector for everything."""

    def __init__(self) -> None:
        self.vector: NDArray[np.float32] = np.array([3, 4], np.float32)

    def run(self, _: object, blobs: dict[str, Any]) -> list[NDArray[np.float32]]:
        return [np.tile(self.vector, (len(blobs["data"]), 1))]


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def embedder(session: Session) -> Embedder:
    """An embedder of a recogniser that is only a session."""
    model = SimpleNamespace(
        session=session,
        input_size=(8, 8),
        input_mean=127.5,
        input_std=127.5,
        input_shape=[None, 3, 8, 8],
        input_name="data",
        output_names=["vector"],
    )
    return Embedder(model, model)


def test_template_is_of_unit_length(embedder: Embedder) -> None:
    """Its direction is the recogniser's."""
    assert embedder.embed([BLACK])[0].tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("vector", [(np.nan, 1), (np.inf, 1), (0, 0)], ids=str)
def test_vector_without_direction_is_a_failure(
    embedder: Embedder, session: Session, vector: tuple[float, float]
) -> None:
    """It is not made a template, which would be stored and never match anything."""
    session.vector = np.array(vector, np.float32)
    with pytest.raises(ArithmeticError):
        embedder.embed([BLACK])
