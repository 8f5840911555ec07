"""A lab of six instruments without light, emulated in a thread: enough for leases, records and refusals.

Owns the file and where it lies. The emulators run in the test's process, and `open_lab(..., direct=True)`
connects to them as to any instrument.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.procedure import Finding
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work
from bellwire.testing.emulated_labs import EmulatedLabInThread, start_lab
from bellwire.testing.emulator_thread import LoopThread

LAB = """
lab: small
nodes:
  alice:
    role: end
    address: tcp://127.0.0.1:27101
    equipment:
      tagger: {driver: fpga_tagger, address: "pty:alice-tagger", emulated: true}
      plate: {driver: thorlabs_mpc320, address: "pty:alice-plate", emulated: true}
      pump: {driver: nkt_basik, address: "pty:alice-pump", emulated: true}
      oven:
        {driver: thorlabs_tc200, address: "pty:alice-oven", emulated: true, settings: {temperature_max_c: 90}}
    composites:
      pairs: {kind: pair_source, pump: pump, oven: oven, pump_value: 10.0, crystal_temperature_c: 25.0}
  bob:
    role: end
    address: tcp://127.0.0.1:27102
    equipment:
      tagger: {driver: fpga_tagger, address: "pty:bob-tagger", emulated: true}
      plate: {driver: thorlabs_mpc320, address: "pty:bob-plate", emulated: true}
links:
  alice-bob:
    nodes: [alice, bob]
    attempt: {period_us: 100, success_probability: 0.1}
    calibration:
      kind: distribution
      receivers:
        alice: {tagger: alice-tagger, channels: {h: 1, v: 2}}
        bob: {tagger: bob-tagger, channels: {h: 1, v: 2}}
      arms:
        alice: {plate: alice-plate}
        bob: {plate: bob-plate}
      source: alice-pairs
      required: [darks]
console: {address: "tcp://127.0.0.1:27103"}
"""
PLATE = "angle_deg.2"


@dataclass(frozen=True)
class SmallLab:
    """`path` of the file and `state` for `open_lab`; the emulators for faults."""

    path: Path
    state: Path
    emulated: EmulatedLabInThread


@contextmanager
def small_lab(thread: LoopThread, folder: Path) -> Iterator[SmallLab]:
    """The lab, its instruments answering."""
    original, state = folder / "small.yaml", folder / "state"
    original.write_text(LAB, encoding="utf-8")
    played = start_lab(thread, original, state / "devices")
    try:
        yield SmallLab(state / "devices" / "small.yaml", state, played)
    finally:
        played.stop()


@dataclass(frozen=True)
class TurnPlate:
    """A procedure of somebody's own: it turns the plate of bob's arm and measures nothing."""

    turn_deg: float = 30.0
    least_deg: float = 0.0
    name: str = "turn_plate"
    meaning: str = "whether the plate turns"
    needs: tuple[str, ...] = ()
    valid_for_s: float = 60.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return None if bench.arm("bob").plate is not None else "bob has no plate"

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return ("bob-plate",)

    async def run(self, work: Work) -> Finding:
        plate = work.bench.arm("bob").plate
        assert plate is not None
        before = await work.read_number(plate)
        work.tell("turning", 0.5, before_deg=before)
        await work.set(plate, before + self.turn_deg)
        turned = await work.read_number(plate) - before
        return Finding(
            quantities={"turned_deg": Quantity(turned, 0.1, "deg")},
            checks=(Check("turned_deg", turned, self.least_deg, None, "deg"),),
        )
