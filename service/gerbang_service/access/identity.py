"""Roles, what each may call, and who a caller is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from gerbang_service.domain.errors import RoleDenied, WatchlistDenied


class Role(Enum):
    """What a caller is for. Nobody has two: who does two things has two identities."""

    GATE = "gate"
    COUNTER = "counter"
    ENROLMENT = "enrolment"
    AUDITOR = "auditor"
    ADMIN = "admin"


# Everyone must know what server this is: its recogniser, its thresholds.
_ALL = {"GetServerInfo"}
_SEEN = {"GetSubject", "ListSubjects", "GetWatchlist", "ListWatchlists", "ListProposals", "GetProposal"}
# Within them, what a role may not change itself it can't confirm either: see changing/proposals.py.
_SECOND = {"ConfirmProposal", "WithdrawProposal"}
# By name alone: no two rpcs of the package share one.
RPCS: Mapping[Role, frozenset[str]] = {
    Role.GATE: frozenset(_ALL | {"Identify", "IdentifyStream", "IdentifyBatch", "Extract"}),
    Role.COUNTER: frozenset(_ALL | {"Verify", "Extract"}),
    Role.ENROLMENT: frozenset(
        _ALL
        | _SEEN
        | _SECOND
        | {"Enroll", "EnrollStream", "Extract", "UpdateSubject", "DeleteSubject", "DeleteTemplate"}
    ),
    Role.AUDITOR: frozenset(_ALL | _SEEN | {"MeasureRecall"}),
    Role.ADMIN: frozenset(
        _ALL
        | _SEEN
        | _SECOND
        | {"Identify", "IdentifyStream", "IdentifyBatch", "Extract", "Verify", "Enroll", "EnrollStream"}
        | {"UpdateSubject", "DeleteSubject", "DeleteTemplate", "MeasureRecall"}
        | {"CreateWatchlist", "UpdateWatchlist", "DeleteWatchlist"}
    ),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller. `name`: from the certificate, the token or "local"; `watchlists`: bound to these, None for all.

    `told_apart`: whether it is known who calls, so that two callers may be two people.
    """

    name: str
    role: Role
    watchlists: frozenset[str] | None = None
    told_apart: bool = True

    def __post_init__(self) -> None:
        """Refuse to be bound to no list at all: a search of no list means all of them elsewhere."""
        if self.watchlists is not None and not self.watchlists:
            raise ValueError("an identity is bound to at least one watchlist, or None for all")

    def check_rpc(self, rpc: str) -> None:
        """Raise RoleDenied when the role may not call this rpc."""
        if rpc not in RPCS[self.role]:
            raise RoleDenied(f"role {self.role.value} may not call {rpc}", role=self.role.value, rpc=rpc)

    def check_watchlists(self, names: Collection[str]) -> None:
        """Raise WatchlistDenied when one of these lists is beyond what the identity is bound to."""
        if self.watchlists is not None and (beyond := sorted(set(names) - self.watchlists)):
            raise WatchlistDenied(f"{self.name} may not use watchlist {beyond[0]}", watchlist_id=beyond[0])

    def may_be_another_than(self, name: str) -> bool:
        """Tell whether the identity of this name may be another person's.

        Tokens are named NAME#ID: two of one name are one person's, as when one is given in the place of another. So are
        names that differ in capitals only. A token that was made without a name is anybody's.
        """
        mine, others = whose(self.name), whose(name)
        return self.told_apart and bool(mine and others) and mine != others

    @property
    def lowers_thresholds(self) -> bool:
        """Whether a threshold of the caller's may be below those in force.

        Not a gate's: with a threshold of -1 everybody is a hit, so it would be told face by face who is on its lists.
        """
        return self.role is not Role.GATE

    def sees(self, watchlists: Collection[str]) -> bool:
        """Tell whether a subject on these lists is any of the caller's business: bound, on one of its own."""
        return self.watchlists is None or not self.watchlists.isdisjoint(watchlists)


def whose(name: str) -> str:
    """Return what is the same in the names of all identities of one person; empty for a token that names nobody."""
    person, _, token = name.partition("#")
    return "" if person == token else person.strip().casefold()


# Whoever can reach a server without any authentication: every account of the machine where it listens on loopback
# only, and everybody in the network where the operator said `insecure`.
LOCAL = Identity("local", Role.ADMIN, told_apart=False)
