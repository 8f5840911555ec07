"""What any driver must do with its instrument, emulated or real: `pytest --pyargs
bellwire.testing.driver_suite`.

Owns the tests that need nothing but the driver. Without options every driver of the registry drives its
emulator; with `--hardware LAB` the instruments of that lab file are driven, reading only, and with
`--hardware-write` each setting is written once with the value that it has, and out-of-range values are seen
to be refused. Nothing emits light, heats or moves that did not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bellwire.drivers.equipment import Equipment

REOPENINGS = 10
ROUNDS = 5
LEASE_S = 60.0


@dataclass(frozen=True, slots=True)
class Subject:
    """One instrument and how its driver is made. `hardware`: it is not ours; `may_write`: the operator
    allows it.
    """

    name: str
    make: Callable[..., Equipment]
    hardware: bool
    may_write: bool

    def run(self, work: Callable[[Equipment], Awaitable[Any]], **keywords: Any) -> Any:
        """Connect, carry out, let go."""

        async def carry_out() -> Any:
            driver = self.make(**keywords)
            try:
                await driver.connect()
                return await work(driver)
            finally:
                await driver.close()

        return asyncio.run(carry_out())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One set of tests for each instrument."""
    if "subject" not in metafunc.fixturenames:
        return
    lab = metafunc.config.getoption("--hardware")
    if lab is None:
        from bellwire.drivers import cards
        from bellwire.simulator_backend.devices.emulators import emulator_names

        known = cards()
        names = [name for name in emulator_names() if known[name].is_installed()]
        metafunc.parametrize("subject", names, indirect=True)
        return
    from bellwire.labs import load_lab

    entries = load_lab(Path(lab), live=True).equipment
    metafunc.parametrize("subject", entries, indirect=True, ids=[entry.full_name for entry in entries])


@pytest.fixture
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """An emulated instrument in a thread of its own, or one of the lab file."""
    if not isinstance(request.param, str):
        from bellwire.labs.equipment import EquipmentSettings
        from bellwire.runtime.equipment import make_driver

        entry = request.param
        assert isinstance(entry, EquipmentSettings)
        may_write = bool(request.config.getoption("--hardware-write"))

        def make_real(**keywords: Any) -> Equipment:
            driver = make_driver(entry, Path("bellwire_state") / "devices")
            if not keywords:
                return driver
            return type(driver)(driver.name, driver.address, **keywords)

        yield Subject(entry.full_name, make_real, True, may_write)
        return
    from bellwire.testing.emulator_thread import LoopThread, start_instrument

    with LoopThread() as thread:
        instrument = start_instrument(thread, request.param, tmp_path, pace=0.0)
        yield Subject(request.param, lambda **keywords: instrument.driver(pace=0.0, **keywords), False, True)
        thread.run(instrument.emulator.stop())


async def _all_readings(driver: Equipment) -> dict[str, Any]:
    return {
        parameter.name: (await driver.read_parameter(parameter.name)).value
        for parameter in driver.parameters
        if parameter.read is not None
    }


def test_it_is_the_model_of_its_driver(subject: Subject) -> None:
    async def look(driver: Equipment) -> None:
        assert driver.identity is not None
        assert driver.identity.model
        assert driver.state.age_ns(driver.state.changed_at_ns) is not None

    subject.run(look)


def test_another_serial_number_is_refused(subject: Subject) -> None:
    from bellwire.drivers.faults import IdentityRefused

    async def nothing(driver: Equipment) -> None:
        raise AssertionError("it was accepted")

    with pytest.raises(IdentityRefused, match="serial number"):
        subject.run(nothing, serial_number="no-such-number")


def test_every_reading_is_of_its_kind_and_within_its_limits(subject: Subject) -> None:
    async def look(driver: Equipment) -> None:
        for parameter in driver.parameters:
            if parameter.read is None:
                continue
            reading = await driver.read_parameter(parameter.name)
            assert reading.unit == parameter.unit
            if parameter.kind == "switch":
                assert isinstance(reading.value, bool)
            elif parameter.kind in ("number", "integer"):
                assert isinstance(reading.value, int | float)
                assert not isinstance(reading.value, bool)
            else:
                assert isinstance(reading.value, str)

    subject.run(look)


def test_connecting_again_changes_no_setting(subject: Subject) -> None:
    settings = [
        one.name for one in type(subject.make()).parameters if one.read is not None and one.write is not None
    ]
    first = subject.run(_all_readings)
    second = subject.run(_all_readings)
    assert {name: first[name] for name in settings} == {name: second[name] for name in settings}


def test_answers_belong_to_their_questions(subject: Subject) -> None:
    """Settings read in one order and in the other are the same: no answer was taken for its neighbour's."""

    async def look(driver: Equipment) -> None:
        names = [one.name for one in driver.parameters if one.read is not None and one.write is not None]
        for _ in range(ROUNDS):
            forwards = {name: (await driver.read_parameter(name)).value for name in names}
            backwards = {name: (await driver.read_parameter(name)).value for name in reversed(names)}
            assert forwards == backwards

    subject.run(look)


def test_it_opens_again_and_again(subject: Subject) -> None:
    async def look(driver: Equipment) -> None:
        assert driver.identity is not None

    for _ in range(REOPENINGS):
        subject.run(look)


def test_what_is_out_of_range_is_refused_before_it_is_sent(subject: Subject) -> None:
    from bellwire.core.errors import LocalMisuse

    if not subject.may_write:
        pytest.skip("read-only: give --hardware-write")

    async def look(driver: Equipment) -> None:
        before = await _all_readings(driver)
        lease = driver.leases.grant("driver suite", LEASE_S)
        for parameter in driver.parameters:
            if parameter.write is None or parameter.high is None:
                continue
            with pytest.raises(LocalMisuse):
                await driver.write_parameter(parameter.name, parameter.high * 2 + 1, token=lease.token)
        after = await _all_readings(driver)
        settable = [one.name for one in driver.parameters if one.write is not None and one.read is not None]
        assert {name: before[name] for name in settable} == {name: after[name] for name in settable}

    subject.run(look)


def test_a_setting_is_written_with_the_value_that_it_has(subject: Subject) -> None:
    from bellwire.core.errors import LocalMisuse

    if not subject.may_write:
        pytest.skip("read-only: give --hardware-write")

    async def look(driver: Equipment) -> None:
        lease = driver.leases.grant("driver suite", LEASE_S)
        for parameter in driver.parameters:
            if (
                parameter.write is None
                or parameter.read is None
                or parameter.emits
                or not parameter.repeatable
            ):
                continue
            found = await driver.read_parameter(parameter.name)
            try:
                parameter.checked(found.value)
            except LocalMisuse:
                continue  # it has no value yet, such as a window that nobody has set
            again = await driver.write_parameter(parameter.name, found.value, token=lease.token)
            assert again is not None
            assert parameter.holds(found.value, again.value)

    subject.run(look)


def test_nothing_is_written_without_a_lease(subject: Subject) -> None:
    from bellwire.drivers.leases import LeaseRefused

    async def look(driver: Equipment) -> None:
        for parameter in driver.parameters:
            if parameter.write is None:
                continue
            value: Any = parameter.choices[0] if parameter.choices else parameter.low or 0
            with pytest.raises(LeaseRefused):
                await driver.write_parameter(parameter.name, value, token=1)

    subject.run(look)
