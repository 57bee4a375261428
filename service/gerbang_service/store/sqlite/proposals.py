"""The table of changes that wait for a second person. Where there is a key, each row is sealed, and which there are.

Who can write the file, but has no key, can make none, change nobody's name in one, and bring none back that is gone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from typing import Any, Final

from gerbang_service.domain.proposals import Kind, Proposal, ProposedChange
from gerbang_service.domain.weakening import Weakening
from gerbang_service.store.sealing.cipher import AnyCipher
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.rows import row_of, row_place
from gerbang_service.store.sqlite.tally import TAG_CHARACTERS, Counting, Turnover

# content: JSON, sealed for the whole row: what is wanted, why, and how the lists would be weakened.
PROPOSAL_ROW: Final = (
    "proposal_id, kind, subject_id, watchlist_id, lists, request_id, proposed_by, role, revision, propose_time_ns, "
    "expire_time_ns, content"
)
_END = f"substr(content, -{TAG_CHARACTERS})"
_MARKS = ", ".join("?" * len(PROPOSAL_ROW.split(", ")))
_SELECT = f"SELECT {PROPOSAL_ROW} FROM proposals"  # noqa: S608 - constant columns


def proposal_place(row: tuple[Any, ...]) -> bytes:
    """Return what the content of PROPOSAL_ROW is bound to: all other columns."""
    return row_place("proposals.row", str(row[0]), row[:-1])


def proposal_values(proposal_id: int, proposal: Proposal, cipher: AnyCipher) -> tuple[Any, ...]:
    """Return the values of PROPOSAL_ROW."""
    change = proposal.change
    content = {
        "values": change.values,
        "note": proposal.note,
        "weakened": sorted((name, way.value) for name, way in proposal.weakened),
        "digest": base64.b64encode(proposal.digest).decode(),
    }
    head = (
        proposal_id,
        change.kind.value,
        change.subject_id,
        change.watchlist_id,
        json.dumps(proposal.watchlists),
        proposal.request_id,
        proposal.proposed_by,
        proposal.role,
        proposal.revision,
        proposal.propose_time_ns,
        proposal.expire_time_ns,
    )
    return (*head, cipher.seal_text(json.dumps(content, ensure_ascii=False), proposal_place((*head, ""))))


def proposal_from(row: tuple[Any, ...], cipher: AnyCipher) -> Proposal:
    """Make a Proposal of PROPOSAL_ROW. Raises DataDamaged."""
    proposal_id, kind, subject_id, watchlist_id, lists, request_id, by, role, revision, made, ends, content = row
    with row_of(f"proposal {proposal_id}"):
        opened = json.loads(cipher.open_text(content, proposal_place(row)))
        weakened = frozenset((name, Weakening(way)) for name, way in opened["weakened"])
        change = ProposedChange(Kind(kind), subject_id, watchlist_id, opened["values"])
        digest = base64.b64decode(opened["digest"])
        found = Proposal(
            change, weakened, revision, by, role, made, ends, opened["note"], request_id, digest, proposal_id
        )
        # What lists are counted by, and whom the change is about, which its values do not say.
        if json.loads(lists) != list(found.watchlists) or bool(subject_id) == bool(watchlist_id):
            raise ValueError("says two things")
        return found


class ProposalRows:
    """A ProposalReader on a connection: `_open`, where nothing of proposals waits to be inserted; see SqliteReader."""

    _open: Connection
    # Whether there are any, once that was asked: not for each of many enrolments.
    _some: bool | None = None
    # Whether the rows were found to be those that were sealed: once for the state that is read, or the transaction.
    _checked: bool = False

    @property
    def _connection(self) -> Connection:
        return self._open

    def proposal(self, proposal_id: int) -> Proposal | None:
        """Return one proposal, or None."""
        found = self._proposals("WHERE proposal_id = ?", proposal_id)
        self._check_once()
        return found[0] if found else None

    def proposals(self, *, after: int, limit: int) -> list[Proposal]:
        """Return up to `limit` proposals with an id greater than `after`, by id."""
        found = self._proposals("WHERE proposal_id > ? ORDER BY proposal_id LIMIT ?", after, limit)
        self._check_once()
        return found

    def proposals_about(
        self, *, subject_ids: Collection[str] = (), watchlist_ids: Collection[str] = ()
    ) -> list[Proposal]:
        """Return the proposals to change one of these subjects, or one of these lists itself, by id."""
        about = (
            "WHERE subject_id IN (SELECT value FROM json_each(?)) OR watchlist_id IN (SELECT value FROM json_each(?)) "
            "ORDER BY proposal_id"
        )
        return self._proposals(about, json.dumps(list(subject_ids)), json.dumps(list(watchlist_ids)))

    def proposal_of(self, request_id: str) -> Proposal | None:
        """Return the proposal that a request came to, or None."""
        found = self._any() and self._proposals("WHERE request_id = ? ORDER BY proposal_id", request_id)
        return found[0] if found else None

    def _any(self) -> bool:
        if self._some is None:
            self._some = self._open.execute("SELECT 1 FROM proposals LIMIT 1").fetchone() is not None
        return self._some

    def proposal_counts(self) -> dict[str, int]:
        """Return by how many proposals each list would be weakened."""
        query = "SELECT value, count(*) FROM proposals, json_each(lists) GROUP BY value ORDER BY value"
        with row_of("table proposals"):
            return dict(self._open.execute(query).fetchall())

    def ended_proposals(self, before_ns: int, limit: int) -> list[int]:
        """Return the ids of up to `limit` proposals whose time was over then, ns since 1970."""
        query = "SELECT proposal_id FROM proposals WHERE expire_time_ns <= ? ORDER BY proposal_id LIMIT ?"
        return [key for (key,) in self._open.execute(query, (before_ns, limit))]

    def _proposals(self, which: str, *values: object) -> list[Proposal]:
        rows = self._open.execute(f"{_SELECT} {which}", values).fetchall()
        return [proposal_from(row, self._open.cipher) for row in rows]

    def _check_once(self) -> None:
        """Check the rows: that takes as long as there are many, and nobody else changes what this one reads."""
        if not self._checked:
            self._check_proposals()
            self._checked = True

    def _check_proposals(self) -> None:
        check_proposals(self._open)


def check_proposals(connection: Connection, turnover: Turnover | None = None) -> None:
    """Raise DataDamaged when the rows are not those that were sealed: one was deleted, or put back.

    `turnover`: what the transaction that is open has changed of them.
    """
    if connection.cipher.encrypts:
        counting = Counting(connection, "proposals")
        if turnover is not None:
            counting.expect(*turnover.of("proposals"))
        # As much of each as tells it from others: it may hold many vectors.
        counting.add([end for (end,) in connection.execute(f"SELECT {_END} FROM proposals")])  # noqa: S608
        counting.check()


def seal_all(connection: Connection) -> None:
    """Seal the proposals that are in the clear with the connection's cipher, in the transaction that is open."""
    for row in connection.execute(_SELECT).fetchall():
        sealed = connection.cipher.seal_text(row[-1], proposal_place(row))
        connection.execute("UPDATE proposals SET content = ? WHERE proposal_id = ?", (sealed, row[0]))


