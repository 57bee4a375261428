"""The error table is complete, and as the contract has it."""

from __future__ import annotations

from collections.abc import Iterator

from gerbang_service.domain import errors
from gerbang_service.rpc.errors import STATUS
from rpc.contract import CONTRACT


def leaves(kind: type[errors.GerbangError]) -> Iterator[type[errors.GerbangError]]:
    """Yield the classes that nothing is derived from."""
    below = [each for each in kind.__subclasses__() if each.__module__.startswith("gerbang_service.")]
    if not below:
        yield kind
    for each in below:
        yield from leaves(each)


def test_every_error_that_may_cross_the_wire_is_in_the_table() -> None:
    """The table has a row for every leaf of the error tree but kinds of StartupError, and none for anything else."""
    assert set(STATUS) == {each for each in leaves(errors.GerbangError) if not issubclass(each, errors.StartupError)}


def test_reasons_are_unique_and_as_the_contract_says() -> None:
    """The table's pairs of reason and status are those of the contract, each reason once."""
    assert len({kind.reason for kind in STATUS}) == len(STATUS)
    assert {kind.reason: code for kind, code in STATUS.items()} == CONTRACT
