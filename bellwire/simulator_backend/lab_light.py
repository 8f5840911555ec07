"""The light of an emulated lab: what devices turn, see and count, and what becomes of the links by it.

Owns the meeting of three clocks' worth of things: instruments that ask whenever they like, one stream of
tags that may be drawn only once, and the World that draws heralds. A knob that an instrument turns changes
the link's heralds a moment later; so does drift. Refuses physics: that is `photons`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.core.registry import lookup
from bellwire.simulator_backend.photons.heralding import NEVER
from bellwire.simulator_backend.photons.optical_bench import PS_PER_NS, OpticalBench
from bellwire.simulator_backend.photons.sinks import Detector
from bellwire.simulator_backend.photons.tag_stream import Tags

if TYPE_CHECKING:
    from bellwire.simulator_backend.photons.description import OpticsDescription

SETTLE_S = 0.05
"""A device that ramps turns its knob often; the links follow at this pace."""
DRIFT_S = 1.0
CHUNK_NS = 20_000_000
RESOLUTION = 5e-6
"""Of a knob's value: an oven that creeps towards its goal for ever must not cost a new light each time."""
TAGS_KEPT_NS = 2_000_000_000
"""So long tags can be asked for again, by another instrument that counts the same light."""
DARK = 1e-15


class ChangeLink(Protocol):
    """`EmulatedBench.change_link`."""

    def __call__(
        self, link: str, *, success_probability: float, outcomes: tuple[HeraldOutcome, ...]
    ) -> None: ...


