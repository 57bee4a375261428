"""The package as a whole: its exceptions, its names, and its sync and asyncio twins."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import grpc
import pytest

import gerbang
from clients.error_classes import subclasses
from gerbang import errors

EXCEPTIONS = subclasses(errors.GerbangError)


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_tree_names_every_class(kind: type[errors.GerbangError]) -> None:
    """The tree in the docstring has every class, below its parent."""
    lines = (errors.__doc__ or "").splitlines()
    depths = {
        line.lstrip("│├└─ ").split()[0]: len(line) - len(line.lstrip("│├└─ "))
        for line in lines
        if line.startswith(("├", "│", "└"))
    }
    parent = kind.__bases__[0]
    assert depths[kind.__name__] == depths.get(parent.__name__, 0) + 4


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_errors_survive_pickling(kind: type[errors.GerbangError]) -> None:
    """An error passes between processes whole."""
    error = kind("as told", code=grpc.StatusCode.UNAVAILABLE, reason="R", metadata={"a": "b"}, retry_after_s=1.0)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(copy) is kind
    assert vars(copy) == vars(error)


def test_all_is_complete() -> None:
    """`__all__` has every public name of the package, every exception among them, in order."""
    public = {name for name, value in vars(gerbang).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert set(gerbang.__all__) == public
    assert gerbang.__all__ == sorted(set(gerbang.__all__))
    assert {kind.__name__ for kind in EXCEPTIONS} <= public


@pytest.mark.parametrize("name", ["GateClient", "CounterClient", "WatchlistClient"])
def test_twins(name: str) -> None:
    """The asyncio client has the same calls with the same arguments as the sync one."""

    def calls(kind: type[Any]) -> dict[str, list[str]]:
        return {
            call: list(inspect.signature(function).parameters)
            for call, function in inspect.getmembers(kind, inspect.isfunction)
            if not call.startswith("_")
        }

    assert calls(getattr(gerbang, name)) == calls(getattr(gerbang, f"Async{name}"))
