"""What a call can fail with: always one of these, a plain `grpc.RpcError` never escapes.

GerbangError
├── InvalidRequest                the request is wrong and will stay wrong: fix it, don't repeat it
│   ├── FieldInvalid              FIELD_INVALID: `violations` name the fields
│   ├── TemplateInvalid           TEMPLATE_INVALID
│   ├── ImageRejected             the image can't be used; another photo may be
│   │   ├── ImageUnreadable       IMAGE_UNREADABLE
│   │   └── ImageTooLarge         IMAGE_TOO_LARGE
│   └── MessageTooLarge           request or answer are over a transport limit: ask for less at once
├── FaceRejected                  the image is fine, the face in it is not usable: take another photo
│   ├── NoFace                    NO_FACE
│   ├── SeveralFaces              SEVERAL_FACES
│   ├── FaceTooSmall              FACE_TOO_SMALL
│   ├── FaceBlurred               FACE_BLURRED
│   ├── FaceTurned                FACE_TURNED
│   ├── FaceTooDark               FACE_TOO_DARK
│   └── FaceTooBright             FACE_TOO_BRIGHT
├── NotFound                      there is nothing with that id
│   ├── SubjectNotFound           SUBJECT_NOT_FOUND
│   ├── TemplateNotFound          TEMPLATE_NOT_FOUND
│   ├── WatchlistNotFound         WATCHLIST_NOT_FOUND
│   └── ProposalNotFound          PROPOSAL_NOT_FOUND
├── AlreadyExists                 the id is taken
│   ├── SubjectExists             SUBJECT_EXISTS
│   └── WatchlistExists           WATCHLIST_EXISTS
├── StateConflict                 the request does not fit what the server is or holds
│   ├── WatchlistNotEmpty         WATCHLIST_NOT_EMPTY
│   ├── RevisionConflict          REVISION_CONFLICT: changed since; read it again, and decide anew
│   ├── SecondPersonNeeded        SECOND_PERSON_NEEDED: not done but proposed; another person confirms it
│   ├── TooManyProposals          TOO_MANY_PROPOSALS: withdraw some, or have them confirmed
│   ├── SubjectHasNoTemplate      SUBJECT_HAS_NO_TEMPLATE
│   ├── SamplesDiffer             SAMPLES_DIFFER
│   ├── ModelMismatch             MODEL_MISMATCH
│   ├── NoFacePack                NO_FACE_PACK
│   └── DataDamaged               DATA_DAMAGED
├── AccessDenied                  who called may not
│   ├── Unauthenticated           UNAUTHENTICATED: no certificate or token that the server knows
│   ├── RoleDenied                ROLE_DENIED
│   ├── WatchlistDenied           WATCHLIST_DENIED
│   └── SamePerson                SAME_PERSON
├── Busy                          OVERLOADED: try again in `retry_after_s`
├── Unavailable                   the server can't be reached, or can't now; later it may
│   ├── RevisionNotReached        REVISION_NOT_REACHED
│   ├── NotReady                  NOT_READY
│   ├── ShuttingDown              SHUTTING_DOWN
│   ├── StoreUnavailable          STORE_UNAVAILABLE
│   └── AuditUnavailable          AUDIT_UNAVAILABLE
├── DeadlineExceeded              DEADLINE_TOO_SHORT, or no answer in time: a change may have been made
├── Cancelled                     the client was closed
└── ServerFault                   a defect of the server, or an answer that this client does not understand

`FaceRejected` and `ImageRejected` are everyday at a gate; `Busy`, `Unavailable` and `DeadlineExceeded` are
worth a repeat; the rest asks for a person. A mistake that the client can see by itself (a `str` as probe, an
unknown direction) is a TypeError or ValueError, raised before anything is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of the request and what is wrong with it."""

    #: Path of the field, such as `samples[2].template.vector`.
    field: str
    #: What is wrong, for people.
    description: str


class GerbangError(Exception):
    """Base of all failures of a call.

    Nothing in it, and nothing that `str()` shows of it, is an image, a vector or a label, so it may be
    logged.
    """

    #: The gRPC status code.
    code: grpc.StatusCode
    #: Constant of the server's error table (`NO_FACE`, ...). Empty when the server did not say, as when it
    #: can't be reached.
    reason: str
    #: What happened, in English, for people.
    message: str
    #: What was measured, what the limit is, which id was meant.
    metadata: Mapping[str, str]
    #: The fields that are wrong; empty but for INVALID_ARGUMENT.
    violations: tuple[FieldViolation, ...]
    #: When to try again, seconds from now, >= 0. None: the server did not say.
    retry_after_s: float | None
    #: The id under which the server logged the call. Empty when it never got there.
    request_id: str

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after_s: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.reason or self.code.name}: {self.message}"


class InvalidRequest(GerbangError):
    """The request is wrong and will stay wrong."""


class FieldInvalid(InvalidRequest):
    """A field is missing, out of range or malformed; `violations` say which."""


class TemplateInvalid(InvalidRequest):
    """A vector of the wrong length, with NaN or infinity, or all zero."""


class ImageRejected(InvalidRequest):
    """The image can't be used."""


class ImageUnreadable(ImageRejected):
    """Not an image, a format that is not supported, or truncated."""