class LabLight:
    """Surroundings of all emulated devices of a lab. An instrument's clock may lag behind another's by a
    moment.
    """

    def __init__(
        self,
        description: OpticsDescription,
        seed: int,
        change_link: ChangeLink,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.bench = OpticalBench(description.layout, seed, epoch_ns=clock())
        self.counters = {"turns_limited": 0, "tags_too_old": 0}
        self._description = description
        self._change_link = change_link
        self._clock = clock
        self._now_ns = clock()
        self._epoch_ns = self._now_ns
        self._knobs = self.bench.knobs()
        self._channels = {
            name: part.channel
            for name, part in description.layout.components.items()
            if isinstance(part, Detector)
        }
        self._told: dict[str, HeraldPhysics] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._drifting: asyncio.Task[None] | None = None
        self._drawn: deque[tuple[int, int, Tags]] = deque()
        self._drawn_to_ns = self._now_ns

    # -- surroundings ---------------------------------------------------------------------------------------

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        """Turn a knob as far as it goes; a device that wants more meets the stop. Raises ConfigError
        (unknown).
        """
        known = lookup("knob", knob, self._knobs)
        limited = min(max(value, known.low), known.high)
        self.counters["turns_limited"] += limited != value
        before = self.bench.gauge(knob, self._present(now_ns))
        if abs(limited - before) > RESOLUTION * max(abs(limited), abs(before)):
            self.bench.turn(knob, limited, self._present(now_ns))
            self._follow_soon()

    def gauge(self, name: str, now_ns: int) -> float:
        """A physical quantity now. Raises ConfigError (unknown)."""
        return self.bench.gauge(name, self._present(now_ns))

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        """Tags of detectors and edges of pulses per second by name, in ps after `start_ns`, and the index of
        each in `channels`.
        """
        edges = [self._seconds(channel, start_ns, stop_ns) for channel in channels]
        if any(each is not None for each in edges):
            return self._with_seconds(channels, edges, start_ns, stop_ns)
        numbers = [lookup("detector", channel, self._channels) for channel in channels]
        self._draw_to(stop_ns)
        if self._drawn and start_ns < self._drawn[0][0]:
            self.counters["tags_too_old"] += 1
        index_of = np.full(256, -1, np.int16)
        index_of[numbers] = np.arange(len(numbers))
        times: list[NDArray[np.int64]] = []
        found: list[NDArray[np.int16]] = []
        for begin_ns, end_ns, tags in self._drawn:
            if end_ns <= start_ns or begin_ns >= stop_ns:
                continue
            # Times of the stream count from the epoch of the bench.
            low = np.searchsorted(tags.time_ps, (start_ns - self._epoch_ns) * PS_PER_NS)
            high = np.searchsorted(tags.time_ps, (stop_ns - self._epoch_ns) * PS_PER_NS)
            which = index_of[tags.channel[low:high]]
            mine = which >= 0
            times.append(tags.time_ps[low:high][mine] - (start_ns - self._epoch_ns) * PS_PER_NS)
            found.append(which[mine])
        if not times:
            return np.empty(0, np.int64), np.empty(0, np.int16)
        return np.concatenate(times), np.concatenate(found)

    def _seconds(self, channel: str, start_ns: int, stop_ns: int) -> NDArray[np.int64] | None:
        """Edges of a pulse per second, in ps after `start_ns`; None: the channel is none."""
        start_ps, stop_ps = ((each - self._epoch_ns) * PS_PER_NS for each in (start_ns, stop_ns))
        edges = self.bench.seconds(channel, start_ps, stop_ps)
        return None if edges is None else edges - start_ps

    def _with_seconds(
        self,
        channels: Sequence[str],
        edges: Sequence[NDArray[np.int64] | None],
        start_ns: int,
        stop_ns: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        lit = [index for index, each in enumerate(edges) if each is None]
        found, which = np.empty(0, np.int64), np.empty(0, np.int16)
        if lit:
            found, which = self.tags([channels[index] for index in lit], start_ns, stop_ns)
        times, numbers = [found], [np.asarray(lit, np.int16)[which]]
        for index, each in enumerate(edges):
            if each is not None:
                times.append(each)
                numbers.append(np.full(len(each), index, np.int16))
        at_ps, number = np.concatenate(times), np.concatenate(numbers)
        order = np.argsort(at_ps, kind="stable")
        return at_ps[order], number[order]

    def _draw_to(self, stop_ns: int) -> None:
        if self._drawn_to_ns < stop_ns - TAGS_KEPT_NS:
            self._drawn_to_ns = stop_ns - TAGS_KEPT_NS  # nobody looked: that light is gone
        while self._drawn_to_ns < stop_ns:
            until_ns = min(stop_ns, self._drawn_to_ns + CHUNK_NS)
            tags = self.bench.tags(
                (self._drawn_to_ns - self._epoch_ns) * PS_PER_NS, (until_ns - self._epoch_ns) * PS_PER_NS
            )
            self._drawn.append((self._drawn_to_ns, until_ns, tags))
            self._drawn_to_ns = until_ns
        while self._drawn and self._drawn[0][1] < stop_ns - TAGS_KEPT_NS:
            self._drawn.popleft()

    # -- links ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Tell the World what the links are worth now, and go on telling it."""
        self.follow()
        self._drifting = asyncio.get_running_loop().create_task(self._drift())

    async def stop(self) -> None:
        """No more changes."""
        if self._timer is not None:
            self._timer.cancel()
        if self._drifting is not None:
            self._drifting.cancel()
            await asyncio.gather(self._drifting, return_exceptions=True)

    def physics(self, link: str) -> HeraldPhysics:
        """What the link heralds at this moment."""
        return self.bench.heralds(self._description.links[link], self._present(self._clock()))

    def follow(self) -> None:
        """Bring every link to what the light is now; links that have not changed are left alone."""
        for link in self._description.links:
            found = self.physics(link)
            if self._told.get(link) == found:
                continue
            self._told[link] = found
            outcomes = found.outcomes if found.success_probability > 0.0 else NEVER.outcomes
            self._change_link(
                link, success_probability=max(found.success_probability, DARK), outcomes=outcomes
            )

    def _follow_soon(self) -> None:
        if self._timer is None and self._drifting is not None:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_S, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.follow()

    async def _drift(self) -> None:
        while True:
            await asyncio.sleep(DRIFT_S)
            self.follow()

    def _present(self, now_ns: int) -> int:
        self._now_ns = max(self._now_ns, now_ns)
        return self._now_ns