class ProposalChanges(ProposalRows):
    """A ProposalWriter on the writer's connection. `_cipher`, `_turnover`, `_next`: see SqliteTransaction."""

    _cipher: AnyCipher
    _turnover: Turnover

    def _next(self, query: str) -> int:
        raise NotImplementedError

    def _check_proposals(self) -> None:
        check_proposals(self._open, self._turnover)

    def put_proposal(self, proposal: Proposal) -> int:
        """Insert a proposal and return its id."""
        # Known before the row is, so that it can be sealed for it. It is SQLite's own count, of those deleted as well.
        key = self._next("SELECT seq FROM sqlite_sequence WHERE name = 'proposals'")
        values = proposal_values(key, proposal, self._cipher)
        self._connection.execute(f"INSERT INTO proposals ({PROPOSAL_ROW}) VALUES ({_MARKS})", values)  # noqa: S608
        self._turnover.add("proposals", [values[-1]])
        self._some = True
        return key

    def delete_proposal(self, proposal_id: int) -> None:
        """Delete a proposal."""
        self._drop_proposals("proposal_id", proposal_id)

    def _drop_proposals(self, column: str, value: object) -> None:
        if not self._any():
            return
        query = f"SELECT content FROM proposals WHERE {column} = ?"  # noqa: S608 - constant names
        sealed = [each for (each,) in self._open.execute(query, (value,))]
        if sealed:
            self._turnover.remove("proposals", sealed)
            self._connection.execute(f"DELETE FROM proposals WHERE {column} = ?", (value,))  # noqa: S608