class ImageTooLarge(ImageRejected):
    """More bytes or more pixels than the server's limit."""


class MessageTooLarge(InvalidRequest):
    """The whole request is over the server's limit (64 MiB by default), or the answer over this client's (256 MiB).

    Fewer or smaller images, or a smaller page, pass.
    """


class FaceRejected(GerbangError):
    """The image can be read, but the face in it can't be used (failure to acquire)."""


class NoFace(FaceRejected):
    """No face was found."""


class SeveralFaces(FaceRejected):
    """More than one face where exactly one is needed."""


class FaceTooSmall(FaceRejected):
    """The eyes are too few pixels apart."""


class FaceBlurred(FaceRejected):
    """Out of focus or moved."""


class FaceTurned(FaceRejected):
    """The head is turned too far to its side."""


class FaceTooDark(FaceRejected):
    """Underexposed."""


class FaceTooBright(FaceRejected):
    """Overexposed."""


class NotFound(GerbangError):
    """There is nothing with that id."""


class SubjectNotFound(NotFound):
    """No subject with that id."""


class TemplateNotFound(NotFound):
    """The subject has no template with that id."""


class WatchlistNotFound(NotFound):
    """No watchlist with that id."""


class ProposalNotFound(NotFound):
    """No proposal waits under that id: it was confirmed or withdrawn, its time is over, or it never was."""


class AlreadyExists(GerbangError):
    """The id is taken."""


class SubjectExists(AlreadyExists):
    """A subject with that id is already enrolled."""


class WatchlistExists(AlreadyExists):
    """A watchlist with that id is already there."""


class StateConflict(GerbangError):
    """The request does not fit what the server is or holds."""


class WatchlistNotEmpty(StateConflict):
    """Subjects are on the watchlist that was to be deleted; `force=True` deletes it all the same."""


class RevisionConflict(StateConflict):
    """What was to be changed was changed by somebody else since: nothing was done. `metadata["revision"]`: its own now.

    Read it again, and decide anew.
    """


class SecondPersonNeeded(StateConflict):
    """A watchlist asks for two people to weaken it: nothing was changed, and the change waits as a proposal.

    Another person makes it with `confirm_proposal(error.proposal_id)`. `metadata`: `proposal_id`, `expire_time` until
    which it waits, and `watchlists` that it would weaken, separated by commas.
    """

    @property
    def proposal_id(self) -> str:
        """Id of the proposal."""
        return self.metadata.get("proposal_id", "")


class TooManyProposals(StateConflict):
    """So many of your changes of this subject or list wait for a second person already that no other may.

    Nothing was changed or proposed. Withdraw some, such as those that are stale. `metadata["proposals"]`: how many.
    """


class SubjectHasNoTemplate(StateConflict):
    """The subject to verify against has no template left."""


class SamplesDiffer(StateConflict):
    """Samples are of different faces, or of another than the subject's templates; nothing was stored.

    `metadata`: `samples` that differ, by number, a group for each face ("0,2;1"), `similarity` between them at most,
    `threshold`, and how many `templates` of the subject they were compared with. `allow_different=True` enrols them.
    """


class ModelMismatch(StateConflict):
    """A template of another recogniser than the server's; `metadata` names both."""


class NoFacePack(StateConflict):
    """An image was sent to a server of templates only."""


class DataDamaged(StateConflict):
    """What the server has stored of this can't be read: an operator must look; repeating changes nothing."""


class AccessDenied(GerbangError):
    """The server does not know who called, or who called may not do that."""


class Unauthenticated(AccessDenied):
    """No token, one that is unknown, revoked or expired, or a certificate that is in no policy.

    A certificate that the server does not trust at all never gets so far: the connection fails with Unavailable.
    """


class RoleDenied(AccessDenied):
    """The caller's role may not make this call, or not so; `metadata` names the role.

    A gate may not search with a threshold below the lowest in force, which `metadata` names.
    """


class WatchlistDenied(AccessDenied):
    """The caller is bound to other watchlists, or the subject is on others too, or would be left on none."""


class SamePerson(AccessDenied):
    """Who proposed a change can't confirm it, nor can anybody at a server that does not ask who calls."""


class Busy(GerbangError):
    """Too much work is waiting at the server.

    With the reason OVERLOADED nothing was done, and `retry_after_s` says when to try again. Without one the server was
    too busy to say even that: wait a second. It may have broken the call off, and then a change may have been made.
    """


class Unavailable(GerbangError):
    """The server can't be reached, or can't now. What may be repeated safely was, up to three times."""


class RevisionNotReached(Unavailable):
    """The gallery did not reach `min_revision` in time."""


class NotReady(Unavailable):
    """The server has started and still loads the gallery."""


class ShuttingDown(Unavailable):
    """The server takes no new work; ask another, or this one again in a moment."""


class StoreUnavailable(Unavailable):
    """The server's database can't be written or read; the change was not acknowledged."""


class AuditUnavailable(Unavailable):
    """The server can't record what was asked, and so does not do it or does not answer it."""


class DeadlineExceeded(GerbangError):
    """No answer in time. A change may have been made: an enroll repeated with its request_id is safe."""


class Cancelled(GerbangError):
    """The client was closed during the call."""


class ServerFault(GerbangError):
    """A defect of the server, whose message has the id to look for in its log; or an unknown answer."""
