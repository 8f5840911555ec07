"""Equipment of an agent: brought up at once, degraded loudly, leased, and left in its safe state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.errors import ConfigError
from bellwire.drivers.instrument import Condition
from bellwire.runtime.connect_check import look_at_all
from bellwire.runtime.equipment import NodeEquipment, device_path
from bellwire.runtime.equipment_commands import equipment_commands
from bellwire.runtime.health import Health
from bellwire.simulator_backend.devices.equipment_bench import EquipmentBench
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.tc200_emulator import Tc200Model

DEADLINE_S = 15.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One oven of a lab file."""

    name: str
    driver: str = "thorlabs_tc200"
    owner: str = "middle"
    serial_number: str | None = None
    emulated: bool = True
    vital: bool = True
    settings: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    wiring: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"pty:{self.name}"

    @property
    def full_name(self) -> str:
        return f"{self.owner}-{self.name}"


def model(bench: EquipmentBench, name: str) -> Tc200Model:
    """What an emulated oven really is."""
    found = bench.emulator(name).model
    assert isinstance(found, Tc200Model)
    return found


@pytest.fixture
async def ovens(tmp_path: Path) -> AsyncIterator[tuple[EquipmentBench, tuple[Entry, ...]]]:
    entries = (
        Entry("first", settings={"temperature_set_c": 40.0, "heating": True}),
        Entry("second", settings={"temperature_set_c": 50.0}, vital=False),
    )
    async with EquipmentBench(entries, tmp_path, pace=0.0) as bench:
        yield bench, entries


async def ready(equipment: NodeEquipment) -> None:
    for driver in equipment.drivers.values():
        await driver.wait_for(Condition.READY, DEADLINE_S)


async def test_settings_are_asserted_and_outputs_are_left_safe(
    ovens: tuple[EquipmentBench, tuple[Entry, ...]], tmp_path: Path
) -> None:
    bench, entries = ovens
    equipment = NodeEquipment(entries, tmp_path, Health())
    await equipment.start()
    await ready(equipment)
    first, second = model(bench, "middle-first"), model(bench, "middle-second")
    assert first.settings["tset"] == 40.0
    assert first.heating
    assert second.settings["tset"] == 50.0
    assert not second.heating
    await equipment.stop()
    assert not first.heating


async def test_only_a_vital_instrument_takes_the_heralds_away(
    ovens: tuple[EquipmentBench, tuple[Entry, ...]], tmp_path: Path
) -> None:
    bench, entries = ovens
    told: list[bool] = []
    equipment = NodeEquipment(entries, tmp_path, Health(), lambda is_ready, _: told.append(is_ready))
    await equipment.start()
    await ready(equipment)
    assert equipment.vital == (True, "")
    await bench.stop("middle-second")
    await equipment.drivers["second"].wait_for(Condition.LOST, DEADLINE_S)
    assert equipment.vital[0]
    assert not equipment.ready
    await bench.stop("middle-first")
    await equipment.drivers["first"].wait_for(Condition.LOST, DEADLINE_S)
    is_ready, why = equipment.vital
    assert not is_ready
    assert "middle-first" in why
    await bench.start("middle-first")
    await equipment.drivers["first"].wait_for(Condition.READY, DEADLINE_S)
    assert model(bench, "middle-first").settings["tset"] == 40.0
    assert told[-1]
    await equipment.stop()


async def test_values_of_a_lost_instrument_are_stale(
    ovens: tuple[EquipmentBench, tuple[Entry, ...]], tmp_path: Path
) -> None:
    bench, entries = ovens
    equipment = NodeEquipment(entries, tmp_path, Health())
    commands = equipment_commands(equipment)
    await equipment.start()
    await ready(equipment)
    assert (await commands["device_read"]({"device": "first", "parameter": "temperature_c"}))[
        "quality"
    ] == "good"
    await bench.stop("middle-first")
    await equipment.drivers["first"].wait_for(Condition.LOST, DEADLINE_S)
    shown = next(one for one in await commands["device_list"]({}) if one["name"] == "first")
    assert [reading["quality"] for reading in shown["readings"]] == ["stale"]
    assert equipment.readings()["first"]["temperature_c"]["quality"] == "stale"
    await equipment.stop()


