"""What rounds of purification between two distant nodes make of the stream of pairs that the two share.

Owns the forecast of one refined segment: its rate, its age and its state. Refuses trees (predictions.py), the
choice of rounds (chosen_rounds.py) and links that hand up purified pairs only (purified_links.py).

Approximations: a kept pair has waited for the mean time and decays by that, not by the mean of the decay;
asker and answerer count alike, each with the mean of their times; operations take no time, as in the
dialogue's own sums.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bellwire.core.bell import Walsh, decay, to_walsh
from bellwire.core.purification import Memories, Waiting, pairs_for, purified
from bellwire.core.purification_words import Level
from bellwire.core.units import NS_PER_S
from bellwire.planner.kept_back import supply_of

Levels = Mapping[int, Level]
"""Rounds of the segments of a tree by their number of links."""

NO_LEVELS: Final[Levels] = {}

WAYS_KNOWN: Final = 1.0
"""One-way times until the asker knows that the far half of a fresh pair is born."""

WAYS_UNTIL_MEASURED: Final = 1.5
"""Mean of both sides: the answerer measures one way after the asking, the asker when it has the answer."""

WAYS_UNTIL_TOLD: Final = 1.5
"""Mean of both sides: the verdict falls when the asker measures, and the answerer has it one way later."""


class Refined(NamedTuple):
    """A segment whose pairs have been through all their rounds."""

    latency_s: float  # mean seconds per refined pair
    age_s: float  # mean age of the oldest constituent when both ends know the last verdict
    state: Walsh  # mean state then, relative to the frame
    chances: tuple[float, ...]  # that each round passes
    fresh_per_pair: float  # mean number of fresh pairs for one refined pair


def refined(
    steps_s: Sequence[float],
    lanes: int,
    age_s: float,
    state: Walsh,
    level: Level,
    memories: Memories,
    delay_s: float,
) -> Refined:
    """The stream after its rounds.

    steps_s: mean seconds until the next fresh pair while 0, 1, ... pairs are kept back. lanes: pairs that the
    segment can hold side by side. age_s, state: of a fresh pair. delay_s: one way between the two ends.
    """
    round_s = (WAYS_KNOWN + WAYS_UNTIL_MEASURED + WAYS_UNTIL_TOLD / 2.0) * delay_s
    kept_s = 0.0
    rungs = _rungs(state, level, memories, kept_s, delay_s)
    for _ in range(2):  # waiting changes chances, and those change waiting a little
        chances = tuple(chance for chance, _ in rungs)
        made = supply_of(steps_s, lanes, chances, round_s, pumping=level.pumping)
        kept_s = made.waited_s
        rungs = _rungs(state, level, memories, kept_s, delay_s)
    chances = tuple(chance for chance, _ in rungs)
    made = supply_of(steps_s, lanes, chances, round_s, pumping=level.pumping)
    in_rounds_s = level.rounds * (made.waited_s + (WAYS_UNTIL_MEASURED + WAYS_UNTIL_TOLD) * delay_s)
    fresh = pairs_for(chances, pumping=level.pumping)
    return Refined(made.latency_s, age_s + in_rounds_s, rungs[-1][1], chances, fresh)


def purest(state: Walsh, level: Level, memories: Memories) -> Walsh:
    """The state after rounds for which nobody has waited."""
    return _rungs(state, level, memories, 0.0, 0.0)[-1][1]


def _rungs(
    fresh: Walsh, level: Level, memories: Memories, kept_s: float, delay_s: float
) -> list[tuple[float, Walsh]]:
    """Chance of each round, and the state when both ends know that it passed."""
    found: list[tuple[float, Walsh]] = []
    kept = fresh
    asked_ns = round(WAYS_UNTIL_MEASURED * delay_s * NS_PER_S)
    told_ns = round(WAYS_UNTIL_TOLD * delay_s * NS_PER_S)
    kept_ns = asked_ns + round(kept_s * NS_PER_S)
    for _ in range(level.rounds):
        measured = fresh if level.pumping else kept
        one = Waiting(kept, (kept_ns, kept_ns), corrected=False)
        other = Waiting(measured, (asked_ns, asked_ns), corrected=False)
        rung = purified(one, other, memories)
        kept = to_walsh(rung.state)
        for memory in memories:
            kept = decay(kept, memory.rates, told_ns)
        found.append((rung.success_probability, kept))
    return found
