"""What a plan should bring: rate, latency, age and fidelity of its pairs.

Owns the walk along a swapping tree that adds waiting times, decay and swap noise (algorithms.md 1.1, 1.3,
11.6). The figures stand beside measured ones, so every approximation is named here. Refuses to choose between
trees or routes.
"""

from dataclasses import dataclass

from bellwire.core.bell import Walsh, decay, fidelity_of, from_walsh, join, to_walsh
from bellwire.core.ids import NodeId
from bellwire.core.plans import Prediction
from bellwire.core.settings import LinkSettings, MemorySettings
from bellwire.core.units import NS_PER_S, s_from_ns
from bellwire.planner.intervals import RouteTimes, SwapTree
from bellwire.planner.kept_back import held_at_most
from bellwire.planner.lane_times import lane_latency_s, link_state
from bellwire.planner.meetings import alternating, alternation, meeting
from bellwire.planner.refined_streams import NO_LEVELS, Levels, purest, refined


@dataclass(frozen=True, slots=True)
class Outlook:
    """Predicted figures of one subtree; the whole tree's are those of the plan."""

    latency_s: float  # mean seconds per pair
    age_s: float  # mean age of the oldest constituent when the pair exists
    state: Walsh  # mean state relative to the frame
    lanes: int  # pairs that can wait side by side; 1 above the links
    fresh_per_pair: float = 1.0  # pairs that go into the segment's own rounds for one that comes out

    @property
    def fidelity(self) -> float:
        """Mean fidelity to the state that the frame names."""
        return fidelity_of(self.state)

    def prediction(self, hops: int) -> Prediction:
        """The record that travels with a plan."""
        return Prediction(
            rate_hz=1.0 / self.latency_s,
            latency_ns=round(self.latency_s * NS_PER_S),
            fidelity=self.fidelity,
            hops=hops,
        )


def outlook(
    tree: SwapTree,
    times: RouteTimes,
    links: tuple[LinkSettings, ...],
    memories: tuple[MemorySettings, ...],
    lanes: tuple[int, ...] | None = None,
    levels: Levels = NO_LEVELS,
) -> Outlook:
    """Rate, age and fidelity of a tree whose links run at full speed, or with some of their lanes.

    links, memories, lanes: by route position; lanes that the plan has on each link, 1 or more, None: all.
    levels: rounds of purification between the ends of its segments; needs `lanes_wanted` of them.
    At a swap T = (meeting + (t_b + t_c) / lanes) / p_b: `meeting` of two links is exact with their lanes, and
    so is `alternation` where they take turns. Above the links one lane is assumed (the 3/2 rule when both
    sides are alike), because a long pair that waits also keeps its links silent. A busy lane costs only its
    own share of time.

    Used for fixed trees and, over the same default tree, for swap-asap. Against simulated swap-asap chains
    with five lanes and p_b = 0.5 the rate is within 1 % at 2 links, 3 % high at 4 and 70 % high at 8, where
    failed swaps waste more than a tree knows. Waiting pairs decay at both ends for the mean wait, not by the
    mean of the decay, and delivery itself is not counted: the fidelity is slightly hopeful.
    """
    fresh = _fresh(tree, times, links, memories, lanes, levels)
    level = levels.get(tree.right - tree.left)
    if level is None:
        return fresh
    # A pair that is kept back holds a memory of the outermost links, and they go on with one lane less.
    used = lanes or tuple(link.lanes for link in links)
    steps_s = [fresh.latency_s]
    for _ in range(held_at_most(level.rounds, pumping=level.pumping)):
        used = tuple(count - (index in (tree.left, tree.right - 1)) for index, count in enumerate(used))
        steps_s.append(_fresh(tree, times, links, memories, used, levels).latency_s)
    ends = (memories[tree.left], memories[tree.right])
    delay_s = times.delay_s(tree.left, tree.right)
    room = min((lanes or tuple(link.lanes for link in links))[tree.left : tree.right])
    made = refined(steps_s, room, fresh.age_s, fresh.state, level, ends, delay_s)
    return Outlook(made.latency_s, made.age_s, made.state, fresh.lanes, made.fresh_per_pair)


def _fresh(
    tree: SwapTree,
    times: RouteTimes,
    links: tuple[LinkSettings, ...],
    memories: tuple[MemorySettings, ...],
    lanes: tuple[int, ...] | None,
    levels: Levels,
) -> Outlook:
    """A segment's pairs before their own rounds."""
    if tree.children is None:
        link = links[tree.left]
        own = link.lanes if lanes is None else lanes[tree.left]
        return Outlook(lane_latency_s(link) / own, 0.0, to_walsh(link_state(link)), own)
    left, right = (outlook(child, times, links, memories, lanes, levels) for child in tree.children)
    at = tree.at
    busy_s = times.swap_s[at] + times.told_s(at, tree.left, tree.right)
    here = memories[at]
    used = lanes or tuple(link.lanes for link in links)
    met = meeting(left.latency_s, left.lanes, right.latency_s, right.lanes)
    taking_turns = alternating(links[at - 1], links[at], (used[at - 1], used[at]), here)
    if taking_turns is not None:
        link = links[at]
        turns = alternation(*taking_turns, s_from_ns(link.turns * link.turn_ns))
        met = turns if (tree.left, at, tree.right) == (at - 1, at, at + 1) else met.no_better_than(turns)
    side_by_side = min(left.lanes, right.lanes)
    latency_s = (met.latency_s + busy_s / side_by_side) / times.swap_probability[at]
    waited_left = _stored(left.state, met.left_wait_s, memories[tree.left], here)
    waited_right = _stored(right.state, met.right_wait_s, here, memories[tree.right])
    swapped = join(join(waited_left, waited_right), Walsh(here.bsm_signs, here.bsm_cost))
    told = _stored(swapped, busy_s, memories[tree.left], memories[tree.right])
    age_s = max(left.age_s + met.left_wait_s, right.age_s + met.right_wait_s) + busy_s
    return Outlook(latency_s, age_s, told, 1)


def _stored(state: Walsh, duration_s: float, one: MemorySettings, other: MemorySettings) -> Walsh:
    duration_ns = round(duration_s * NS_PER_S)
    return decay(decay(state, one.rates, duration_ns), other.rates, duration_ns)


def ceiling(
    tree: SwapTree,
    links: tuple[LinkSettings, ...],
    memories: tuple[MemorySettings, ...],
    levels: Levels = NO_LEVELS,
) -> float:
    """Highest fidelity that a tree can give: no waiting, no delays, only link states, swap noise and
    rounds. Without rounds every tree over a route has the same."""
    return from_walsh(_unaged(tree, links, memories, levels))[0]


def _unaged(
    tree: SwapTree,
    links: tuple[LinkSettings, ...],
    memories: tuple[MemorySettings, ...],
    levels: Levels,
) -> Walsh:
    if tree.children is None:
        state = to_walsh(link_state(links[tree.left]))
    else:
        one, other = (_unaged(child, links, memories, levels) for child in tree.children)
        here = memories[tree.at]
        state = join(join(one, other), Walsh(here.bsm_signs, here.bsm_cost))
    level = levels.get(tree.right - tree.left)
    return state if level is None else purest(state, level, (memories[tree.left], memories[tree.right]))


def named(route: tuple[NodeId, ...]) -> str:
    """A route in words, for reasons and reports: `alice-relay-bob`."""
    return "-".join(route)
