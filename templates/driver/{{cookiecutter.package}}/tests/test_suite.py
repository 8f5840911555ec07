"""The suite that every driver must pass, for this one; and that its card is honest."""

import inspect

import pytest
from bellwire.drivers import cards
from bellwire.drivers.roles import ROLES
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.testing.driver_suite import *  # noqa: F403

DRIVER = "{{cookiecutter.driver}}"


def pytest_generate_tests(metafunc):
    """This driver only."""
    if "subject" in metafunc.fixturenames:
        metafunc.parametrize("subject", [DRIVER], indirect=True)


def test_the_card_says_what_is_known():
    card = cards()[DRIVER]
    said = (*card.roles, card.transport, card.address, *card.unverified)
    assert "UNKNOWN" not in said, "replace every UNKNOWN in card.py by what you know, or by what you do not"
    for role in card.roles:
        missing = [name for name in dir(ROLES[role]) if not name.startswith("_") and not hasattr(card.load(), name)]
        assert not missing, f"the role {role} needs {missing}"


def test_people_can_read_and_set_something():
    driver = cards()[DRIVER].load()
    assert any(parameter.read for parameter in driver.parameters)
    assert not inspect.isabstract(driver)


def test_connecting_only_asks(emulated_instrument):
    instrument = emulated_instrument(DRIVER, pace=0.0)
    import asyncio

    async def look():
        driver = instrument.driver(pace=0.0)
        await driver.connect()
        await driver.close()

    asyncio.run(look())
    assert instrument.requests
    assert instrument.changes == []


@pytest.mark.parametrize("fault", ["half_reply", "double_reply", "garbage", "dropped_byte", "unsolicited", "silent", "fin"])
def test_a_fault_is_a_fault_of_the_device_and_never_a_value(emulated_instrument, fault):
    import asyncio

    from bellwire.core.errors import DeviceFault
    from bellwire.drivers.instrument import Condition
    from bellwire.drivers.session import SessionSettings

    instrument = emulated_instrument(DRIVER, pace=0.0)
    driver_class = cards()[DRIVER].load()
    name = next(parameter.name for parameter in driver_class.parameters if parameter.read)

    async def look():
        driver = instrument.driver(pace=0.0, settings=SessionSettings(timeout_s=0.3), probe_s=60.0)
        task = asyncio.ensure_future(driver.supervise())
        await driver.wait_for(Condition.READY, 10)
        truth = (await driver.read_parameter(name)).value
        instrument.set_fault(Fault(fault).value, times=1)
        for _ in range(3):
            try:
                assert (await driver.read_parameter(name)).value == truth
            except DeviceFault:
                await driver.wait_for(Condition.READY, 10)
        instrument.clear_fault()
        await driver.wait_for(Condition.READY, 10)
        assert (await driver.read_parameter(name)).value == truth
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(look())


def test_a_power_cycle_brings_the_settings_back(emulated_instrument):
    import asyncio

    from bellwire.drivers.instrument import Condition

    instrument = emulated_instrument(DRIVER, pace=0.0)
    settable = [
        parameter
        for parameter in cards()[DRIVER].load().parameters
        if parameter.write and parameter.read and parameter.repeatable and parameter.high is not None
    ]
    assert settable, "at least one setting must be readable, settable, and have limits"

    async def look():
        driver = instrument.driver(pace=0.0, probe_s=0.1)
        await driver.configure({parameter.name: parameter.high for parameter in settable})
        task = asyncio.ensure_future(driver.supervise())
        await driver.wait_for(Condition.READY, 10)
        for _ in range(2):
            for parameter in settable:
                found = (await driver.read_parameter(parameter.name)).value
                assert parameter.holds(parameter.high, found)
            await asyncio.to_thread(instrument.power_cycle)
            await driver.wait_for(Condition.LOST, 10)
            await driver.wait_for(Condition.READY, 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(look())
