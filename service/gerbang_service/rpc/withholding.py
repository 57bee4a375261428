"""What an answer does not tell its caller, and yet is on record."""

from __future__ import annotations

from typing import Any

from gerbang.v1 import matching_service_pb2 as pb
from gerbang_service.access.calls import Call, OneByOne
from gerbang_service.access.identity import Role


class Withholding(OneByOne):
    """The last observer of an answer: takes out of it what those before it have noted and its caller must not learn.

    A gate learns how similar the best is of a hit, silent ones included, and of no other traveller: who may ask by the
    thousand could climb from face to face towards one that is on a list. An identity of no role is refused, and who
    asks a server without any access control is an administrator, who may look at all lists.
    """

    async def answered(self, call: Call, request: Any, response: Any) -> None:  # noqa: ANN401, ARG002
        """Take it out of an answer, or of each in a batch."""
        if call.identity is not None and call.identity.role is not Role.GATE:
            return
        if isinstance(response, pb.IdentifyResponse):
            _withhold(response)
        elif isinstance(response, pb.IdentifyBatchResponse):
            for each in response.responses:
                _withhold(each)

    async def failed(self, call: Call, request: Any, status: Any) -> None:  # noqa: ANN401
        """Do nothing: a failure tells no similarity."""


def _withhold(response: pb.IdentifyResponse) -> None:
    if not response.candidates:
        response.ClearField("top_similarity")
        response.ClearField("fmr_at_similarity")
