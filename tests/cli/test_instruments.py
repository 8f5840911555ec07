"""`check --connect`, `device`, `fault`, `discover`: what an operator does with the instruments of a lab."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bellwire.cli.main import app
from bellwire.drivers import cards, discovery
from bellwire.labs.free_ports import on_free_ports
from bellwire.runtime.control import socket_path
from tests.cli.processes import PROGRAM

LAB = """
lab: bench
nodes:
  alice: {role: end, address: "tcp://127.0.0.1:27901"}
  bob: {role: end, address: "tcp://127.0.0.1:27902"}
stations:
  middle:
    address: tcp://127.0.0.1:27911
    equipment:
      oven: {driver: thorlabs_tc200, address: "pty:oven", emulated: true, settings: {temperature_set_c: 42.0}}
      pump: {driver: nkt_basik, address: "pty:pump", emulated: true, serial_number: "K77"}
      switch: {driver: polatis_oxc, address: "TCPIP::127.0.0.1::27912::SOCKET", emulated: true}
    composites:
      source: {kind: pair_source, pump: pump, oven: oven, pump_value: 10.0, crystal_temperature_c: 42.0}
links:
  one: {nodes: [alice, bob], station: middle, fibre_km: [5, 5], attempt_period_us: 1000}
"""


def bellwire(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "bench.yaml"
    path.write_text(on_free_ports(LAB), encoding="utf-8")
    return path


@pytest.fixture
def emulated(lab: Path, tmp_path: Path) -> Iterator[Path]:
    """The lab with `bellwire emulate` beside it; the state directory."""
    state = tmp_path / "state"
    process = subprocess.Popen([*PROGRAM, "emulate", str(lab), "--state", str(state)])
    try:
        deadline = time.monotonic() + 60
        while not socket_path(state, "emulator").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield state
    finally:
        process.terminate()
        assert process.wait(30) == 0


def looked_at(lab: Path, state: Path) -> tuple[Result, dict[str, Any]]:
    found = bellwire("check", str(lab), "--connect", "--state", str(state), "--json")
    return found, {one["name"]: one for one in json.loads(found.stdout)["instruments"]}


def test_a_lab_is_looked_at_without_anything_running(lab: Path, tmp_path: Path) -> None:
    found, instruments = looked_at(lab, tmp_path / "nothing")
    assert found.exit_code == 0, found.output
    assert set(instruments) == {"middle-oven", "middle-pump", "middle-switch"}
    assert instruments["middle-pump"]["serial_number"] == "K77"
    assert instruments["middle-oven"]["readings"]["temperature_set_c"]["value"] == 25.0
    text = bellwire("check", str(lab), "--connect", "--state", str(tmp_path / "nothing")).stdout
    assert "Polatis" in text or "OXC" in text


def test_trouble_is_told_with_what_to_do_about_it(lab: Path, emulated: Path) -> None:
    assert bellwire("fault", str(lab), "middle-oven", "interlock", "--state", str(emulated)).exit_code == 0
    assert bellwire("fault", str(lab), "middle-switch", "power_off", "--state", str(emulated)).exit_code == 0
    found, instruments = looked_at(lab, emulated)
    assert found.exit_code == 1
    assert "alarm" in instruments["middle-oven"]["problem"]
    assert "interlock" in instruments["middle-oven"]["advice"]
    assert "bellwire emulate" in instruments["middle-switch"]["advice"]
    assert instruments["middle-pump"]["well"]
    for what, name in (("clear", "middle-oven"), ("power_on", "middle-switch")):
        assert bellwire("fault", str(lab), name, what, "--state", str(emulated)).exit_code == 0
    assert looked_at(lab, emulated)[0].exit_code == 0


def test_one_instrument_is_read_set_and_made_safe(lab: Path, emulated: Path) -> None:
    def device(*words: str) -> Result:
        return bellwire("device", str(lab), *words, "--state", str(emulated))

    assert device("oven", "set", "temperature_set_c", "38.5").stdout == "temperature_set_c = 38.5 C\n"
    assert device("middle-oven", "get", "temperature_set_c").stdout == "temperature_set_c = 38.5 C\n"
    assert device("oven", "set", "heating", "on").stdout == "heating = on\n"
    assert device("oven", "safe").exit_code == 0
    assert json.loads(device("oven", "get", "heating", "--json").stdout)["value"] is False
    watched = device("oven", "watch", "temperature_c", "--times", "3", "--every", "0.05").stdout
    assert watched.count("temperature_c = ") == 3
    shown = device("pump").stdout
    assert "power_set_mw" in shown
    assert "0 to 655.35" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ovn", "get", "heating"), 'no equipment is called "ovn" (did you mean'),
        (("oven", "get", "heatng"), 'no parameter "heatng" (did you mean "heating"?)'),
        (("oven", "get"), "get needs a PARAMETER"),
        (("oven", "set", "heating"), "set needs a VALUE"),
        (("oven", "set", "temperature_set_c", "500"), "above 200 C"),
        (("oven", "set", "temperature_c", "30"), "can only be read"),
        (("oven", "set", "heating", "perhaps"), "is a switch, not 'perhaps'"),
    ],
)
def test_wrong_words_are_one_line(lab: Path, emulated: Path, words: tuple[str, ...], sentence: str) -> None:
    found = bellwire("device", str(lab), *words, "--state", str(emulated))
    assert found.exit_code == 2
    assert sentence in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_fault_that_the_device_cannot_have_is_refused(lab: Path, emulated: Path) -> None:
    found = bellwire("fault", str(lab), "middle-oven", "overflow", "--state", str(emulated))
    assert found.exit_code == 2
    assert "overflow" in found.stderr
    found = bellwire("fault", str(lab), "middle-oven", "silnt", "--state", str(emulated))
    assert found.exit_code == 2
    assert "silent" in found.stderr


def test_without_emulation_a_device_says_what_to_start(lab: Path, tmp_path: Path) -> None:
    found = bellwire("device", str(lab), "oven", "get", "heating", "--state", str(tmp_path / "no"))
    assert found.exit_code == 2
    assert "cannot open" in found.stderr
    found = bellwire("fault", str(lab), "middle-oven", "silent", "--state", str(tmp_path / "no"))
    assert found.exit_code == 2
    assert "is the lab up?" in found.stderr


def test_what_listens_at_a_host_is_found(lab: Path, emulated: Path) -> None:
    """The emulated lab listens on ports of its own, so only that asking harms nobody is seen here."""
    before = json.loads(bellwire("discover", "127.0.0.1", "--json").stdout)
    assert all({"address", "said", "driver"} == set(one) for one in before)
    assert looked_at(lab, emulated)[0].exit_code == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("driver: thorlabs_tc200", "driver: thorlabs_tc20"), 'unknown driver "thorlabs_tc20"'),
        (("{temperature_set_c: 42.0}", "{temperature_st_c: 42.0}"), "temperature_set_c"),
        (("{temperature_set_c: 42.0}", "{temperature_set_c: 420.0}"), "above 200 C"),
        (("{temperature_set_c: 42.0}", "{temperature_c: 42.0}"), "not a setting"),
        (("oven: oven,", "oven: ovn,"), 'no equipment is called "ovn"'),
        (("pump: pump,", "pump: switch,"), "plays optical_switch, not pump_laser or current_laser"),
        (('address: "pty:pump"', 'address: "pty:oven"'), "already taken"),
        (("kind: pair_source", "kind: pear_source"), "pair_source"),
        (
            (
                "      switch:",
                '      one: {driver: single_quantum_websq, address: "tcp://127.0.0.1:20001"}\n'
                '      two: {driver: idq_id900, address: "tcp://127.0.0.1:20346"}\n'
                "      switch:",
            ),
            "port 20346 is already taken",
        ),
    ],
)
def test_a_wrong_lab_file_is_told_by_line_before_anything_is_connected(
    lab: Path, change: tuple[str, str], sentence: str
) -> None:
    text = lab.read_text(encoding="utf-8")
    assert change[0] in text
    lab.write_text(text.replace(*change, 1), encoding="utf-8")
    found = bellwire("check", str(lab))
    assert found.exit_code == 2
    assert sentence in found.stderr, found.stderr
    assert "bench.yaml:" in found.stderr


def test_the_guesses_of_discover_are_drivers() -> None:
    quoted = set(re.findall(r'"([a-z0-9]+(?:_[a-z0-9]+)+)"', inspect.getsource(discovery)))
    assert {"srs_dg645", "toptica_dlc_pro", "thorlabs_mpc320"} <= quoted
    assert quoted <= set(cards()), quoted - set(cards())


def test_a_demo_of_real_instruments_is_refused(lab: Path) -> None:
    text = lab.read_text(encoding="utf-8").replace('address: "pty:pump", emulated: true', 'address: "/dev/x"')
    lab.write_text(text, encoding="utf-8")
    found = bellwire("demo", "--lab", str(lab))
    assert found.exit_code == 2
    assert "bellwire up" in found.stderr


def test_a_lab_without_addresses_is_for_virtual_time(tmp_path: Path) -> None:
    lab = Path(__file__).parents[2] / "lab_configs" / "shared_hub.yaml"
    found = bellwire("demo", "--lab", str(lab), "--state", str(tmp_path / "state"))
    assert found.exit_code == 2
    assert "no address" in found.stderr
    assert "bellwire simulate" in found.stderr
    assert found.stderr.count("\n") == 1
