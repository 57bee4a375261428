"""What the service asks of whatever makes templates of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gerbang_service.domain.faces import CaptureChain, ExtractedFace, FaceChoice
from gerbang_service.faces.quality import QualityLimits


class FacePipeline(Protocol):
    """Makes templates of image files. Implementations: `faces/pipeline.py`; `faces/fake.py` is for tests.

    Thread-safe. Keeps nothing of an image: neither its bytes nor what was found in it. All pass
    `tests/faces/contract.py`.
    """

    @property
    def chain(self) -> CaptureChain:
        """What an image goes through before the recogniser. The same as long as the pipeline is there."""

    def extract(
        self, image: bytes, choice: FaceChoice, limits: QualityLimits, before_stage: Callable[[], None]
    ) -> ExtractedFace:
        """Make a template of the face that is meant in an image file. Blocks, for milliseconds to seconds.

        The same image gives the same template, to the bit, whatever else runs: float32 (dimension,), C-contiguous, unit
        length. `before_stage` is called before every expensive stage, the first included, and may raise to give up:
        that passes through, and the next call works.

        Raises ImageUnreadable; ImageTooLarge, before anything is decoded; NoFace; SeveralFaces, when the choice is
        ONLY; another FaceRejected, with `face` and what was measured, when a limit is not met; MemoryError when there
        is no memory for an image within the limits.
        """
