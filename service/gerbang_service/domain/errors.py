"""Everything that can go wrong, as exceptions that carry a reason a client can act on.

GerbangError
├── InputError                    the request is wrong and will stay wrong
│   ├── FieldInvalid              FIELD_INVALID
│   ├── TemplateInvalid           TEMPLATE_INVALID
│   ├── ImageUnreadable           IMAGE_UNREADABLE
│   └── ImageTooLarge             IMAGE_TOO_LARGE
├── FaceRejected                  the image is fine, the face in it is not usable
│   ├── NoFace                    NO_FACE
│   ├── SeveralFaces              SEVERAL_FACES
│   ├── FaceTooSmall              FACE_TOO_SMALL
│   ├── FaceBlurred               FACE_BLURRED
│   ├── FaceTurned                FACE_TURNED
│   ├── FaceTooDark               FACE_TOO_DARK
│   └── FaceTooBright             FACE_TOO_BRIGHT
├── StateError                    the request does not fit what is stored
│   ├── SubjectNotFound           SUBJECT_NOT_FOUND
│   ├── TemplateNotFound          TEMPLATE_NOT_FOUND
│   ├── WatchlistNotFound         WATCHLIST_NOT_FOUND
│   ├── SubjectExists             SUBJECT_EXISTS
│   ├── WatchlistExists           WATCHLIST_EXISTS
│   ├── WatchlistNotEmpty         WATCHLIST_NOT_EMPTY
│   ├── RevisionConflict          REVISION_CONFLICT
│   ├── SubjectHasNoTemplate      SUBJECT_HAS_NO_TEMPLATE
│   ├── SamplesDiffer             SAMPLES_DIFFER
│   ├── ModelMismatch             MODEL_MISMATCH
│   ├── NoFacePack                NO_FACE_PACK
│   ├── SecondPersonNeeded        SECOND_PERSON_NEEDED
│   ├── ProposalNotFound          PROPOSAL_NOT_FOUND
│   ├── TooManyProposals          TOO_MANY_PROPOSALS
│   └── DataDamaged               DATA_DAMAGED
├── AccessRefused                 who calls may not
│   ├── Unauthenticated           UNAUTHENTICATED
│   ├── RoleDenied                ROLE_DENIED
│   ├── WatchlistDenied           WATCHLIST_DENIED
│   └── SamePerson                SAME_PERSON
├── ServiceError                  the server can't now; later it may
│   ├── RevisionNotReached        REVISION_NOT_REACHED
│   ├── Overloaded                OVERLOADED
│   ├── DeadlineTooShort          DEADLINE_TOO_SHORT
│   ├── NotReady                  NOT_READY
│   ├── ShuttingDown              SHUTTING_DOWN
│   ├── StoreUnavailable          STORE_UNAVAILABLE
│   └── AuditUnavailable          AUDIT_UNAVAILABLE
└── StartupError                  the server refuses to start (never crosses the wire)

Messages never contain a vector, an image or a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gerbang_service.domain.face_errors import (
    FaceBlurred,
    FaceRejected,
    FaceTooBright,
    FaceTooDark,
    FaceTooSmall,
    FaceTurned,
    NoFace,
    SeveralFaces,
)
from gerbang_service.domain.failure import GerbangError
from gerbang_service.domain.service_errors import (
    AuditUnavailable,
    DeadlineTooShort,
    NotReady,
    Overloaded,
    RevisionNotReached,
    ServiceError,
    ShuttingDown,
    StoreUnavailable,
)

# What is defined elsewhere, and is of this tree.
__all__ = [
    "AuditUnavailable",
    "DeadlineTooShort",
    "FaceBlurred",
    "FaceRejected",
    "FaceTooBright",
    "FaceTooDark",
    "FaceTooSmall",
    "FaceTurned",
    "GerbangError",
    "NoFace",
    "NotReady",
    "Overloaded",
    "RevisionNotReached",
    "ServiceError",
    "SeveralFaces",
    "ShuttingDown",
    "StoreUnavailable",
]


class InputError(GerbangError):
    """The request is wrong and will stay wrong."""


class FieldInvalid(InputError):
    """A field of the request is missing, out of range or malformed; `metadata["field"]` is its path."""

    reason = "FIELD_INVALID"

    def __init__(self, field: str, message: str, **metadata: object) -> None:
        super().__init__(f"{field}: {message}", field=field, **metadata)
        self.description = message


class TemplateInvalid(InputError):
    """A vector of the wrong length, with NaN or infinity, or all zero."""

    reason = "TEMPLATE_INVALID"


class ImageUnreadable(InputError):
    """Not an image, a format that is not supported, or truncated."""

    reason = "IMAGE_UNREADABLE"


class ImageTooLarge(InputError):
    """More bytes or more pixels than the limit."""

    reason = "IMAGE_TOO_LARGE"


class StateError(GerbangError):
    """The request does not fit what is stored."""


class SubjectNotFound(StateError):
    """No subject with that id."""

    reason = "SUBJECT_NOT_FOUND"


class TemplateNotFound(StateError):
    """The subject has no template with that id."""

    reason = "TEMPLATE_NOT_FOUND"


class WatchlistNotFound(StateError):
    """No watchlist with that id."""

    reason = "WATCHLIST_NOT_FOUND"


class SubjectExists(StateError):
    """A subject with that id is already enrolled."""

    reason = "SUBJECT_EXISTS"


class WatchlistExists(StateError):
    """A watchlist with that id is already there."""

    reason = "WATCHLIST_EXISTS"


class WatchlistNotEmpty(StateError):
    """Subjects are on the watchlist that was to be deleted."""

    reason = "WATCHLIST_NOT_EMPTY"


class RevisionConflict(StateError):
    """What was to be changed was changed since the state that the change was made from; `metadata["revision"]`: now."""

    reason = "REVISION_CONFLICT"


class SubjectHasNoTemplate(StateError):
    """The subject to verify against has no template left."""

    reason = "SUBJECT_HAS_NO_TEMPLATE"


class SamplesDiffer(StateError):
    """Samples of one subject show different faces, or another than its templates do."""

    reason = "SAMPLES_DIFFER"


class ModelMismatch(StateError):
    """A template of another recogniser than the server's; never compared."""

    reason = "MODEL_MISMATCH"


