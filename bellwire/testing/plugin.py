"""The pytest plugin that is installed with bellwire: emulated instruments and labs as fixtures, and
`--hardware`.

Owns options and fixtures. Imports nothing of bellwire until a fixture is used, because every pytest run of
whoever has bellwire installed loads this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from bellwire.testing.emulated_labs import EmulatedLabInThread
    from bellwire.testing.emulator_thread import EmulatedInstrument, LoopThread


class InstrumentMaker(Protocol):
    """What the fixture `emulated_instrument` gives: call it for each instrument that a test needs."""

    def __call__(self, driver: str, **order: Any) -> EmulatedInstrument: ...


class LabMaker(Protocol):
    """What the fixture `emulated_lab` gives: call it with a lab file."""

    def __call__(self, lab: str | Path) -> EmulatedLabInThread: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the driver suite (bellwire.testing.driver_suite)."""
    group = parser.getgroup("bellwire", "bellwire: instruments")
    group.addoption(
        "--hardware",
        metavar="LAB",
        help="run the driver suite on the instruments of this lab file instead of emulated ones; read-only",
    )
    group.addoption(
        "--hardware-write",
        action="store_true",
        help="with --hardware: settings may be changed; each is put back afterwards",
    )


@pytest.fixture
def emulator_thread() -> Iterator[LoopThread]:
    """A thread in which emulated instruments live until the end of the test."""
    from bellwire.testing.emulator_thread import LoopThread

    with LoopThread() as thread:
        yield thread


@pytest.fixture
def emulated_instrument(emulator_thread: LoopThread, tmp_path: Path) -> Iterator[InstrumentMaker]:
    """Emulate one instrument: `emulated_instrument("thorlabs_tc200")`, see start_instrument for what may be
    said.

    The test and the program under test reach it at `.address`.
    """
    from bellwire.testing.emulator_thread import start_instrument

    made: list[EmulatedInstrument] = []

    def make(driver: str, **order: Any) -> EmulatedInstrument:
        order.setdefault("name", f"instrument-{len(made) + 1}")
        one = start_instrument(emulator_thread, driver, tmp_path, **order)
        made.append(one)
        return one

    yield make
    for one in made:
        emulator_thread.run(one.emulator.stop())


@pytest.fixture
def emulated_lab(emulator_thread: LoopThread, tmp_path: Path) -> Iterator[LabMaker]:
    """Emulate all instruments of a lab file, on free ports: `emulated_lab("lab.yaml")`."""
    from bellwire.testing.emulated_labs import start_lab

    made: list[EmulatedLabInThread] = []

    def make(lab: str | Path) -> EmulatedLabInThread:
        one = start_lab(emulator_thread, Path(lab), tmp_path / f"lab-{len(made) + 1}")
        made.append(one)
        return one

    yield make
    for one in made:
        one.stop()
