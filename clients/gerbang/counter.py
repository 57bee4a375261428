# ruff: noqa: ASYNC109 - a gRPC deadline reaches the server, so that it stops too; asyncio.timeout does not
"""The client of an immigration counter, which asks whether this is the person that the passport says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gerbang._clients import AsyncClient, SyncClient
from gerbang._requests import verify_request

if TYPE_CHECKING:
    from gerbang._choices import Choice
    from gerbang._samples import Probe
    from gerbang.v1.matching_service_pb2 import VerifyResponse


class CounterClient(SyncClient):
    """Compares two faces. Thread-safe; close it, or use `with`.

    `CounterClient(target="127.0.0.1:50051", *, timeout=5.0, credentials=None, token=None, insecure=False, options=())`:
    see `Client`.
    Every call may raise any GerbangError; TypeError, ValueError and OSError are about its arguments and come
    before anything is sent.
    """

    def verify(
        self,
        probe: Probe,
        *,
        subject_id: str | None = None,
        reference: Probe | None = None,
        threshold: float | None = None,
        min_revision: int = 0,
        face_choice: Choice | None = None,
        timeout: float | None = None,
    ) -> VerifyResponse:
        """Compare the face at the counter with an enrolled subject or with another face: exactly one of them.

        subject_id: the best of the subject's templates counts, whatever its validity.
        reference: the other face, such as the photo of the passport chip; see Probe.
        threshold: cosine similarity, -1 to 1, from which on it is a match. None: the server's.
        min_revision: answer only from a gallery at this revision or later (the answer of an enrolment has its
            `revision`); the server waits for it, at most 5 s. 0: as it is now.
        face_choice: "largest" (default) or "only", for both images.
        timeout: seconds. None: the client's.
        The answer has `match`, `similarity` (-1 to 1, no probability) and the `threshold` that was applied.
        Raises FaceRejected, ImageRejected, RevisionNotReached, SubjectNotFound, SubjectHasNoTemplate or another
        GerbangError.
        """
        request = verify_request(
            probe,
            subject_id=subject_id,
            reference=reference,
            threshold=threshold,
            min_revision=min_revision,
            face_choice=face_choice,
        )
        return self._call(self._matching.Verify, request, timeout)


class AsyncCounterClient(AsyncClient):
    """CounterClient for asyncio: the same calls with the same arguments, answers and errors, awaited."""

    async def verify(
        self,
        probe: Probe,
        *,
        subject_id: str | None = None,
        reference: Probe | None = None,
        threshold: float | None = None,
        min_revision: int = 0,
        face_choice: Choice | None = None,
        timeout: float | None = None,
    ) -> VerifyResponse:
        """Compare the face at the counter with a subject or another face; see CounterClient.verify."""
        request = verify_request(
            probe,
            subject_id=subject_id,
            reference=reference,
            threshold=threshold,
            min_revision=min_revision,
            face_choice=face_choice,
        )
        return await self._call(self._matching.Verify, request, timeout)
