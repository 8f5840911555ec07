"""One link of two nodes on emulated instruments in this process: the live host's drivers and bindings, no
protocol.

Owns orders to the instruments and the count of joint attempts. Refuses agreement: the test arms both ends.
Times are those of the wall clock, but nothing that is counted depends on how busy the machine is: a round
begins with the first attempt that both memories really took part in.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from bellwire.core.effects import MeasureQubit, ReleaseQubit, StartAttempts, StartRun
from bellwire.core.events import Event, QubitHeld, QubitMeasured, StationHeralded
from bellwire.core.settings import Architecture, NetworkSettings
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.health import Health
from bellwire.runtime.instruments import NodeInstruments
from bellwire.simulator_backend.lab_emulation import LabEmulation
from tests.hosts.live import PATIENCE_S, wait_for
from tests.physics.links_of_two import NAMES

LINK = "ann-bob"
RUN = 9
AHEAD_NS = 20_000_000
"""A round is armed so far ahead; when it is late, it begins later."""
FAR = 10**6
"""Attempts of a lease: longer than any test."""


@dataclass(slots=True)
class Pair:
    """One herald and what both ends measured."""

    attempts: int  # joint attempts up to and including this one
    code: int
    bits: tuple[int, int]


@dataclass
class OneLink:
    """A link whose instruments are ready and whose station follows a run."""

    network: NetworkSettings
    instruments: dict[str, NodeInstruments]
    clock: LiveClock
    emulation: LabEmulation
    epoch_ns: int = 0
    heralds: dict[int, StationHeralded] = field(default_factory=dict[int, StationHeralded])  # by lane
    held: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])  # slots that caught
    measured: dict[tuple[str, int], QubitMeasured] = field(
        default_factory=dict[tuple[str, int], QubitMeasured]
    )
    started: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])  # first attempts
    news: asyncio.Event = field(default_factory=asyncio.Event)
    light: Callable[[], int] = lambda: 0  # pulses at the station's inputs so far

    @property
    def lanes(self) -> range:
        return range(self.network.links[LINK].lanes)

    def feed(self, node: str, event: Event) -> None:
        match event:
            case StationHeralded():
                self.heralds[event.lane] = event
            case QubitHeld():
                self.held[node, event.lane] = event.attempt
            case QubitMeasured():
                self.measured[node, event.operation] = event
            case _:
                pass
        self.news.set()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Take in events until a condition on them holds."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            pytest.fail(f"not within {PATIENCE_S} s: {what}")

    def slot(self, node: str, lane: int) -> int:
        return self.network.links[LINK].slots[NAMES.index(node)][lane]

    async def start_run(self) -> None:
        """Begin a run on a whole second that can still be armed, and wait for it."""
        link = self.network.links[LINK]
        self.epoch_ns = -(-(self.clock.now_ns() + NS_PER_S // 4) // NS_PER_S) * NS_PER_S
        self.instruments["mid"].orders.carry_out(
            StartRun(link=LINK, run=RUN, epoch_ns=self.epoch_ns, period_ns=link.period_ns, lanes=link.lanes)
        )
        await wait_for(self._running, "the run begins")

    async def _running(self) -> bool:
        return self.clock.now_ns() > self.epoch_ns

    def arm(self, generation: int) -> None:
        """Let all lanes attempt at both ends."""
        self.heralds.clear()
        self.held.clear()
        self.started.clear()
        period_ns = self.network.links[LINK].period_ns
        first = max(0, (self.clock.now_ns() + AHEAD_NS - self.epoch_ns) // period_ns)
        for node in NAMES:
            for lane in self.lanes:
                self.instruments[node].orders.carry_out(
                    StartAttempts(
                        slot=self.slot(node, lane),
                        generation=generation,
                        link=LINK,
                        lane=lane,
                        run=RUN,
                        epoch_ns=self.epoch_ns,
                        first=first,
                        last=first + FAR,
                        fence=1,
                    )
                )

    def release(self, node: str, lane: int) -> None:
        """Give up whatever a slot holds."""
        self.instruments[node].orders.carry_out(ReleaseQubit(slot=self.slot(node, lane), tag=0))

    async def pairs(self, generation: int, basis: Literal["X", "Y", "Z"]) -> list[Pair]:
        """One pair on every lane, both ends measured."""
        self.arm(generation)

        lanes = len(self.lanes)
        await self.until(
            lambda: len(self.heralds) == lanes and len(self.held) == 2 * lanes, "a herald on every lane"
        )
        self.measured.clear()
        for node in NAMES:
            for lane in self.lanes:
                order = MeasureQubit(
                    operation=lane,
                    slot=self.slot(node, lane),
                    basis=basis,
                    tag=0,
                    within_ns=2 * NS_PER_S,
                )
                self.instruments[node].orders.carry_out(order)

        await self.until(lambda: len(self.measured) == 2 * lanes, "all bits")
        return [self._pair(lane) for lane in self.lanes]

    def _pair(self, lane: int) -> Pair:
        attempt = self.heralds[lane].attempt
        assert {self.held[node, lane] for node in NAMES} == {attempt}
        one, other = (self.measured[node, lane].bit for node in NAMES)
        assert one is not None
        assert other is not None
        joint = max(self.started[node, lane] for node in NAMES)
        return Pair(attempt - joint + 1, self.heralds[lane].code, (one, other))


@asynccontextmanager
async def one_link(
    lab: Lab, folder: Path, *, configured_as: Architecture | None = None
) -> AsyncIterator[OneLink]:
    """A lab of links_of_two on its emulated instruments. configured_as: the station is told that its link is
    of another architecture than its hardware."""
    network = lab.network
    emulation = LabEmulation(lab, folder)
    bench = emulation.bench
    clock = LiveClock()
    health = Health()
    link = network.links[LINK]
    if configured_as is not None:
        wrong = msgspec.structs.replace(link, architecture=configured_as)
        network = msgspec.structs.replace(network, links={LINK: wrong})
    instruments: dict[str, NodeInstruments] = {}
    one = OneLink(network, instruments, clock, emulation)
    _note_starts(bench, one, link.period_ns)
    for name in (*NAMES, "mid"):
        entries = tuple(entry for entry in lab.instruments if entry.owner == name)

        def feed(event: Event, name: str = name) -> None:
            one.feed(name, event)

        equipment = tuple(entry for entry in lab.equipment if entry.owner == name)
        instruments[name] = NodeInstruments(
            network, name, entries, folder, feed, clock, health, equipment=equipment
        )
    async with emulation:
        if "mid" in bench.stations:
            core = bench.stations["mid"].core
            assert core is not None
            one.light = lambda: sum(core.registers.value("COUNT", channel) for channel in range(4))
        try:
            for each in instruments.values():
                await each.start()

            async def ready() -> bool:
                return all(each.ready for each in instruments.values())

            await wait_for(ready, "the instruments are ready")
            await one.start_run()
            yield one
        finally:
            for each in instruments.values():
                await each.stop()
    failed = {name: count for name, count in health.counts.items() if name.startswith("device_order")}
    assert failed == {}


def _note_starts(bench: Any, one: OneLink, period_ns: int) -> None:
    """Note the attempt with which each memory really began, which may be later than it was told."""
    world = bench._world
    arm = world.arm

    def noted(
        node: str, slot: int, link: str, lane: int, run: int, epoch_ns: int, first: int, *rest: int
    ) -> Any:
        now_ns = rest[1]
        one.started.setdefault((node, lane), max(first, -((epoch_ns - now_ns) // period_ns)))
        return arm(node, slot, link, lane, run, epoch_ns, first, *rest)

    world.arm = noted
