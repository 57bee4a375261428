"""How a gallery is searched: what is chosen once, when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from gerbang_service.gallery.candidates.graph import GraphSettings


@dataclass(frozen=True, slots=True)
class GalleryOptions:
    """`sketch_bits`: 0 for the default of the dimension; `rescored`: rows that the sweep proposes for a probe.

    `processors`: how many may work on one search of a large gallery, as far as they are idle.
    """

    sketch_bits: int = 0
    rescored: int = 32
    graph: GraphSettings = field(default_factory=GraphSettings)
    processors: int = 1


def default_sketch_bits(dimension: int) -> int:
    """Return the bits of a sketch that were measured to miss nobody who matters (docs/search.md)."""
    return 512 if dimension >= 256 else 1024