class NoFacePack(StateError):
    """An image was sent to a server of templates only."""

    reason = "NO_FACE_PACK"


class SecondPersonNeeded(StateError):
    """A list asks for two people to weaken it: the change was not made, and is proposed where `proposal_id` is told."""

    reason = "SECOND_PERSON_NEEDED"


class ProposalNotFound(StateError):
    """No open proposal with that id: it was confirmed or withdrawn, has ended, or never was."""

    reason = "PROPOSAL_NOT_FOUND"


class TooManyProposals(StateError):
    """So many changes of one subject or list as one person may have wait for a second person already."""

    reason = "TOO_MANY_PROPOSALS"


class DataDamaged(StateError):
    """What is stored of one thing can't be read: damaged, or tampered with. Repeating the call changes nothing."""

    reason = "DATA_DAMAGED"


class AccessRefused(GerbangError):
    """Who calls may not do this."""


class Unauthenticated(AccessRefused):
    """It is not known who calls: no token, one that is unknown, revoked or expired, or a certificate without a role."""

    reason = "UNAUTHENTICATED"


class RoleDenied(AccessRefused):
    """The caller's role may not call this rpc."""

    reason = "ROLE_DENIED"


class WatchlistDenied(AccessRefused):
    """The caller is bound to other watchlists."""

    reason = "WATCHLIST_DENIED"


class SamePerson(AccessRefused):
    """Who proposed a change can't confirm it, nor can who is not told apart from them."""

    reason = "SAME_PERSON"


class StartupError(GerbangError):
    """The server refuses to start, and says why."""

    reason = "STARTUP_REFUSED"


REFUSALS_OF_A_SAMPLE: Final = (FaceRejected, InputError, ModelMismatch)
"""What makes one sample unusable, as opposed to the whole request."""


@contextmanager
def naming_the_sample(field: str) -> Iterator[None]:
    """Say of which field's sample a refusal is, as `metadata["field"]`, where it does not name a field itself."""
    try:
        yield
    except REFUSALS_OF_A_SAMPLE as refused:
        refused.metadata.setdefault("field", field)
        raise
