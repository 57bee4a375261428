"""A thread that searches does so alone: as many searches run at once as there are threads for them."""

from __future__ import annotations

import faiss


def search_alone() -> None:
    """Keep faiss from using threads of its own for what this thread asks; called in each thread that searches.

    OpenMP's threads would only get in the way of the others.
    """
    faiss.omp_set_num_threads(1)
