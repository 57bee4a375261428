"""Who may import whom: the rules of docs/architecture.md, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import gerbang_service

ROOT = Path(gerbang_service.__file__).parent
OWN = ROOT.name
# Each package imports itself and those before it.
ORDER = (
    *("domain", "configuration", "store", "audit", "access", "telemetry", "faces", "threads", "gallery"),
    *("asking", "changing", "rpc", "running", "cli"),
)
# What only these places may import.
KEPT = {
    "sqlite3": ("store.sqlite",),
    "faiss": ("gallery.candidates", "gallery.judge"),
    "hnswlib": ("gallery.candidates", "gallery.judge"),
    "google.protobuf": ("rpc", "telemetry", "cli"),
    "gerbang.v1": ("rpc", "telemetry", "cli"),
}
LONGEST = 300
# Modules that break a rule, each with the reason why it may.
EXCEPTIONS: dict[str, str] = {}


def _name(path: Path) -> str:
    """Return a module's dotted name below gerbang_service, a package's own name for its __init__."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def _imports(source: str, above: str = "") -> Iterator[str]:
    """Yield every name that is imported anywhere in a source: in functions and under TYPE_CHECKING too.

    `above`: the package that it is in, with a dot behind it, which relative imports begin with.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = f"{OWN}.{above}" if node.level else ""
            yield from (f"{start}{node.module or ''}.{each.name}".replace("..", ".") for each in node.names)


def _of(module: str) -> set[str]:
    return set(_imports(MODULES[module].read_text(encoding="utf-8"), module.rpartition(".")[0] + "."))


def _own(module: str) -> set[str]:
    """Return the modules of ours that a module imports."""
    found = set()
    for name in _of(module):
        parts = name.split(".")
        if parts[0] == OWN:
            # The longest that is a module; what follows is a name in it.
            dotted = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
            found |= set([each for each in dotted if each in MODULES][:1])
    return found - {module}


def _within(name: str, places: Collection[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def _out_of_order(module: str) -> list[str]:
    allowed = ORDER[: ORDER.index(module.partition(".")[0]) + 1] if module else ()
    return [f"{module} imports {other}" for other in sorted(_own(module)) if not _within(other, allowed)]


def _out_of_place(module: str) -> list[str]:
    kept = [library for library, places in KEPT.items() if not _within(module, places)]
    return [f"{module} imports {name}" for name in sorted(_of(module)) if _within(name, kept)]


def test_every_package_has_its_place_in_the_order_and_no_module_stands_beside_them() -> None:
    assert {name.partition(".")[0] for name in MODULES if name} == set(ORDER)
    assert [path.name for path in ROOT.glob("*.py")] == ["__init__.py"]


def test_a_package_imports_only_itself_and_those_before_it() -> None:
    assert [fault for module in MODULES if module not in EXCEPTIONS for fault in _out_of_order(module)] == []


def test_a_library_is_imported_only_where_it_is_wrapped() -> None:
    assert [fault for module in MODULES if module not in EXCEPTIONS for fault in _out_of_place(module)] == []


def test_sql_is_spoken_in_one_place() -> None:
    """Whoever has a connection elsewhere hands it on, and runs nothing on it."""
    spoken = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("execute", "executemany", "executescript")
    }
    assert {module for module in spoken if not _within(module, KEPT["sqlite3"])} == set()


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter({module: _own(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_a_fake_is_out_of_reach() -> None:
    """Fakes are for tests: no part of the service can be made with one."""
    fakes = {name for name in MODULES if name.rpartition(".")[2] in ("fake", "memory")}
    assert [module for module in MODULES if _own(module) & fakes - {module}] == []


def test_no_file_is_longer_than_can_be_read_in_one_go() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_an_import_is_seen_wherever_it_stands() -> None:
    source = "if TYPE_CHECKING:\n    import a\ndef f():\n    from b.c import d\nfrom . import e\nfrom .g import h\n"
    assert set(_imports(source, "rpc.")) == {"a", "b.c.d", f"{OWN}.rpc.e", f"{OWN}.rpc.g.h"}


def test_every_exception_is_one() -> None:
    """What breaks no rule any more is no exception."""
    assert [name for name in EXCEPTIONS if not (*_out_of_order(name), *_out_of_place(name))] == []
