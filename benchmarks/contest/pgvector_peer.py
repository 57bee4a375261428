# ruff: noqa: S608 - statements are put together from this file's own names and numbers
"""pgvector: templates in PostgreSQL, asked over its own protocol. Runs in the peers' virtual environment.

Settings: {"search": "exact", "table": "faces" | "halves", "workers": n}, {"search": "hnsw", "table": ..., "ef": n},
{"search": "sketches" | "sketches-hnsw", "rescored": n}.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from benchmarks.contest.closed_loop import Vectors
from benchmarks.contest.commands import serve
from benchmarks.contest.postgres import Postgres
from pgvector import HalfVector, Vector
from pgvector.psycopg import register_vector

# As hnswlib has them: the graph of the two is then the same.
_BUILD = "WITH (m = 32, ef_construction = 400)"
_TYPES = {"faces": "vector", "halves": "halfvec"}
_OPERATORS = {"faces": "vector_ip_ops", "halves": "halfvec_ip_ops", "sketches": "bit_hamming_ops"}
# pgvector's greatest; beyond it, a search goes on from where it ended.
_MOST_EF = 1000


class PgVector:
    """Three tables of the same templates: float32, float16, and the signs alone. Indexes are built when first asked."""

    def __init__(self, server: Postgres, templates: Vectors) -> None:
        self._server = server
        self._templates = templates
        self._settings: list[str] = []
        self._kind: type = Vector
        self._statement = ""
        self._connection = server.connect()
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(self._connection)
        self._fill()

    def versions(self) -> dict[str, str]:
        """Return the versions of PostgreSQL, pgvector and psycopg."""
        postgres, vector = self._connection.execute(
            "SELECT current_setting('server_version'), extversion FROM pg_extension WHERE extname = 'vector'"
        ).fetchone() or ("", "")
        return {"PostgreSQL": str(postgres), "pgvector": str(vector), "psycopg": psycopg.__version__}

    def apply(self, options: dict[str, Any]) -> None:
        """Choose the statement, and what a connection sets before it."""
        table = options.get("table", "faces")
        column, kind = f"{table}.v", _TYPES[table]
        workers = options.get("workers", 0)
        self._settings = [f"SET max_parallel_workers_per_gather = {workers}", "SET min_parallel_table_scan_size = 0"]
        self._settings += ["SET parallel_setup_cost = 0", "SET parallel_tuple_cost = 0"]
        match options["search"]:
            case "exact":
                self._settings.append("SET enable_indexscan = off")
                self._statement = f"SELECT id FROM {table} ORDER BY {column} <#> %(probe)b::{kind} LIMIT 5"
            case "hnsw":
                self._index(table)
                self._statement = self._graph(table, int(options["ef"]))
            case "sketches":
                self._settings += ["SET enable_hashjoin = off", "SET enable_mergejoin = off"]
                self._statement = self._rescoring(int(options["rescored"]))
            case "sketches-hnsw":
                self._index("sketches")
                rescored = int(options["rescored"])
                self._settings += ["SET enable_seqscan = off", f"SET hnsw.ef_search = {min(rescored, _MOST_EF)}"]
                self._statement = self._rescoring(rescored)
            case other:
                raise ValueError(f"no such search: {other}")
        self._kind = HalfVector if kind == "halfvec" else Vector

    def session(self) -> _Session:
        """Open a connection."""
        connection = self._server.connect()
        register_vector(connection)
        for each in self._settings:
            connection.execute(each)
        return _Session(connection, self._statement, self._kind)

    def close(self) -> None:
        """Close the connection that tables are made over."""
        self._connection.close()

    def _rescoring(self, count: int) -> str:
        """Return the statement that compares exactly with those whose signs differ least."""
        near = f"SELECT id FROM sketches ORDER BY v <~> binary_quantize(%(probe)b::vector) LIMIT {count}"
        return f"SELECT id FROM ({near}) AS near JOIN faces USING (id) ORDER BY faces.v <#> %(probe)b::vector LIMIT 5"

    def _graph(self, table: str, ef: int) -> str:
        kind = _TYPES[table]
        self._settings += ["SET enable_seqscan = off", f"SET hnsw.ef_search = {min(ef, _MOST_EF)}"]
        if ef <= _MOST_EF:
            return f"SELECT id FROM {table} ORDER BY v <#> %(probe)b::{kind} LIMIT 5"
        self._settings += ["SET hnsw.iterative_scan = relaxed_order", "SET hnsw.max_scan_tuples = 1000000"]
        nearest = f"SELECT id, v <#> %(probe)b::{kind} AS far FROM {table} ORDER BY far LIMIT {ef}"
        return f"SELECT id FROM ({nearest}) AS near ORDER BY far LIMIT 5"

    def _fill(self) -> None:
        dimension = self._templates.shape[1]
        if self._missing("faces"):
            with self._connection.transaction():
                self._copy(dimension)
            self._connection.execute("VACUUM ANALYZE faces")
        derived = {
            "halves": f"SELECT id, v::halfvec({dimension}) AS v FROM faces",
            "sketches": f"SELECT id, binary_quantize(v)::bit({dimension}) AS v FROM faces",
        }
        for table, rows in derived.items():
            if self._missing(table):
                self._connection.execute(f"CREATE TABLE {table} AS {rows}")
                self._connection.execute(f"VACUUM ANALYZE {table}")

    def _copy(self, dimension: int) -> None:
        self._connection.execute(f"CREATE TABLE faces (id integer PRIMARY KEY, v vector({dimension}) NOT NULL)")
        # Beside the row instead of compressed in another table.
        self._connection.execute("ALTER TABLE faces ALTER v SET STORAGE PLAIN")
        with self._connection.cursor().copy("COPY faces FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "vector"])
            for row, template in enumerate(self._templates):
                copy.write_row((row, Vector(template)))

    def _missing(self, name: str) -> bool:
        return bool(self._connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,))

    def _index(self, table: str) -> None:
        if not self._missing(f"{table}_hnsw"):
            return
        started = time.monotonic()
        self._connection.execute(f"CREATE INDEX {table}_hnsw ON {table} USING hnsw (v {_OPERATORS[table]}) {_BUILD}")
        print(f"pgvector: built the index over {table} in {time.monotonic() - started:.0f} s", flush=True)


class _Session:
    def __init__(self, connection: psycopg.Connection[tuple[object, ...]], statement: str, kind: type) -> None:
        self._connection = connection
        self._cursor = connection.cursor(binary=True)
        self._statement = statement
        self._kind = kind

    def answer(self, probes: Vectors) -> Sequence[Sequence[int]]:
        return [self._one(each) for each in probes]

    def _one(self, probe: Vectors) -> list[int]:
        found: Any = self._cursor.execute(self._statement, {"probe": self._kind(probe)}, prepare=True).fetchall()
        return [row for (row,) in found]

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _opened(data: Path, templates: Vectors) -> Iterator[PgVector]:
    with Postgres(data) as server:
        peer = PgVector(server, templates)
        try:
            yield peer
        finally:
            peer.close()


if __name__ == "__main__":
    serve(_opened)
