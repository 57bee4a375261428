"""What can be wrong with a face that was found, or was not; see errors.py for the tree of all errors."""

from __future__ import annotations

from gerbang_service.domain.faces import DetectedFace
from gerbang_service.domain.failure import GerbangError


class FaceRejected(GerbangError):
    """The image can be read, but the face in it can't be used (failure to acquire). `face`: the one found, if any."""

    face: DetectedFace | None = None


class NoFace(FaceRejected):
    """No face was found."""

    reason = "NO_FACE"


class SeveralFaces(FaceRejected):
    """More than one face where exactly one is needed."""

    reason = "SEVERAL_FACES"


class FaceTooSmall(FaceRejected):
    """The eyes are too few pixels apart."""

    reason = "FACE_TOO_SMALL"


class FaceBlurred(FaceRejected):
    """Out of focus or moved."""

    reason = "FACE_BLURRED"


class FaceTurned(FaceRejected):
    """The head is turned too far to its side."""

    reason = "FACE_TURNED"


class FaceTooDark(FaceRejected):
    """Underexposed."""

    reason = "FACE_TOO_DARK"


class FaceTooBright(FaceRejected):
    """Overexposed."""

    reason = "FACE_TOO_BRIGHT"
