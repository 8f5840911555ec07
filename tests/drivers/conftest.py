"""A small emulated lab for driver tests: two memory controllers, one station, one World.

Time is shifted so that a second of the lab begins soon after the start: runs start at full seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.drivers.framed_device import FramedSettings
from bellwire.drivers.herald_fpga import HeraldFpga, HeraldRecord
from bellwire.drivers.herald_settings import HeraldSettings
from bellwire.drivers.instrument import Backoff
from bellwire.drivers.memory_controller import MemoryController, MemorySettings
from bellwire.simulator_backend.devices.bench import EmulatedBench, NodeWiring, StationWiring
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware
from bellwire.simulator_backend.devices.operation_durations import OperationDurations
from bellwire.simulator_backend.world import LinkTruth, MemoryTruth, World

PERIOD_NS = 1_000_000
CLICK_DELAY_NS = 50_104
FAST = FramedSettings(reply_timeout_s=0.08, keepalive_s=0.05, silence_s=1.0)
RETRY = Backoff(first_s=0.02, longest_s=0.1, refused_s=0.05)


async def eventually(condition: Callable[[], bool], what: str, deadline_s: float = 8.0) -> None:
    """Wait until a condition holds; fail with `what` after the deadline."""
    try:
        async with asyncio.timeout(deadline_s):
            while not condition():  # noqa: ASYNC110 - the condition lives in plain state, not in an event
                await asyncio.sleep(0.002)
    except TimeoutError:
        pytest.fail(f"not within {deadline_s} s: {what}")


@dataclass
class Lab:
    """What a test works with."""

    world: World
    bench: EmulatedBench
    fpga: HeraldFpga
    alice: MemoryController
    bob: MemoryController
    clock: Callable[[], int]
    truth_log: list[tuple[object, ...]]
    records: list[HeraldRecord] = field(default_factory=list)
    bounds: list[tuple[int, int]] = field(default_factory=list)
    losses: list[tuple[int, int, int, int]] = field(default_factory=list)
    held: dict[str, list[tuple[int, ...]]] = field(default_factory=lambda: {"alice": [], "bob": []})
    resets: list[str] = field(default_factory=list)

    eventually = staticmethod(eventually)

    @property
    def drivers(self) -> tuple[HeraldFpga, MemoryController, MemoryController]:
        return self.fpga, self.alice, self.bob

    def next_epoch_s(self) -> int:
        """The next full second that can still be armed."""
        return (self.clock() + 100_000_000) // 10**9 + 1

    async def connect(self) -> None:
        for driver in self.drivers:
            await driver.connect()

    async def configure_station(self) -> None:
        await self.fpga.configure(
            HeraldSettings(link_period_ns=PERIOD_NS, lanes=2, start_delay_ns=CLICK_DELAY_NS - 104)
        )

    async def configure(self) -> None:
        await self.configure_station()
        await self.configure_memory(self.bob)
        await self.configure_memory()

    async def configure_memory(self, memory: MemoryController | None = None) -> None:
        await (memory or self.alice).configure(MemorySettings(port_periods_ns={3: PERIOD_NS}, lease_ms=2000))

    async def start_run(self, run_short: int) -> int:
        epoch_s = self.next_epoch_s()
        await self.fpga.start_run(run_short, epoch_s)
        return epoch_s

    async def arm_both(
        self, slot: int, lane: int, run_short: int, epoch_s: int, fence: int = 1, point: int = 0
    ) -> None:
        for memory in (self.alice, self.bob):
            await memory.arm(slot, 3, lane, run_short, epoch_s, 0, 10**9, fence, point)


PERFECT_HERALDS = (
    HeraldOutcome(1, 0.5, (0.0, 0.0, 1.0, 0.0)),
    HeraldOutcome(2, 0.5, (0.0, 0.0, 0.0, 1.0)),
)


def make_lab(
    tmp_path: Path,
    *,
    success: float,
    durations: OperationDurations | None,
    ring_log2: int = 8,
    outcomes: tuple[HeraldOutcome, ...] = PERFECT_HERALDS,
    points: tuple[HeraldPhysics, ...] = (),
    udp: bool = False,
) -> Lab:
    shift_ns = 800_000_000 - time.time_ns() % 10**9

    def clock() -> int:
        return time.time_ns() + shift_ns

    world = World(
        [
            LinkTruth(
                name="alice-bob",
                nodes=("alice", "bob"),
                period_ns=PERIOD_NS,
                success_probability=success,
                outcomes=outcomes,
                lanes=2,
                click_delay_ns=CLICK_DELAY_NS,
                points=points,
            )
        ],
        [MemoryTruth(node="alice", slots=4), MemoryTruth(node="bob", slots=4)],
        seed=5,
    )
    log: list[tuple[object, ...]] = []
    bench = EmulatedBench(
        world,
        stations=[
            StationWiring(
                station="station",
                link="alice-bob",
                nodes=("alice", "bob"),
                path=tmp_path / "station",
                udp_port=0 if udp else None,
                serial_number=77,
                hardware=HeraldHardware(ring_log2=ring_log2),
            )
        ],
        nodes=[
            NodeWiring(
                node=node,
                path=tmp_path / node,
                slots=4,
                ports={3: "alice-bob"},
                serial_number=number,
                durations=durations,
            )
            for number, node in ((11, "alice"), (12, "bob"))
        ],
        truth_log=lambda *entry: log.append(entry),
        clock=clock,
    )
    fpga = HeraldFpga("station", str(tmp_path / "station"), serial_number="77", framed=FAST, backoff=RETRY)
    alice = MemoryController(
        "alice",
        str(tmp_path / "alice"),
        serial_number="11",
        framed=FAST,
        backoff=RETRY,
        operation_timeout_s=0.3,
    )
    bob = MemoryController(
        "bob", str(tmp_path / "bob"), serial_number="12", framed=FAST, backoff=RETRY, operation_timeout_s=0.3
    )
    lab = Lab(world, bench, fpga, alice, bob, clock, log)
    fpga.on_record = lab.records.append
    fpga.on_bound = lambda run, to: lab.bounds.append((run, to))
    fpga.on_lost = lambda run, first, last, count: lab.losses.append((run, first, last, count))
    fpga.on_reset = lambda: lab.resets.append("station")
    for memory in (alice, bob):
        memory.on_held = lambda *held, name=memory.name: lab.held[name].append(held)
        memory.on_reset = lambda name=memory.name: lab.resets.append(name)
    return lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """Powered devices, drivers not yet connected; one herald in twenty attempts."""
    lab = make_lab(tmp_path, success=0.05, durations=None)
    async with lab.bench:
        yield lab
        for driver in lab.drivers:
            await driver.close()


@pytest.fixture
async def slow_lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """As `lab`, but a Bell measurement takes 5 s: long enough to pull the plug."""
    lab = make_lab(tmp_path, success=0.05, durations=OperationDurations(bell_ns=5_000_000_000))
    async with lab.bench:
        yield lab
        for driver in lab.drivers:
            await driver.close()
