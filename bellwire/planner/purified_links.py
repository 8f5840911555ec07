"""A link as a plan counts with it when its pairs are purified before they are handed up.

Owns the planner's copy of such a link: how long a purified pair takes with all lanes, and its state. Refuses
protocol (link_layer/purification.py) and the choice of the number of rounds, which is the request's.

The chain of kept-back pairs is followed exactly for exponential generation times, lane by lane: a lane that
holds a pair is silent. Approximations: a round keeps two lanes busy for two one-way times; the older pair of
each round has waited for the mean time, and decays by that, not by the mean of the decay.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from bellwire.core.bell import to_walsh
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.core.purification import PURIFIED_FRAME, Memories, ladder, pumps
from bellwire.core.settings import HeraldEstimate, LinkSettings, NodeSettings
from bellwire.core.units import NS_PER_S, s_from_ns
from bellwire.planner.lane_times import decided_periods, lane_latency_s, link_state

ROUNDS_MAX: Final = 4
"""Rounds that a request may ask for: a product of four rounds of recurrence costs some 25 pairs."""

LANES_MIN: Final = 2
"""Of a link whose pairs are purified: one holds the kept pair while another makes a second."""


def lanes_needed(link: LinkSettings, rounds: int) -> int:
    """Lanes that a plan must have for itself, so that its pairs never wait for a lane that one of them holds.

    0 without rounds; enough for a recurrence where the link has as many, else for pumping.
    """
    if rounds == 0:
        return 0
    return LANES_MIN if pumps(False, rounds, link.lanes) else rounds + 1


class Supply(NamedTuple):
    """How purified pairs come out of a link."""

    latency_s: float  # mean time per purified pair
    waited_s: float  # mean time that the kept pair of a round has waited for the other


def supply(pair_s: float, lanes: int, chances: tuple[float, ...], round_s: float, *, pumping: bool) -> Supply:
    """Mean time per purified pair, from the stationary chain of kept-back pairs.

    pair_s: mean seconds per fresh pair of one free lane. chances: of each round. round_s: for which a round
    keeps two lanes busy.
    """
    rounds = len(chances)
    steps = _pumping_steps(rounds, chances) if pumping else _recurrence_steps(rounds, chances)
    share = _stationary(steps)
    held = [(1 if state else 0) if pumping else state.bit_count() for state in range(len(steps))]
    if max(held) >= lanes:
        raise LocalMisuse(
            f"{rounds} rounds hold up to {max(held)} pairs; {lanes} lanes leave none to attempt"
        )
    step_s = [pair_s / (lanes - count) for count in held]
    made = sum(part * step.products for part, step in zip(share, steps, strict=True))
    tried = sum(part * step.rounds for part, step in zip(share, steps, strict=True))
    time_s = sum(part * each for part, each in zip(share, step_s, strict=True))
    waiting_s = sum(part * each * count for part, each, count in zip(share, step_s, held, strict=True))
    return Supply((time_s + tried * 2.0 * round_s / lanes) / made, waiting_s / tried)


class _Step(NamedTuple):
    """What one more fresh pair does in a state of the chain."""

    following: dict[int, float]  # state -> chance
    products: float  # mean number of purified pairs that come out
    rounds: float  # mean number of rounds


def _recurrence_steps(rounds: int, chances: tuple[float, ...]) -> list[_Step]:
    """States are sets of levels of which one pair is kept, as bits."""
    steps: list[_Step] = []
    for state in range(1 << rounds):
        left, alive, tried, level = state, 1.0, 0.0, 0
        following: dict[int, float] = {}
        while level < rounds and left >> level & 1:
            left ^= 1 << level
            tried += alive
            following[left] = following.get(left, 0.0) + alive * (1.0 - chances[level])
            alive *= chances[level]
            level += 1
        last = left if level == rounds else left | 1 << level
        following[last] = following.get(last, 0.0) + alive
        steps.append(_Step(following, alive if level == rounds else 0.0, tried))
    return steps


def _pumping_steps(rounds: int, chances: tuple[float, ...]) -> list[_Step]:
    """State 0: nothing is kept; state k: a pair of k - 1 rounds."""
    steps = [_Step({1: 1.0}, 0.0, 0.0)]
    for level, chance in enumerate(chances):
        done = level + 1 == rounds
        following = {0: 1.0} if done else {0: 1.0 - chance, level + 2: chance}
        steps.append(_Step(following, chance if done else 0.0, 1.0))
    return steps


def _stationary(steps: list[_Step]) -> list[float]:
    """Share of the fresh pairs that meet each state: elimination of the states from the last one down
    (Grassmann, Taskar, Heyman 1985), which never subtracts."""
    size = len(steps)
    rate = [[step.following.get(state, 0.0) for state in range(size)] for step in steps]
    for last in range(size - 1, 0, -1):
        out = sum(rate[last][:last])
        for state in range(last):
            rate[state][last] /= out
            for other in range(last):
                rate[state][other] += rate[state][last] * rate[last][other]
    share = [1.0]
    for state in range(1, size):
        share.append(sum(share[other] * rate[other][state] for other in range(state)))
    total = sum(share)
    return [part / total for part in share]


def as_purified(
    link: LinkSettings, nodes: Mapping[NodeId, NodeSettings], delay_ns: int, rounds: int
) -> LinkSettings:
    """The planner's copy of a link of which only purified pairs come up; the link itself without rounds.

    delay_ns: one-way classical delay between its ends.
    """
    if rounds == 0:
        return link
    memories = _memories(link, nodes)
    pumping = pumps(False, rounds, link.lanes)
    fresh = link_state(link)
    pair_s = lane_latency_s(link)
    rungs = ladder(fresh, rounds, pumping=pumping, memories=memories)
    round_s = 2.0 * s_from_ns(delay_ns)
    chances = tuple(rung.success_probability for rung in rungs)
    made = supply(pair_s, link.lanes, chances, round_s, pumping=pumping)
    waited_ns = round(made.waited_s * NS_PER_S)
    rungs = ladder(fresh, rounds, pumping=pumping, memories=memories, waited_ns=waited_ns)
    state = to_walsh(rungs[-1].state)
    return msgspec.structs.replace(
        link,
        success_probability=_success_probability(link, made.latency_s * link.lanes),
        heralds=(
            HeraldEstimate(
                code=link.heralds[0].code, frame=PURIFIED_FRAME, signs=state.signs, cost=state.cost
            ),
        ),
    )


def _memories(link: LinkSettings, nodes: Mapping[NodeId, NodeSettings]) -> Memories:
    one, other = (nodes[name].memory for name in link.nodes)
    if one is None or other is None:
        raise LocalMisuse(f"{link.link} ends at a node without a memory")
    return (one, other)


def _success_probability(link: LinkSettings, lane_s: float) -> float:
    """That of a link whose lanes take `lane_s` for a pair: the inverse of `lane_latency_s`."""
    periods = lane_s * (1.0 - link.test_share) / s_from_ns(link.period_ns)
    return 1.0 / (1.0 + periods - decided_periods(link))
