"""What a person at the command line can do about a failure."""

from __future__ import annotations

from typing import Final

from gerbang.errors import Busy, Cancelled, DeadlineExceeded, GerbangError, Unavailable

_BY_REASON: Final[dict[str, str]] = {
    "NO_FACE": "use a photo in which the whole face looks at the camera",
    "SEVERAL_FACES": "crop the photo to one person, or say --face largest",
    "FACE_TOO_SMALL": "use a photo taken from nearer, or with more pixels",
    "FACE_BLURRED": "use a sharper photo",
    "FACE_TURNED": "use a photo that looks straight at the camera",
    "FACE_TOO_DARK": "use a photo with more light",
    "FACE_TOO_BRIGHT": "use a photo with less light",
    "IMAGE_UNREADABLE": "send a whole JPEG, PNG, WebP, BMP or JPEG 2000 file",
    "IMAGE_TOO_LARGE": "send a smaller file; 1000 pixels across are plenty",
    "NO_FACE_PACK": "ask a server that was started with a face pack",
    "DATA_DAMAGED": "tell an operator: 'gerbang check' names what is damaged, and a backup has it",
    "SUBJECT_NOT_FOUND": "'gerbang subject list', for those who may ask it, shows who is enrolled",
    "TEMPLATE_NOT_FOUND": "'gerbang subject show' lists the subject's templates",
    "WATCHLIST_NOT_FOUND": "'gerbang watchlist list', for those who may ask it, shows all; an administrator makes "
    "one with 'gerbang watchlist create'",
    "SUBJECT_EXISTS": "the same person: --on-existing add, or replace for all there is; another: choose another id",
    "WATCHLIST_EXISTS": "'gerbang watchlist update' changes it",
    "WATCHLIST_NOT_EMPTY": "--force deletes it; its subjects stay enrolled",
    "SAMPLES_DIFFER": "look at the photos: is one of somebody else? --allow-different enrols them as one person anyway",
    "SECOND_PERSON_NEEDED": "'gerbang proposal confirm NUMBER' makes it, asked by somebody else",
    "PROPOSAL_NOT_FOUND": "'gerbang proposal list' shows those that wait",
    "TOO_MANY_PROPOSALS": "'gerbang proposal list' shows them; 'gerbang proposal withdraw NUMBER' gives one up",
    "SAME_PERSON": "ask somebody else whose role allows it",
    "REVISION_CONFLICT": "somebody changed it meanwhile: look at it again ('show'), and decide anew",
    "SUBJECT_HAS_NO_TEMPLATE": "enrol a photo of the subject first",
    "OVERLOADED": "try again in a moment",
    "NOT_READY": "try again in a moment",
    "SHUTTING_DOWN": "try again in a moment",
    "DEADLINE_TOO_SHORT": "allow more time with --timeout",
    "REVISION_NOT_REACHED": "try again, or ask for an earlier --min-revision",
    "STORE_UNAVAILABLE": "nothing was changed; look at the server's disk and log. A second after the disk has room, "
    "the same command works again",
    "UNAUTHENTICATED": "show a certificate that the server's policy names (--client-certificate and --client-key), or "
    "a token in force (--token-file)",
    "ROLE_DENIED": "ask as somebody whose role allows it",
    "WATCHLIST_DENIED": "keep to the lists that the caller is bound to, and leave the subject on one of them; or ask "
    "as somebody who is not bound to lists",
    "AUDIT_UNAVAILABLE": "look at the disk of the server's audit log; a second after it has room, run the same command "
    "again",
    # Of the command line itself:
    "DELETED_SINCE": "say --again if they are to be enrolled once more",
}
"""By reason of the error table. Reasons that are missing here say all there is to say in their message."""


_CLIENTS_OWN: Final = (
    "over TLS, --ca says whom to trust, and it may want --client-certificate and --client-key of an authority that it "
    "knows, not expired"
)
# gRPC words it alike whether the server was killed, or did not take a client's certificate after its own handshake.
_BROKEN_OFF: Final = (
    f"has the server ended meanwhile? Else who listens there turned the connection away: {_CLIENTS_OWN}"
)
_BY_HANDSHAKE: Final[dict[str, str]] = {
    "WRONG_VERSION_NUMBER": "who listens there speaks no TLS: is it the right port? Without --ca it is asked in the "
    "clear",
    "CERTIFICATE_VERIFY_FAILED: certificate has expired": "the server's certificate has expired, or the authority's",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not of an authority in --ca",
    "Hostname Verification Check failed": "the server's certificate is not for this name or address: ask under one "
    "that it has",
    "Socket closed": _BROKEN_OFF,
    "handshake failed": f"the handshake failed: {_CLIENTS_OWN}",
    "Connection reset": _BROKEN_OFF,
}
"""By how gRPC words a handshake that this end or the other refused; the first that fits. The other gives no reason."""


def advice(error: GerbangError) -> str:
    """Say what to do about it, or "" when the message says all."""
    if error.reason:
        return advice_on(error.reason)
    if isinstance(error, Unavailable):
        known = (advice for text, advice in _BY_HANDSHAKE.items() if text in error.message)
        return next(known, "is 'gerbang serve' running there? --server or GERBANG_SERVER names another")
    if isinstance(error, DeadlineExceeded):
        return "allow more time with --timeout"
    return ""


def advice_on(reason: str) -> str:
    """Say what to do about a reason of the error table, or ""."""
    return _BY_REASON.get(reason, "")


def may_succeed_later(error: GerbangError) -> bool:
    """Tell whether it lies with the server or the way to it, and not with what was sent."""
    return isinstance(error, Busy | Unavailable | DeadlineExceeded | Cancelled)
