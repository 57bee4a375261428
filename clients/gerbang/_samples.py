"""What callers have of a face, as a Sample: an image file, its bytes, a template or a vector of floats."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Protocol, SupportsFloat, TypeAlias

from gerbang._choices import Choice, face_choice_value
from gerbang.v1.sample_pb2 import Sample, Template


class Vector(Protocol):
    """A sequence of numbers: a list, an `array.array`, a one-dimensional NumPy array or tensor."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[SupportsFloat]: ...


#: What stands for a face in a call:
#: - `bytes`, or another buffer of bytes: a whole image file (JPEG, PNG, WebP, BMP, JPEG 2000), not decoded
#:   pixels;
#: - a path (`pathlib.Path`): an image file, read at once, so that OSError may be raised;
#: - `Template`: what `extract` returned; it carries its recogniser's fingerprint;
#: - a vector of floats, shape (dimension,): a template trusted to be of the server's recogniser. Sent as
#:   float32;
#: - `Sample`: a ready message.
#: A `str` is none of them: it could be a path, an id or base64.
Probe: TypeAlias = bytes | os.PathLike[str] | Template | Sample | Vector

# Formats of the buffer protocol, without their byte order.
_BYTES = frozenset("Bbc")
_FLOATS = frozenset("efd")


def to_sample(probe: Probe, face_choice: Choice | None = None) -> Sample:
    """Make a Sample; the caller's own message is never changed.

    `face_choice` counts for images; None keeps that of a Sample, else leaves it to the server. Raises
    TypeError for what is not a Probe, ValueError for an empty vector or a number that float32 can't hold,
    OSError for a file that can't be read.
    """
    choice = face_choice_value(face_choice)
    if isinstance(probe, Sample):
        sample = Sample()
        sample.CopyFrom(probe)
        if face_choice is not None:
            sample.face_choice = choice
        return sample
    if isinstance(probe, Template):
        return Sample(template=probe)
    image = image_of(probe)
    if image is not None:
        return Sample(image=image, face_choice=choice)
    return Sample(template=Template(vector=vector_bytes(probe)))


def image_of(probe: object) -> bytes | None:
    """Return the bytes of an image file, or None when `probe` is no image.

    Raises TypeError for a `str` and for decoded pixels, OSError for a file that can't be read.
    """
    if isinstance(probe, str):
        raise TypeError("a str is no image: use pathlib.Path for a file, bytes for its content")
    if isinstance(probe, bytes):
        return probe
    if isinstance(probe, os.PathLike):
        return Path(os.fsdecode(probe)).read_bytes()
    view = _buffer(probe)
    if view is None or view.format.lstrip("@=<>!") not in _BYTES:
        return None
    if view.ndim != 1:
        raise TypeError(f"decoded pixels of shape {view.shape} are no image file: encode them (JPEG, PNG) first")
    return view.tobytes()


def vector_bytes(vector: object) -> bytes:
    """Return a vector of floats as little-endian float32, on a machine of either byte order.

    Raises TypeError for what is no sequence of numbers, ValueError when it is empty, not one-dimensional or
    holds a number beyond float32 (3.4e38). NaN and infinity pass: the server refuses them as
    TEMPLATE_INVALID.
    """
    view = _buffer(vector)
    if view is not None and view.ndim != 1:
        raise ValueError(f"a vector has one dimension, not the shape {view.shape}")
    numbers = _numbers(vector if view is None else view)
    if isinstance(numbers, bytes):
        packed = numbers
    else:
        try:
            packed = struct.pack(f"<{len(numbers)}f", *numbers)
        except struct.error as error:
            raise TypeError(f"{type(vector).__name__} is no face: {error}") from error
        except OverflowError as error:
            raise ValueError("the vector has a number that float32 can't hold") from error
    if not packed:
        raise ValueError("the vector is empty")
    return packed


def _numbers(vector: object) -> bytes | list[object] | tuple[object, ...]:
    """Return the numbers of a vector, or their bytes when they already are little-endian float32."""
    if isinstance(vector, memoryview):
        kind = vector.format.lstrip("@=<>!")
        if kind not in _FLOATS:
            raise TypeError(f"a buffer of '{vector.format}' is no face: use float32 for a vector, bytes for an image")
        # Unpacked by struct and not by memoryview, which reads no byte order but the machine's own.
        order = vector.format[0] if len(vector.format) > 1 else "="
        little = struct.pack(f"{order}h", 1) == struct.pack("<h", 1)
        raw = vector.tobytes()
        return raw if kind == "f" and little else struct.unpack(f"{order}{len(vector)}{kind}", raw)
    if isinstance(vector, Mapping | AbstractSet) or not (hasattr(vector, "__len__") and hasattr(vector, "__iter__")):
        raise TypeError(
            f"{type(vector).__name__} is no face: use bytes, a Path, a Template, a Sample or a float vector"
        )
    return list(vector)


def _buffer(value: object) -> memoryview | None:
    try:
        return memoryview(value)  # type: ignore[arg-type]  # this is how one finds out
    except (TypeError, ValueError, BufferError):
        return None
