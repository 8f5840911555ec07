"""Two receivers on one time through pauses, low light, detectors of unlike delay and taggers that begin anew.

Tags are drawn here, on clocks whose rates wander; a window begins when it is asked for, in the world's time.
Comparisons of places are at 5 standard errors and more (false alarm below 6e-7 each); seeds are fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from bellwire.calibration import pairing as pairing_module
from bellwire.calibration.access import Held
from bellwire.calibration.bench import Detector, LinkBench, Receiver
from bellwire.calibration.listening import Listening
from bellwire.calibration.pairing import Pairing, Together, merged
from bellwire.calibration.records import CalibrationRecord, Outcome, Quantity
from bellwire.calibration.trackers.clock_keeper import ClockKeeper
from bellwire.calibration.work import Work
from bellwire.drivers.clocks.refusals import NoTiming
from bellwire.drivers.clocks.tracking import Standing
from bellwire.drivers.tags.pairs import pair_indices
from bellwire.drivers.time_tags import TagBlock

P = ParamSpec("P")
T = TypeVar("T")
S_PS = 10**12
STEP_S = 0.1
JITTER_PS = 100.0
LABELS = ("h", "v")
Times = NDArray[np.int64]

RECEIVERS = tuple(
    Receiver(name, f"{name}-tagger", (Detector("h", 1), Detector("v", 2))) for name in ("alice", "bob")
)
BENCH = LinkBench(link="alice-bob", kind="distribution", receivers=RECEIVERS)


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, not in another process: nothing waits for it."""

    async def at_once(function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        return function(*arguments, **keywords)

    monkeypatch.setattr(pairing_module, "in_worker", at_once)


class Drawn:
    """A `Listening` of two taggers. `pairs_hz`: seen by both; singles come on top, as many again.

    wander_ppb: rms change of the rate of the second clock against the first in one second. delays_ps: of the
    detectors of the second receiver.
    """

    def __init__(self, seed: int, *, wander_ppb: float, delays_ps: tuple[int, int] = (0, 0)) -> None:
        self.chance = default_rng(seed)
        self.now_s = 5.0
        self.pairs_hz = 4000.0
        self.epoch = 1
        self.step_ps = 0.0
        self._delays = delays_ps
        steps = round(300.0 / STEP_S)
        rates = 600_000.0 + np.cumsum(self.chance.normal(0.0, wander_ppb * 1e3 * STEP_S**0.5, steps))
        self._rates_ps_per_s = rates
        self._offsets_ps = 3e9 + np.concatenate(([0.0], np.cumsum(rates * STEP_S)))

    def offset_ps(self, at_s: Any) -> Any:
        """What the second clock is ahead."""
        step = np.floor(np.asarray(at_s) / STEP_S).astype(int)
        return self._offsets_ps[step] + self._rates_ps_per_s[step] * (at_s - step * STEP_S) + self.step_ps

    def pause(self, duration_s: float) -> None:
        self.now_s += duration_s

    async def window(self, duration_s: float) -> dict[str, TagBlock]:
        """As of `Listening`."""
        start_s, self.now_s = self.now_s, self.now_s + duration_s
        pairs = self.chance.uniform(start_s, self.now_s, self.chance.poisson(self.pairs_hz * duration_s))
        found: dict[str, TagBlock] = {}
        for index, receiver in enumerate(RECEIVERS):
            others = self.chance.uniform(
                start_s, self.now_s, self.chance.poisson((self.pairs_hz + 200.0) * duration_s)
            )
            at_s = np.concatenate((pairs, others))
            ahead = self.offset_ps(at_s) if index else np.zeros(at_s.size)
            channel = self.chance.integers(1, 3, at_s.size).astype(np.int16)
            late = np.array(self._delays)[channel - 1] if index else 0
            spread = self.chance.normal(0.0, JITTER_PS / 2**0.5, at_s.size)
            times = np.rint(at_s * S_PS).astype(np.int64) + np.rint(ahead + spread + late).astype(np.int64)
            order = np.argsort(times)
            bounds = [
                round(edge_s * S_PS) + (round(float(self.offset_ps(edge_s))) if index else 0)
                for edge_s in (start_s, self.now_s)
            ]
            found[receiver.tagger] = TagBlock(self.epoch, bounds[0], bounds[1], times[order], channel[order])
        return found


def paired_with(drawn: Drawn, keeper: ClockKeeper | None = None, **known: CalibrationRecord) -> Pairing:
    work = Work("test", BENCH, cast(Held, None), known=known, chance=default_rng(1))
    first, second = RECEIVERS
    return Pairing(work, first, second, cast(Listening, drawn), keeper or ClockKeeper())


def delays(together: Together, reach_ps: int = 3000) -> Times:
    first, second = merged(together.first), merged(together.second)
    here, there = pair_indices(first, second, -reach_ps, reach_ps)
    return second[there] - first[here]


def centre(together: Together) -> tuple[float, int]:
    """Median of the pair delays, and how many there are."""
    found = delays(together)
    return float(np.median(found)), found.size


@pytest.mark.parametrize("seed", range(4))
async def test_windows_stand_on_the_pairs_after_pauses_of_several_seconds(seed: int) -> None:
    """Two clocks of 0.02 ppb per root second each; 0.7 jitters are a fifth of half the usual window."""
    drawn = Drawn(seed, wander_ppb=0.02 * 2**0.5)
    pairing = paired_with(drawn)
    await pairing.lock(2.0)
    for pause_s in (3.0, 6.0, 10.0):
        before_s = drawn.now_s
        await pairing.window(0.5)
        drawn.pause(pause_s)
        middle, pairs = centre(await pairing.window(0.5))
        assert pairs > 1800
        assert abs(middle) < 0.7 * JITTER_PS, (pause_s, middle)
        # and by the end the clock is known to the error of its pairs again
        middle, _ = centre(await pairing.window(0.25))
        assert abs(middle) < 0.3 * JITTER_PS, (pause_s, middle)
        assert drawn.now_s > before_s + pause_s
    assert pairing.keeper.standing is Standing.TRACKING


async def test_the_pauses_move_the_offset_by_several_jitters() -> None:
    """What the test above is about: straight lines from before would have left the window."""
    away = []
    for seed in range(4):
        drawn = Drawn(seed, wander_ppb=0.02 * 2**0.5)
        at_s = 15.0
        slope = drawn.offset_ps(at_s) - drawn.offset_ps(at_s - 1.0)
        away.append(abs(float(drawn.offset_ps(at_s + 10.0) - drawn.offset_ps(at_s) - 10.0 * slope)))
    assert max(away) > 5 * JITTER_PS
    assert float(np.mean(away)) > 2 * JITTER_PS


async def test_a_quartz_that_runs_away_within_a_pause_is_followed_by_parts_of_a_piece() -> None:
    """0.5 ppb per root second: after 10 s the rate is off by some 1600 ps/s, 400 ps in a piece of 0.25 s."""
    drawn = Drawn(3, wander_ppb=0.5)
    pairing = paired_with(drawn)
    await pairing.lock(2.0)
    drawn.pause(10.0)
    await pairing.window(0.5)
    middle, pairs = centre(await pairing.window(0.5))
    assert pairs > 1800
    assert abs(middle) < 0.7 * JITTER_PS


async def test_light_that_is_low_for_a_while_does_not_lose_the_clock() -> None:
    """30 pairs/s are 7 in a piece, which tell nothing: the line goes on, and pairs stay where they were."""
    drawn = Drawn(2, wander_ppb=0.0)
    pairing = paired_with(drawn)
    await pairing.lock(2.0)
    await pairing.window(1.0)
    drawn.pairs_hz = 30.0
    together = await pairing.window(4.0)
    inside = int(np.count_nonzero(np.abs(delays(together)) < 5 * JITTER_PS))
    assert inside > 120 - 5 * 120**0.5  # accidentals in it: 0.03
    drawn.pairs_hz = 4000.0
    middle, _ = centre(await pairing.window(0.5))
    assert abs(middle) < 0.3 * JITTER_PS


async def test_a_clock_that_stepped_is_found_once_the_window_is_as_wide_as_the_step() -> None:
    """400 ns, within what two quartzes may do in 100 s."""
    drawn = Drawn(2, wander_ppb=0.0)
    pairing = paired_with(drawn)
    await pairing.lock(2.0)
    drawn.step_ps = 400_000.0
    drawn.pause(100.0)
    middle, pairs = centre(await pairing.window(1.0))
    assert pairs > 3600
    assert abs(middle) < 0.7 * JITTER_PS


async def test_a_keeper_carries_the_clock_into_the_next_pairing_without_a_search() -> None:
    drawn, keeper = Drawn(1, wander_ppb=0.03), ClockKeeper()
    assert not await paired_with(drawn, keeper).join(2.0)
    drawn.pause(60.0)
    later = paired_with(drawn, keeper)
    assert await later.join(2.0)
    assert later.coarse is None
    middle, pairs = centre(await later.window(0.5))
    assert pairs > 1800
    assert abs(middle) < 0.7 * JITTER_PS


async def test_a_tagger_that_began_anew_meanwhile_is_searched_by_the_next_pairing() -> None:
    drawn, keeper = Drawn(1, wander_ppb=0.03), ClockKeeper()
    await paired_with(drawn, keeper).join(2.0)
    drawn.epoch = 2
    later = paired_with(drawn, keeper)
    assert not await later.join(2.0)
    assert keeper.standing is Standing.TRACKING
    assert abs(centre(await later.window(0.5))[0]) < 0.7 * JITTER_PS


async def test_no_light_is_said_to_be_no_timing() -> None:
    drawn = Drawn(1, wander_ppb=0.03)
    drawn.pairs_hz = 0.0
    with pytest.raises(NoTiming):
        await paired_with(drawn).join(0.5)


def corrections(procedure: str, ended_s: int, **by_label: float) -> CalibrationRecord:
    return CalibrationRecord(
        record_id=procedure,
        link="alice-bob",
        procedure=procedure,
        outcome=Outcome.PASSED,
        reason="",
        started_ns=ended_s * 10**9,
        ended_ns=ended_s * 10**9,
        valid_for_s=3600.0,
        quantities={
            f"correction_ps.bob.{label}": Quantity(value, 1.0, "ps") for label, value in by_label.items()
        },
    )


async def test_corrected_detectors_stand_on_zero_together() -> None:
    """One detector is 700 ps late; with its correction there is one peak, and the clock stands on it."""
    drawn = Drawn(6, wander_ppb=0.02, delays_ps=(0, 700))
    pairing = paired_with(drawn, detector_delays=corrections("detector_delays", 1, h=0.0, v=-700.0))
    refined = await pairing.lock(2.0)
    assert refined.jitter_ps == pytest.approx(JITTER_PS, rel=0.1)
    together = await pairing.window(1.0)
    for label in LABELS:
        here, there = pair_indices(together.first["h"], together.second[label], -400, 400)
        middle = float(np.median(together.second[label][there] - together.first["h"][here]))
        assert abs(middle) < 0.4 * JITTER_PS, label


async def test_the_newest_corrections_are_those_that_count() -> None:
    drawn = Drawn(6, wander_ppb=0.02, delays_ps=(0, 700))
    old = corrections("detector_delays", 1, h=0.0, v=-100.0)
    kept = corrections("keep_delay", 2, h=0.0, v=-700.0)
    refined = await paired_with(drawn, detector_delays=old, keep_delay=kept).lock(2.0)
    assert refined.jitter_ps == pytest.approx(JITTER_PS, rel=0.1)
