"""What an answer does not tell its caller, and yet is on record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gerbang.v1 import matching_service_pb2 as pb
from gerbang_service.access.calls import Call, OneByOne
from gerbang_service.access.identity import Role


class Withholding(OneByOne):
    """The last observer of an answer: takes out of it what those before it have noted and its caller must not learn.

    A gate learns how similar the best of its candidates is, those of silent alerts too, and of nobody else: who may ask
    by the thousand could climb from face to face towards one that is on a list. Where lists have several thresholds
    somebody may be more similar than a candidate, and be none: a face that is mixed with one that is known to be found
    would be an answer to each step. An identity of no role is refused, and who
    asks a server without any access control is an administrator, who may look at all lists.
    """

    def __init__(self, fmr_at: Callable[[float], float | None]) -> None:
        """`fmr_at`: tells the false match rate at a similarity, None where it is not known."""
        self._fmr_at = fmr_at

    async def answered(self, call: Call, request: Any, response: Any) -> None:  # noqa: ANN401, ARG002
        """Take it out of an answer, or of each in a batch."""
        if call.identity is not None and call.identity.role is not Role.GATE:
            return
        if isinstance(response, pb.IdentifyResponse):
            self._withhold(response)
        elif isinstance(response, pb.IdentifyBatchResponse):
            for each in response.responses:
                self._withhold(each)

    async def failed(self, call: Call, request: Any, status: Any) -> None:  # noqa: ANN401
        """Do nothing: a failure tells no similarity."""

    def _withhold(self, response: pb.IdentifyResponse) -> None:
        best = max((each.similarity for each in response.candidates), default=None)
        if best == response.top_similarity:
            return
        response.ClearField("top_similarity")
        response.ClearField("fmr_at_similarity")
        if best is not None:
            response.top_similarity = best
            if (fmr := self._fmr_at(best)) is not None:
                response.fmr_at_similarity = fmr
