"""The pytest plugin that comes with bellwire, as a lab uses it: its own scripts have no bellwire in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import serial

from bellwire.labs.free_ports import on_free_ports
from bellwire.testing.emulator_thread import ScriptedFault
from bellwire.testing.plugin import InstrumentMaker, LabMaker

LAB = """
lab: bench
nodes:
  alice: {role: end, address: "tcp://127.0.0.1:27901"}
  bob: {role: end, address: "tcp://127.0.0.1:27902"}
stations:
  middle:
    address: tcp://127.0.0.1:27911
    equipment:
      oven: {driver: thorlabs_tc200, address: "pty:oven", emulated: true}
      second: {driver: thorlabs_tc200, address: "pty:second", emulated: true}
links:
  one: {nodes: [alice, bob], station: middle, fibre_km: [5, 5], attempt_period_us: 1000}
"""


def asked(path: str, command: bytes) -> bytes:
    """A lab's own script: pyserial and the manual of the controller."""
    with serial.Serial(path, 115200, timeout=2.0) as port:
        port.write(command + b"\r")
        return port.read_until(b"> ")


def test_a_script_of_the_lab_talks_to_an_emulated_instrument(emulated_instrument: InstrumentMaker) -> None:
    oven = emulated_instrument("thorlabs_tc200", pace=0.0)
    assert b"THORLABS TC200" in asked(oven.address, b"id?")
    assert asked(oven.address, b"tset=40.0") == b"tset=40.0\r> "
    assert b"40.0 Celsius" in asked(oven.address, b"tset?")
    assert oven.requests == [b"id?", b"tset=40.0", b"tset?"]
    assert oven.changes == [b"tset=40.0"]


def test_a_fault_reaches_the_script_and_goes_away(emulated_instrument: InstrumentMaker) -> None:
    oven = emulated_instrument("thorlabs_tc200", pace=0.0)
    oven.set_fault("half_reply", times=1)
    half = asked(oven.address, b"tset?")
    assert b"> " not in half
    assert b"25.0 Celsius" in asked(oven.address, b"tset?")


def test_a_power_cycle_restores_the_defaults(emulated_instrument: InstrumentMaker) -> None:
    oven = emulated_instrument("thorlabs_tc200", pace=0.0)
    asked(oven.address, b"tset=60.0")
    oven.power_cycle()
    assert b"25.0 Celsius" in asked(oven.address, b"tset?")


def test_a_script_of_faults_plays_beside_the_test(emulated_instrument: InstrumentMaker) -> None:
    oven = emulated_instrument("thorlabs_tc200", pace=0.0)
    oven.script([ScriptedFault(after_s=0.0, fault="garbage", times=1)])
    answers = [asked(oven.address, b"tset?") for _ in range(2)]
    assert sum(b"Celsius" in answer for answer in answers) == 1
    with pytest.raises(ValueError, match="no_such"):
        oven.script([ScriptedFault(after_s=0.0, fault="no_such")])


def test_a_whole_lab_is_emulated_on_ports_of_its_own(emulated_lab: LabMaker, tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text(LAB, encoding="utf-8")
    first, second = emulated_lab(path), emulated_lab(path)
    assert first.names == ["middle-oven", "middle-second"]
    asked(first.instrument("middle-oven").address, b"tset=50.0")
    assert b"50.0" in asked(first.instrument("middle-oven").address, b"tset?")
    assert b"25.0" in asked(second.instrument("middle-oven").address, b"tset?")
    assert first.lab.addresses != second.lab.addresses


def test_the_same_port_stays_the_same_and_others_are_left_alone() -> None:
    text = "a: tcp://127.0.0.1:27901, b: TCPIP::127.0.0.1::27901::SOCKET, c: tcp://192.0.2.1:5025"
    moved = on_free_ports(text)
    port = moved.split("127.0.0.1:")[1].split(",")[0]
    assert port != "27901"
    assert f"TCPIP::127.0.0.1::{port}::SOCKET" in moved
    assert "192.0.2.1:5025" in moved
