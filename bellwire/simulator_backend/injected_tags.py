"""Tags of heralds, of a PPS and of darks at the inputs of emulated taggers, over the light beneath.

Owns what a station without an FPGA sees: the World draws heralds, and their clicks lie at the detectors of
the station here. Inside the windows of a link's attempts every click is the World's, whose heralds contain
the accidental ones already; darks and light of the stream are kept out of them, so that nothing is counted
twice. Beside the windows the stream's darks are all there is. Refuses lone photons of attempts that failed:
the World does not draw them, so singles in the windows are those of heralds.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bellwire.core.settings import Architecture
from bellwire.simulator_backend.devices.herald_fired import FIRED
from bellwire.simulator_backend.devices.surroundings import Alone, Surroundings
from bellwire.simulator_backend.world_words import Click, PlannedClick

if TYPE_CHECKING:
    from numpy.typing import NDArray

PPS = "pps"
"""The channel with an edge at each unix second."""
JITTER_PS = 50.0
"""Standard deviation of a detector's response; catalogue nanowires have 15 to 100 ps. Cut at 3 of them, and
a click is never tagged before its light came."""
SECOND_NS = 1_000_000_000
PS_PER_NS = 1_000
KEPT_NS = 3_000_000_000
GUARD_NS = 1
"""Darks stay so much further away from a window than its half, so that no delay brings them in."""


class HeraldInputs(Protocol):
    """How a station is wired to its tagger, by inputs of an analyser 0 .. 3."""

    @property
    def tagger(self) -> str: ...

    @property
    def pps_channel(self) -> int: ...

    @property
    def channels(self) -> Mapping[int, int]: ...

    @property
    def delays_ps(self) -> Mapping[int, int]: ...

    @property
    def window_ns(self) -> int | None: ...

    @property
    def dark_rate_hz(self) -> Mapping[int, float]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedInput:
    """The detector behind one input. `channel`: its name in the wiring. `dark_rate_hz`: None = the light
    beneath has a detector of that name, with its own darks.
    """

    channel: str
    number: int
    delay_ps: int
    dark_rate_hz: float | None


@dataclass(slots=True)
class TaggedLink:
    """One link and the detectors of its station. Attempts of lane k come k / lanes of a period later."""

    architecture: Architecture
    period_ns: int
    lanes: int
    window_ns: int
    inputs: tuple[TaggedInput, ...]
    seed: int
    phases: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(from, phase): since when the middles of windows lie at phase + n * spacing, unix ns."""

    @property
    def spacing_ns(self) -> int:
        """From one window to the next."""
        return self.period_ns // self.lanes

    def plan(self, planned: PlannedClick, now_ns: int) -> None:
        """A click is planned: attempts lie on its grid from now on."""
        phase_ns = planned.at_ns % self.spacing_ns
        if not self.phases or self.phases[-1][1] != phase_ns:
            self.phases.append((now_ns, phase_ns))
            while len(self.phases) > 1 and self.phases[1][0] < now_ns - KEPT_NS:
                self.phases.pop(0)

    def beside(self, times_ps: NDArray[np.int64], start_ns: int, delay_ps: int) -> NDArray[np.bool_]:
        """Which of the times (ps after `start_ns`) lie in no window."""
        kept = np.ones(len(times_ps), np.bool_)
        spacing_ps = self.spacing_ns * PS_PER_NS
        half_ps = self.window_ns * PS_PER_NS // 2 + GUARD_NS * PS_PER_NS
        for index, (from_ns, phase_ns) in enumerate(self.phases):
            middle_ps = (phase_ns - start_ns) % self.spacing_ns * PS_PER_NS + delay_ps
            distance_ps = (times_ps - middle_ps + spacing_ps // 2) % spacing_ps - spacing_ps // 2
            concerned = times_ps >= (from_ns - start_ns) * PS_PER_NS
            if index + 1 < len(self.phases):
                concerned &= times_ps < (self.phases[index + 1][0] - start_ns) * PS_PER_NS
            kept &= ~concerned | (np.abs(distance_ps) > half_ps)
        return kept

    def tagged(self, click: Click) -> list[tuple[TaggedInput, int]]:
        """Where a success clicks, and its tags in unix ps."""
        patterns = FIRED[self.architecture][click.code]
        numbers = patterns[click.attempt % len(patterns)]
        chance = np.random.default_rng([self.seed, click.run, click.attempt, click.lane])
        at_ps = (click.at_ns + click.lane * self.spacing_ns) * PS_PER_NS
        found: list[tuple[TaggedInput, int]] = []
        for one in self.inputs:
            if one.number in numbers:
                late = min(max(float(chance.standard_normal()), -3.0), 3.0)
                found.append((one, at_ps + one.delay_ps + round((late + 3.0) * JITTER_PS)))
        return found


class InjectedTags:
    """Surroundings over other surroundings. `realise`: lets every click that is due happen.

    `pps_connected`: without it, the PPS cable hangs loose. `clicks_tagged`: so far, over all detectors.
    """

    def __init__(
        self, beneath: Surroundings, links: Mapping[str, TaggedLink], realise: Callable[[], object]
    ) -> None:
        self.pps_connected = True
        self.clicks_tagged = 0
        self._beneath = beneath
        self._links = dict(links)
        self._realise = realise
        self._owners = {one.channel: (link, one) for link in links.values() for one in link.inputs}
        self._clicks: dict[str, list[int]] = {channel: [] for channel in self._owners}
        self._darks = {
            channel: Alone(rates_hz={channel: one.dark_rate_hz}, seed=link.seed)
            for channel, (link, one) in self._owners.items()
            if one.dark_rate_hz is not None
        }

    # -- what the World does --------------------------------------------------------------------------------

    def plan(self, planned: PlannedClick, now_ns: int) -> None:
        """A success lies ahead; other links are none of ours."""
        if planned.link in self._links:
            self._links[planned.link].plan(planned, now_ns)

    def click(self, click: Click) -> None:
        """A success of a link has come."""
        for one, at_ps in self._links[click.link].tagged(click):
            clicks = self._clicks[one.channel]
            insort(clicks, at_ps)
            self.clicks_tagged += 1
            while clicks and clicks[0] < at_ps - KEPT_NS * PS_PER_NS:
                del clicks[0]

    # -- surroundings ---------------------------------------------------------------------------------------

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        """Knobs are those of the light beneath."""
        self._beneath.turn(knob, value, now_ns)

    def gauge(self, name: str, now_ns: int) -> float:
        """Gauges are those of the light beneath."""
        return self._beneath.gauge(name, now_ns)

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        """Tags of the named channels; see `Surroundings.tags`."""
        self._realise()
        times: list[NDArray[np.int64]] = []
        numbers: list[NDArray[np.int16]] = []
        others = [index for index, name in enumerate(channels) if name != PPS and name not in self._owners]
        if others:
            found, which = self._beneath.tags([channels[index] for index in others], start_ns, stop_ns)
            times.append(found)
            numbers.append(np.asarray(others, np.int16)[which])
        for index, name in enumerate(channels):
            if index in others:
                continue
            mine = (
                self._seconds(start_ns, stop_ns) if name == PPS else self._at_input(name, start_ns, stop_ns)
            )
            times.append(mine)
            numbers.append(np.full(len(mine), index, np.int16))
        at_ps, number = np.concatenate(times), np.concatenate(numbers)
        order = np.argsort(at_ps, kind="stable")
        return at_ps[order], number[order]

    def _seconds(self, start_ns: int, stop_ns: int) -> NDArray[np.int64]:
        if not self.pps_connected:
            return np.empty(0, np.int64)
        seconds = range(-(-start_ns // SECOND_NS), -(-stop_ns // SECOND_NS))
        return np.array([(second * SECOND_NS - start_ns) * PS_PER_NS for second in seconds], np.int64)

    def _at_input(self, name: str, start_ns: int, stop_ns: int) -> NDArray[np.int64]:
        link, one = self._owners[name]
        background, _ = self._darks.get(name, self._beneath).tags([name], start_ns, stop_ns)
        background = background[link.beside(background, start_ns, one.delay_ps)]
        clicks = self._clicks[name]
        low = bisect_left(clicks, start_ns * PS_PER_NS)
        high = bisect_left(clicks, stop_ns * PS_PER_NS)
        mine = np.array([at_ps - start_ns * PS_PER_NS for at_ps in clicks[low:high]], np.int64)
        return np.sort(np.concatenate([background, mine]))
