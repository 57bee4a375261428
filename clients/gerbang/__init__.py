"""Gerbang's client: asks whether the face at a gate is on a watchlist, and whose face it is.

A gate in a few lines::

    from pathlib import Path
    from gerbang import GateClient

    with GateClient("127.0.0.1:50051") as gate:
        answer = gate.identify(Path("face.jpg"), direction="arrival")
        for found in answer.candidates:  # for the officers: of a silent hit the traveller notices nothing
            print(found.subject_id, found.similarity)
        print("stop" if answer.hit else "pass")

`GateClient` identifies, `CounterClient` verifies, `WatchlistClient` enrols; each has an `Async` twin with the
same calls. A face is given as an image file, its bytes, a template or a vector of floats (`Probe`). A failed
call raises a `GerbangError`, whose tree is in `gerbang.errors`. `gerbang.v1` has all messages of the wire.

A server that is not on this machine is asked over TLS (or `insecure=True` says that faces may be seen on the way), and
told who asks by a certificate or a token::

    GateClient("gerbang.example:50051", credentials=tls(ca=Path("ca.pem"), certificate=Path("gate-7.pem"),
                                                        key=Path("gate-7.key")))
    GateClient("gerbang.example:50052", credentials=tls(ca=Path("ca.pem")), token="gbt_...")
"""

from gerbang._choices import Choice
from gerbang._clients import AsyncClient, Client, SyncClient
from gerbang._error_mapping import error_of
from gerbang._options import EnrollOptions, IdentifyOptions, SubjectFields, WatchlistFields
from gerbang._requests import enroll_request
from gerbang._samples import Probe, Vector
from gerbang._tls import tls
from gerbang.counter import AsyncCounterClient, CounterClient
from gerbang.errors import (
    AccessDenied,
    AlreadyExists,
    AuditUnavailable,
    Busy,
    Cancelled,
    DataDamaged,
    DeadlineExceeded,
    FaceBlurred,
    FaceRejected,
    FaceTooBright,
    FaceTooDark,
    FaceTooSmall,
    FaceTurned,
    FieldInvalid,
    FieldViolation,
    GerbangError,
    ImageRejected,
    ImageTooLarge,
    ImageUnreadable,
    InvalidRequest,
    MessageTooLarge,
    ModelMismatch,
    NoFace,
    NoFacePack,
    NotFound,
    NotReady,
    ProposalNotFound,
    RevisionConflict,
    RevisionNotReached,
    RoleDenied,
    SamePerson,
    SamplesDiffer,
    SecondPersonNeeded,
    ServerFault,
    SeveralFaces,
    ShuttingDown,
    StateConflict,
    StoreUnavailable,
    SubjectExists,
    SubjectHasNoTemplate,
    SubjectNotFound,
    TemplateInvalid,
    TemplateNotFound,
    TooManyProposals,
    Unauthenticated,
    Unavailable,
    WatchlistDenied,
    WatchlistExists,
    WatchlistNotEmpty,
    WatchlistNotFound,
)
from gerbang.gate import AsyncGateClient, GateClient
from gerbang.office import WatchlistClient
from gerbang.office_async import AsyncWatchlistClient
from gerbang.v1.matching_service_pb2 import (
    Candidate,
    Decision,
    EnrollRequest,
    EnrollResponse,
    EnrollWarning,
    ExtractResponse,
    IdentifyResponse,
    Lack,
    OnExisting,
    SampleResult,
    VerifyResponse,
)
from gerbang.v1.plan_pb2 import Plan
from gerbang.v1.sample_pb2 import Box, Face, FaceChoice, Point, Quality, Sample, Template
from gerbang.v1.subject_pb2 import Subject, TemplateInfo
from gerbang.v1.watchlist_pb2 import Action, Direction, Watchlist
from gerbang.v1.watchlist_service_pb2 import Generator, GetServerInfoResponse, GraphProgress, Proposal

__all__ = [
    "AccessDenied",
    "Action",
    "AlreadyExists",
    "AsyncClient",
    "AsyncCounterClient",
    "AsyncGateClient",
    "AsyncWatchlistClient",
    "AuditUnavailable",
    "Box",
    "Busy",
    "Cancelled",
    "Candidate",
    "Choice",
    "Client",
    "CounterClient",
    "DataDamaged",
    "DeadlineExceeded",
    "Decision",
    "Direction",
    "EnrollOptions",
    "EnrollRequest",
    "EnrollResponse",
    "EnrollWarning",
    "ExtractResponse",
    "Face",
    "FaceBlurred",
    "FaceChoice",
    "FaceRejected",
    "FaceTooBright",
    "FaceTooDark",
    "FaceTooSmall",
    "FaceTurned",
    "FieldInvalid",
    "FieldViolation",
    "GateClient",
    "Generator",
    "GerbangError",
    "GetServerInfoResponse",
    "GraphProgress",
    "IdentifyOptions",
    "IdentifyResponse",
    "ImageRejected",
    "ImageTooLarge",
    "ImageUnreadable",
    "InvalidRequest",
    "Lack",
    "MessageTooLarge",
    "ModelMismatch",
    "NoFace",
    "NoFacePack",
    "NotFound",
    "NotReady",
    "OnExisting",
    "Plan",
    "Point",
    "Probe",
    "Proposal",
    "ProposalNotFound",
    "Quality",
    "RevisionConflict",
    "RevisionNotReached",
    "RoleDenied",
    "SamePerson",
    "Sample",
    "SampleResult",
    "SamplesDiffer",
    "SecondPersonNeeded",
    "ServerFault",
    "SeveralFaces",
    "ShuttingDown",
    "StateConflict",
    "StoreUnavailable",
    "Subject",
    "SubjectExists",
    "SubjectFields",
    "SubjectHasNoTemplate",
    "SubjectNotFound",
    "SyncClient",
    "Template",
    "TemplateInfo",
    "TemplateInvalid",
    "TemplateNotFound",
    "TooManyProposals",
    "Unauthenticated",
    "Unavailable",
    "Vector",
    "VerifyResponse",
    "Watchlist",
    "WatchlistClient",
    "WatchlistDenied",
    "WatchlistExists",
    "WatchlistFields",
    "WatchlistNotEmpty",
    "WatchlistNotFound",
    "enroll_request",
    "error_of",
    "tls",
]
