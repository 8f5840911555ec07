"""A link as a plan counts with it when its pairs are purified before they are handed up.

Owns the planner's copy of such a link: how long a purified pair takes with all lanes, and its state. Refuses
protocol (link_layer/purification.py) and the choice of the number of rounds, which is the request's.

The chain of kept-back pairs is followed lane by lane (kept_back.py). Approximations: a round keeps two lanes
busy for two one-way times; the older pair of each round has waited for the mean time, and decays by that, not
by the mean of the decay.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from bellwire.core.bell import to_walsh
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.core.purification import PURIFIED_FRAME, Memories, ladder, pumps
from bellwire.core.settings import HeraldEstimate, LinkSettings, NodeSettings
from bellwire.core.units import NS_PER_S, s_from_ns
from bellwire.planner.kept_back import supply
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
