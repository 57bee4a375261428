"""The Gerbang server."""

import os

# Searches and images are spread over threads of their own. OpenBLAS's would only spin beside them: on two cores a
# product of a few vectors took a hundred times as long. Said here, as NumPy reads it when it is imported, and whatever
# imports that imports this first.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
