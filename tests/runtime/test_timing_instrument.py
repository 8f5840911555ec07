"""The delay generator of a station: emulated as the lab file says, configured as the link needs it, at rest
after a stop.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bellwire.drivers.dg645 import Dg645
from bellwire.labs import load_lab
from bellwire.labs.free_ports import free_ports
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.health import Health
from bellwire.runtime.instruments import NodeInstruments
from bellwire.simulator_backend.devices.dg645_emulator import Dg645Model
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.emulation import wire
from tests.drivers.conftest import eventually

LAB = """\
lab: timed
nodes:
  alice: {role: end, address: "tcp://127.0.0.1:47001"}
  bob: {role: end, address: "tcp://127.0.0.1:47003"}
stations:
  west:
    instruments:
      timing: {driver: srs_dg645, address: "ADDRESS", serial_number: 004711, emulated: true}
links:
  left: {nodes: [alice, bob], station: west, fibre_km: [4, 10]}
requests:
  - {id: demo, from: alice, to: bob, count: 10, fidelity_min: 0.7}
"""


def model_of(device: InstrumentEmulator) -> Dg645Model:
    assert isinstance(device.model, Dg645Model)
    return device.model


@pytest.mark.parametrize(
    "address", ["TCPIP::127.0.0.1::{}::SOCKET", "TCPIP::127.0.0.1,{}::inst0::INSTR", "pty:west-timing"]
)
async def test_a_station_triggers_at_the_rate_of_its_link_and_rests_after_a_stop(
    tmp_path: Path, address: str
) -> None:
    path = tmp_path / "timed.yaml"
    place = address.format(*free_ports(1))
    path.write_text(LAB.replace("ADDRESS", place).replace("004711", '"004711"'), encoding="utf-8")
    lab = load_lab(path)
    async with wire(lab, tmp_path / "devices") as bench:
        device = bench.triggers["west-timing"]
        model_of(device).reply("BURM 1", 0)  # left by somebody
        entries = tuple(entry for entry in lab.instruments if entry.owner == "west")
        instruments = NodeInstruments(
            lab.network, "west", entries, tmp_path / "devices", lambda event: None, LiveClock(), Health()
        )
        await instruments.start()
        await eventually(lambda: instruments.ready, "the generator is configured")
        numbers = model_of(device).numbers
        assert float(numbers["TRAT"]) == pytest.approx(1e9 / lab.network.links["left"].period_ns, abs=1e-6)
        assert (int(numbers["TSRC"]), int(numbers["BURM"])) == (0, 0)
        (driver,) = instruments._instruments
        assert isinstance(driver, Dg645)
        assert driver.identity is not None
        assert driver.identity.serial_number == "004711"
        await instruments.stop()
        assert model_of(device).numbers["TSRC"] == 5
