"""The stand-in face pack: finds and tells apart drawn faces, so that everything runs anywhere and offline.

It is a face pack in InsightFace's format, loaded by the same code as a real one, but it knows nothing of
photographs of people: it is for tests and demonstrations, and no server uses it unless told to.
"""

from gerbang_service.faces.standin.pack import STAND_IN_POINTS, STAND_IN_THRESHOLD, stand_in_fingerprint, write_pack

__all__ = ["STAND_IN_POINTS", "STAND_IN_THRESHOLD", "stand_in_fingerprint", "write_pack"]
