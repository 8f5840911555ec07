"""Weighted fair queueing: shares that are right over every stretch of time, also across windows.

Owns the sequence of frames and the account of what each request had. The discipline is earliest eligible
virtual deadline first (I. Stoica, H. Abdel-Wahab, Old Dominion University TR-95-22, 1995), which is the rule
of algorithms.md 10.2 with service that may pause: a job starts at max(virtual time, finish of the one before)
and is due at start + expected duration / weight; among those whose start has come the earliest due one has
the next frame. Virtual time runs so that lags sum to zero, hence "start has come" reads lag + done >= 0, and
"due" reads (job - lag - done) / part. Attempts are memoryless, so a job that pauses loses nothing.

Whole lanes are divided as everywhere (whole_lanes.py); frames divide the lanes that go round. On one such
lane nobody's lag leaves (-j, j) while demands stay, j the longest job: one frame, unless pairs take longer or
are made in one go. k lanes go through the sequence one frame behind each other, which adds up to k (k - 1) /
2 frames. Windows begin and end with frames (agreement.py). Refuses to know windows: their attempts are told
by division.py. A newcomer begins with lag zero, so whoever comes under ever new names for a frame gets more
than its share.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, lcm
from typing import Final

from bellwire.core.link_messages import ScheduleEntry
from bellwire.link_layer.schedulers.whole_lanes import cycle_of, lanes_for
from bellwire.link_layer.schedulers.words import Demand, Divided, Frames, Key, Shares, Standing, Turn

SEQUENCE_MAX: Final = 256
"""Frames in a sequence; a window with more goes through it again."""

JOB_FRAMES_MAX: Final = 16
"""Frames of a job: rarer pairs are fetched in several jobs, so that nobody waits long for the others'
turn."""

LAG_STEPS: Final = 1 << 64
"""Of a lag, for each attempt: fractions of many different divisions would grow without bound."""

NOTHING: Final = Standing(Fraction(0), 0)
"""Of a newcomer."""


class WeightedFairQueueing:
    """Weights are shares of time; weight 0 is infinite priority; background has what nobody else wants."""

    remembers = True

    def divide(
        self, lanes: int, demands: Sequence[Demand], history: Mapping[Key, Standing], frames: Frames
    ) -> Divided:
        foreground = [one for one in demands if not one.plan.background]
        divided = lanes_for(
            lanes,
            (
                [one for one in foreground if one.plan.weight == 0],
                [one for one in foreground if one.plan.weight > 0],
                [one for one in demands if one.plan.background],
            ),
            frames.shift,
        )
        owners, parts, working = divided
        if len(parts) <= 1:
            return Divided(Shares(owners, cycle_of(lanes, divided)), in_shifts=bool(working))
        unit = frames.attempts * (lanes - len(owners))
        turns = {
            (one.entry.request, one.entry.tree): Turn(part, unit * _job_frames(one, unit))
            for one, part in parts
        }
        standings = level(history, turns)
        chosen = sequence(list(turns.values()), list(standings.values()), unit, frames.number)
        # The first lane that goes round begins with place len(owners) of a cycle (binding.py).
        turned = (chosen[(place - len(owners)) % len(chosen)] for place in range(len(chosen)))
        cycle = tuple(parts[index][0].entry for index in turned)
        return Divided(Shares(owners, cycle), turns, bool(working))


def _job_frames(demand: Demand, unit: int) -> int:
    """Frames in which the request has its expected pair, or all that it must have in one go."""
    return min(JOB_FRAMES_MAX, max(1, ceil(demand.attempts * demand.together / unit)))


def level(history: Mapping[Key, Standing], turns: Mapping[Key, Turn]) -> dict[Key, Standing]:
    """Standings of those who have turns, with lags that sum to zero: what leavers owed or were owed is shared
    by those who stay, in proportion to their parts."""
    standings = {key: history.get(key, NOTHING) for key in turns}
    total = sum((one.lag for one in standings.values()), Fraction(0))
    parts = sum((turn.part for turn in turns.values()), Fraction(0))
    return {
        key: one._replace(lag=one.lag - total * turns[key].part / parts) for key, one in standings.items()
    }


def sequence(turns: Sequence[Turn], standings: Sequence[Standing], unit: int, frames_max: int) -> list[int]:
    """Who has each frame, as indices: until everybody stands as at the start, so that going on from the
    beginning is going on at all, or to the end of the window, at most SEQUENCE_MAX frames."""
    # In whole numbers: everything is scaled by `scale`, and deadlines are compared times `over`.
    total = sum(turn.part for turn in turns)
    scale = lcm(
        *((turn.part / total).denominator for turn in turns), *(one.lag.denominator for one in standings)
    )
    gains = [int(turn.part / total * scale) * unit for turn in turns]
    over = lcm(*gains)
    jobs = [turn.job * scale for turn in turns]
    step = unit * scale
    lags = [int(one.lag * scale) for one in standings]
    done = [one.done % turn.job * scale for one, turn in zip(standings, turns, strict=True)]
    begun = (list(lags), list(done))
    chosen: list[int] = []
    everybody = range(len(turns))
    while len(chosen) < min(max(1, frames_max), SEQUENCE_MAX):
        eligible = [index for index in everybody if lags[index] + done[index] >= 0]
        best = min(
            eligible or everybody,
            key=lambda index: ((jobs[index] - lags[index] - done[index]) * (over // gains[index]), index),
        )
        chosen.append(best)
        for index in everybody:
            lags[index] += gains[index]
        lags[best] -= step
        done[best] = (done[best] + step) % jobs[best]
        if (lags, done) == begun:
            break
    return chosen


def after(
    history: Mapping[Key, Standing], turns: Mapping[Key, Turn], had: Mapping[Key, int], attempts: int
) -> dict[Key, Standing]:
    """Standings after lanes that go round made so many attempts, of which each request had some.

    Whoever was ahead and is gone owes less with every attempt made without it, until it is forgotten; whoever
    was behind and is gone is owed nothing.
    """
    total = sum((turn.part for turn in turns.values()), Fraction(0))
    standings: dict[Key, Standing] = {}
    for key, (lag, done) in level(history, turns).items() if turns else ():
        own = had.get(key, 0)
        gain = attempts * turns[key].part / total
        standings[key] = Standing(_bounded(lag + gain - own), (done + own) % turns[key].job)
    for key, (lag, done) in history.items():
        if key not in turns and lag + attempts < 0:
            standings[key] = Standing(lag + attempts, done)
    return standings


def _bounded(lag: Fraction) -> Fraction:
    """The lag, to the nearest of LAG_STEPS if its denominator is larger."""
    return lag if lag.denominator <= LAG_STEPS else Fraction(round(lag * LAG_STEPS), LAG_STEPS)


def served(
    cycle: Sequence[ScheduleEntry], first_lane: int, lanes: int, frame_attempts: int, attempts: int
) -> dict[Key, int]:
    """Lane-attempts that each entry of a window's cycle has in the first attempts of the window, on the lanes
    that go round (those from `first_lane` on)."""
    size = len(cycle)
    rounds, rest = divmod(attempts, size * frame_attempts)
    had: dict[Key, int] = {}
    for place in range(size):
        here = rounds * frame_attempts + min(frame_attempts, max(0, rest - place * frame_attempts))
        for lane in range(first_lane, lanes):
            entry = cycle[(place + lane) % size]
            key = (entry.request, entry.tree)
            had[key] = had.get(key, 0) + here
    return had
