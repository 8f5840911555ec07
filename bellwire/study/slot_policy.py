"""Policies of the slotted chain (algorithms.md 7.1) on the machines: swap-asap, nested, the exact optimum.

Owns a policy that reads the whole route's pairs from the node's own ledger, once a slot, and does what the
table of the solved process says for that state; and the plug-in that names it. Refuses chains that are not in
step: pairs that the process cannot have are LocalMisuse. It is offered as an entry point of
core.modes.ENTRY_POINTS would be, and is not among the policies of a network: it needs links that attempt at
the same moments and news that takes no time.

    slotted(play=best, success=0.5, swap=0.5, cutoff_slots=2, slot_us=100)

Every node solves the same process and so has the same table. All decisions of a slot are made on the state
before any of its swaps: at one moment, `decide_us` after the click, which comes before the first result.
"""

from collections.abc import Mapping
from functools import lru_cache
from math import inf
from typing import Final, NamedTuple

from bellwire.core.errors import LocalMisuse
from bellwire.core.modes import Option, Traits
from bellwire.core.plans import RouteTable
from bellwire.core.units import NS_PER_S, NS_PER_US
from bellwire.study.optimum_slots import Pick, SlotChain, SlotProcess, State, Swaps, nested, swap_asap
from bellwire.swapping.candidates import Choice, Situation
from bellwire.swapping.cutoffs import AgeRule
from bellwire.swapping.paces import Pace

PLAYS: Final[Mapping[str, Pick | None]] = {"asap": swap_asap, "nested": nested, "best": None}
"""What each word of the option `play` picks, None: what is fastest."""


class SlotCutoff(NamedTuple):
    """Pairs of every segment live for so many slots after their oldest constituent was born; nobody is idle
    for too long. age_s: ends after the swaps of the last slot and before the attempts of the next."""

    age_s: float

    def segment_s(self, table: RouteTable, left: int, right: int) -> float:
        """The same for all."""
        return self.age_s

    def patience_s(self, table: RouteTable, left: int, right: int) -> float:
        """No limit."""
        return inf


class SlotPolicy:
    """Does at its node what the table says for the state of the whole chain."""

    needs_view = looks_far = adaptive = True

    def __init__(self, play: str, chain: SlotChain, pace: Pace, cut_ns: int) -> None:
        """chain: without its number of nodes, which the route says. cut_ns: from a click to the end of the
        pairs that have reached the cutoff."""
        self.pace: Pace | None = pace
        self.cutoffs: AgeRule = SlotCutoff((chain.cutoff * pace.period_ns + cut_ns) / NS_PER_S)
        self._play = play
        self._chain = chain
        self._pace = pace

    def choose(self, seen: Situation) -> Choice:
        """The two ends here, if this node is among those that swap."""
        if not seen.left or not seen.right:
            return None
        left, right = seen.left[0], seen.right[0]
        if not self._pace.is_due(left.slot.born_ns, seen.now_ns):
            return None
        table = seen.plan.table
        assert table is not None
        state = self._state(seen)
        choices = choices_of(self._play, table.hops + 1, self._chain)
        if state not in choices:
            raise LocalMisuse(f"{state} is no state of {self._chain}: are all links in step, without delays?")
        return (left, right) if table.position in choices[state] else None

    def _state(self, seen: Situation) -> State:
        period_ns, after_ns = self._pace
        return tuple(
            sorted(
                (left, right, (seen.now_ns - after_ns - oldest_ns) // period_ns)
                for (left, right), oldest_ns in seen.present.items()
            )
        )


@lru_cache(maxsize=64)
def choices_of(play: str, nodes: int, chain: SlotChain) -> Mapping[State, Swaps]:
    """What a play does in each state of a chain of so many nodes."""
    process = process_of(SlotChain(nodes, chain.success, chain.swap_success, chain.cutoff))
    pick = PLAYS[play]
    return (process.optimum() if pick is None else process.solve(pick)).choices


@lru_cache(maxsize=64)
def process_of(chain: SlotChain) -> SlotProcess:
    """The process of a chain, built once."""
    return SlotProcess(chain)


class SlottedPlugin:
    """What an entry point would load."""

    traits = Traits(
        options={
            "play": "best",
            "success": 0.5,  # of one link in one slot
            "swap": 1.0,  # success of one swap
            "cutoff_slots": 2.0,
            "slot_us": 100.0,
            "decide_us": 0.2,  # from a click to the decisions
            "cut_us": 0.8,  # from a click to the end of pairs that are too old; swaps are over by then
        },
        words={"play": tuple(PLAYS)},
        needs_table=True,
    )

    def make(self, options: Mapping[str, Option]) -> SlotPolicy:
        """Raises ConfigError for impossible chains."""
        numbers = {key: value for key, value in options.items() if isinstance(value, float)}
        chain = SlotChain(2, numbers["success"], numbers["swap"], int(numbers["cutoff_slots"]))
        pace = Pace(round(numbers["slot_us"] * NS_PER_US), round(numbers["decide_us"] * NS_PER_US))
        return SlotPolicy(str(options["play"]), chain, pace, round(numbers["cut_us"] * NS_PER_US))


SLOTTED: Final = SlottedPlugin()
"""The plug-in."""
