"""The maker's own library judges the stand-in for it: names, parameters, numbers, and the texts of refusals.

What its measurements do cannot be judged: it needs an instrument, or a licence that only an instrument gets.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from bellwire.drivers.faults import DeviceError, Disconnected
from bellwire.drivers.swabian_library import fault_of
from bellwire.simulator_backend.devices.swabian_standin import StandIn
from tests.judges.conftest import Peer

pytestmark = pytest.mark.judge

CLASSES = (
    "TimeTagger",
    "TimeTaggerNetwork",
    "Counter",
    "Coincidences",
    "Correlation",
    "TimeTagStream",
    "TimeTagStreamBuffer",
)
ENUMERATIONS = ("ChannelEdge", "CoincidenceTimestamp", "Resolution", "TagType")
REFUSALS: tuple[tuple[Any, ...], ...] = (
    ("createTimeTagger",),
    ("createTimeTagger", "2138000ABC"),
    ("createTimeTagger", "", 7),
    ("createTimeTaggerNetwork", "127.0.0.1:9"),
    ("createTimeTaggerNetwork", "127.0.0.1"),
)


@pytest.fixture
async def real(peer: Peer) -> dict[str, Any]:
    wanted = json.dumps([CLASSES, ENUMERATIONS, [*REFUSALS, ("createTimeTaggerVirtual",)]])
    found: dict[str, Any] = json.loads(await peer("swabian_library.py", wanted))
    return found


def own(function: Any) -> list[list[Any]]:
    missing = inspect.Parameter.empty
    return [
        [one.name, None if one.default is missing else one.default]
        for one in inspect.signature(function).parameters.values()
        if one.name != "self"
    ]


def agrees(mine: list[list[Any]], real: dict[str, Any]) -> bool:
    """Same names and defaults; of overloaded ones the documentation tells the names only."""
    if "exact" in real:
        return bool(mine == real["exact"])
    names, documented = [name for name, _ in mine], real["documented"]
    return bool(names == documented or (names and names == documented[: len(names)]))


async def test_every_method_of_the_stand_in_is_one_of_the_library_with_the_same_parameters(
    real: dict[str, Any],
) -> None:
    compared = 0
    for name in CLASSES:
        mine, theirs = getattr(StandIn, name), real["classes"][name]
        for method, function in inspect.getmembers(mine, inspect.isfunction):
            if method.startswith("_") or method[0].isupper():
                continue
            if method in {"add", "events", "times"}:  # how our measurements reach our instrument
                assert method not in theirs["methods"]
                continue
            assert method in theirs["methods"], f"{name} of the library has no {method}"
            assert agrees(own(function), theirs["methods"][method]), (
                f"{name}.{method}: {own(function)} is not {theirs['methods'][method]}"
            )
            compared += 1
    assert compared > 60


async def test_measurements_are_made_with_the_same_parameters(real: dict[str, Any]) -> None:
    for name in ("Counter", "Coincidences", "Correlation", "TimeTagStream"):
        mine = own(getattr(StandIn, name).__init__)
        assert agrees(mine, real["classes"][name]["made"]), f"{name}: {mine}"
    for name in ("createTimeTagger", "freeTimeTagger", "scanTimeTagger"):
        assert agrees(own(getattr(StandIn, name)), real["functions"][name]), name
    assert real["functions"]["createTimeTaggerNetwork"]["documented"][0] == "address"


async def test_a_buffer_of_tags_has_the_properties_that_we_read(real: dict[str, Any]) -> None:
    assert {"size", "tStart", "tGetData", "hasOverflows"} <= set(
        real["classes"]["TimeTagStreamBuffer"]["properties"]
    )


async def test_numbers_of_enumerations_are_the_same(real: dict[str, Any]) -> None:
    assert real["version"].startswith("2.")
    assert real["unused"] == StandIn.CHANNEL_UNUSED
    for name in ENUMERATIONS:
        mine = {key: int(value) for key, value in getattr(StandIn, name).__members__.items()}
        assert mine.items() <= real["enumerations"][name].items(), name
        if name != "ChannelEdge":  # of which we leave out some
            assert mine == real["enumerations"][name]


async def test_refusals_have_the_same_kind_and_words(real: dict[str, Any]) -> None:
    stand_in = StandIn()
    *refusals, virtual = real["refusals"]
    for (name, *arguments), theirs in zip(REFUSALS, refusals, strict=True):
        with pytest.raises((RuntimeError, ValueError)) as caught:
            getattr(stand_in, name)(*arguments)
        assert [type(caught.value).__name__, str(caught.value)] == theirs
    # Why there is a stand-in at all: without a licence the library simulates nothing.
    assert virtual[0] == "RuntimeError"
    assert virtual[1].startswith("No license file found or no Time Tagger connected.")


async def test_the_driver_understands_the_refusals_of_the_library(real: dict[str, Any]) -> None:
    kinds = {"RuntimeError": RuntimeError, "ValueError": ValueError}
    faults = [fault_of("tagger", kinds[kind](text)) for kind, text in real["refusals"][:-1]]
    assert [type(fault) for fault in faults] == [
        Disconnected,
        Disconnected,
        DeviceError,
        Disconnected,
        Disconnected,
    ]