async def test_a_lease_keeps_others_away_and_an_old_token_moves_nothing(
    ovens: tuple[EquipmentBench, tuple[Entry, ...]], tmp_path: Path
) -> None:
    bench, entries = ovens
    equipment = NodeEquipment(entries, tmp_path, Health())
    commands = equipment_commands(equipment)
    await equipment.start()
    await ready(equipment)

    async def ask(command: str, **fields: Any) -> Any:
        return await commands[command]({"device": "first", **fields})

    lease = await ask("device_acquire", holder="calibration", for_s=60)
    with pytest.raises(ConfigError, match="held by calibration"):
        await ask("device_write", parameter="temperature_set_c", value=45, holder="somebody")
    written = await ask("device_write", parameter="temperature_set_c", value="45", token=lease["token"])
    assert written["value"] == 45.0
    await ask("device_release", token=lease["token"])
    with pytest.raises(ConfigError, match="no lease is in force"):
        await ask("device_write", parameter="temperature_set_c", value=60, token=lease["token"])
    with pytest.raises(ConfigError, match="above 200"):
        await ask("device_write", parameter="temperature_set_c", value=999, holder="somebody")
    with pytest.raises(ConfigError, match="temperature_c"):
        await ask("device_read", parameter="temperatur_c")
    assert model(bench, "middle-first").settings["tset"] == 45.0
    # What somebody set is the configuration from now on: a restart brings it back.
    await bench.power_cycle("middle-first", 0.0)
    driver = equipment.drivers["first"]
    await driver.wait_for(Condition.LOST, DEADLINE_S)
    await driver.wait_for(Condition.READY, DEADLINE_S)
    assert model(bench, "middle-first").settings["tset"] == 45.0
    await ask("device_safe")
    assert not model(bench, "middle-first").heating
    await equipment.stop()


async def test_twenty_instruments_are_looked_at_while_one_hangs(tmp_path: Path) -> None:
    entries = [Entry(f"oven{number}") for number in range(20)]
    async with EquipmentBench(entries, tmp_path) as bench:
        bench.emulator("middle-oven7").set_fault(Fault.SILENT)
        finished: list[str] = []

        async def one(entry: Entry) -> None:
            (look,) = await look_at_all([entry], tmp_path, within_s=5.0)
            finished.append(look.name)
            assert look.well == (entry.name != "oven7"), look

        await asyncio.gather(*(one(entry) for entry in entries))
        # No order of time is asserted but this: the one that hangs comes last, so it kept nobody waiting.
        assert finished[-1] == "middle-oven7"


async def test_a_look_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    present, absent = Entry("present", serial_number="17"), Entry("absent")
    real = Entry("real", emulated=False)
    async with EquipmentBench([present], tmp_path):
        looks = {look.name: look for look in await look_at_all([present, absent, real], tmp_path)}
    assert "serial number" in looks["middle-present"].problem
    assert "serial_number" in looks["middle-present"].advice
    assert "cannot open" in looks["middle-absent"].problem
    assert "bellwire emulate" in looks["middle-absent"].advice
    assert "is it on" in looks["middle-real"].advice


async def test_a_driver_that_makes_pairs_is_no_equipment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="under instruments"):
        NodeEquipment([Entry("wrong", driver="memory_controller")], tmp_path, Health())


async def test_an_unconfirmed_safe_state_is_counted(
    ovens: tuple[EquipmentBench, tuple[Entry, ...]], tmp_path: Path
) -> None:
    bench, entries = ovens
    health = Health()
    equipment = NodeEquipment(entries[:1], tmp_path, health)
    await equipment.start()
    await ready(equipment)
    bench.set_fault("middle-first", "ignored_set")
    await equipment.stop()
    assert health.counts["safe_state_not_confirmed"] == 1
    assert model(bench, "middle-first").heating


def test_an_emulated_serial_line_has_an_absolute_path_and_other_addresses_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative one would be a host to a driver."""
    monkeypatch.chdir(tmp_path)
    assert device_path("pty:oven", Path("state/devices")) == str(tmp_path / "state" / "devices" / "oven")
    assert device_path("udp://192.0.2.9:161", Path("state")) == "udp://192.0.2.9:161"
