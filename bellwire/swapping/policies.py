"""Swapping policies: from a generation mode to the two ends to swap next, and the ends to give up.

Owns the table of ratings by name, their combinations, and the choice among candidates. Refuses ratings
themselves (ratings.py, scores.py) and execution. A policy is a small pure object: it draws no chance and
changes nothing (stack paper IV-E).

Other packages add ratings under core.modes.ENTRY_POINTS: objects with `traits` and `make(options) -> Rating`.
What they make may also be a whole Policy, which then combines with no other.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Final, Protocol, runtime_checkable

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.modes import (
    Conditional,
    Mode,
    Named,
    Option,
    Ordered,
    Weighted,
    needs_table,
    parse_mode,
    plugin_of,
    policies_of,
    traits_of,
)
from bellwire.core.plans import PolicyName
from bellwire.core.units import NS_PER_S
from bellwire.swapping.candidates import Choice, Held, Situation
from bellwire.swapping.cutoffs import AgeRule, Cutoffs
from bellwire.swapping.paces import Pace
from bellwire.swapping.ratings import Anything, LongestHop, Oldest, Planned, Rating
from bellwire.swapping.scores import ScoreA, ScoreB, ScoreD

Options = Mapping[str, Option]


def _number(options: Options, key: str) -> float:
    value = options[key]
    assert isinstance(value, float)
    return value


def cutoffs_of(options: Options) -> Cutoffs:
    """The rules of age and patience among the options of a policy; none where it has no such options."""
    if "cutoff" not in options:
        return Cutoffs(rule="none", discard=0.0)
    return Cutoffs(str(options["cutoff"]), _number(options, "cutoff_factor"), _number(options, "discard"))


def _score(options: Options) -> Rating:
    cutoffs = cutoffs_of(options)
    form = options["form"]
    gain, alpha, occupancy = (_number(options, key) for key in ("gain", "alpha", "occupancy"))
    if form == "D":
        return ScoreD(
            gain, alpha, _number(options, "patience"), occupancy, _number(options, "occupancy_power"), cutoffs
        )
    if form == "A":
        opportunity, relief, off_plan = (
            _number(options, key) for key in ("opportunity", "relief", "off_plan")
        )
        return ScoreA(opportunity, relief, off_plan, cutoffs)
    return ScoreB(form == "B'", gain, alpha, occupancy, cutoffs)


RATINGS: Final[Mapping[str, Callable[[Options], Rating]]] = {
    "swap_asap": lambda options: Anything(),
    "fixed_tree": lambda options: Planned(),
    "oldest": lambda options: Oldest(),
    "youngest": lambda options: Oldest(-1.0),
    "longest_hop": lambda options: LongestHop(),
    "shortest_hop": lambda options: LongestHop(-1.0),
    "score": _score,
}
"""Ratings of this package by the names of core/modes.py."""


@runtime_checkable
class Policy(Protocol):
    """What execution asks."""

    needs_view: bool  # reads the ledger
    looks_far: bool  # at which pairs the whole route has, not only this node
    adaptive: bool  # swaps by the present situation: the two ends of a pair take turns
    cutoffs: AgeRule
    pace: Pace | None  # decides at its moments, and nobody takes turns; None: at once, whenever news comes

    def choose(self, seen: Situation) -> Choice:
        """The two ends to swap, or None: wait."""
        ...


class FirstCome:
    """Swap-asap: oldest own ends first, whatever lies beyond them. Reads no ledger (algorithms.md 6.3)."""

    needs_view = looks_far = adaptive = False
    cutoffs: AgeRule = Cutoffs(rule="none", discard=0.0)
    pace: Pace | None = None

    def choose(self, seen: Situation) -> Choice:
        return (seen.left[0], seen.right[0]) if seen.left and seen.right else None


Rate = Callable[[Situation, Held, Held], tuple[float, ...] | None]
"""Ratings of a candidate, the most important first, or None."""


class Rated:
    """The candidate that is rated highest; among equals the one whose ends were born first."""

    needs_view = True

    def __init__(
        self, rate: Rate, *, adaptive: bool, cutoffs: Cutoffs, youngest_only: bool, looks_far: bool = False
    ) -> None:
        """`youngest_only`: of several pairs of one segment only the youngest is looked at, the others are its
        spares (8.5)."""
        self._rate = rate
        self._youngest_only = youngest_only
        self.looks_far = looks_far
        self.adaptive = adaptive
        self.cutoffs: AgeRule = cutoffs
        self.pace: Pace | None = None

    def choose(self, seen: Situation) -> Choice:
        """The two ends to swap, or None: wait."""
        best: Choice = None
        best_rating: tuple[float, ...] = ()
        rate = self._rate
        left, right = seen.left, seen.right
        if self._youngest_only:
            left, right = _youngest(left), _youngest(right)
        for one in left:
            for other in right:
                rating = rate(seen, one, other)
                if rating is not None and (best is None or rating > best_rating):
                    best, best_rating = (one, other), rating
        return best


def _youngest(side: Sequence[Held]) -> Sequence[Held]:
    if len(side) < 2:
        return side
    found: dict[int, Held] = {}
    for held in side:
        known = found.get(held.far)
        if known is None or held.oldest_ns > known.oldest_ns:
            found[held.far] = held
    return tuple(found.values())


@lru_cache(maxsize=256)
def policy_of(text: PolicyName) -> Policy:
    """The policy that a generation mode means.

    Raises:
        ConfigError: the mode is none.
        LocalMisuse: another part executes it.
    """
    mode = parse_mode(text)
    parts = list(policies_of(mode))
    if any(traits_of(part.name).foreign for part in parts):
        raise LocalMisuse(f'"{text}" is not executed by swapping policies')
    if mode == Named("swap_asap", ()):
        return FirstCome()
    if isinstance(mode, Named) and mode.name not in RATINGS:
        made: Policy | Rating = plugin_of(mode.name).make(dict(mode.options))
        if isinstance(made, Policy):
            return made
    ageing = [part for part in parts if "cutoff" in dict(part.options)]
    return Rated(
        _rate_of(mode),
        adaptive=needs_table(text),
        cutoffs=cutoffs_of(dict(ageing[0].options) if ageing else {}),
        youngest_only=any(dict(part.options).get("candidates") == "youngest" for part in parts),
        looks_far=any(dict(part.options).get("form") == "A" for part in parts),
    )


def rating_of(part: Named) -> Rating:
    """The rating of one policy with its options. Raises ConfigError for a whole policy of another package."""
    make = RATINGS.get(part.name)
    options = dict(part.options)
    if make is not None:
        return make(options)
    added: Policy | Rating = plugin_of(part.name).make(options)
    if isinstance(added, Policy):
        raise ConfigError(f"{part.name} rates no candidates and combines with no policy: ask for it alone")
    return added


def _rate_of(mode: Mode) -> Rate:
    match mode:
        case Named():
            return _alone(rating_of(mode))
        case Weighted():
            return _weighted([(weight, rating_of(part)) for weight, part in mode.parts])
        case Ordered():
            return _ordered([_rate_of(part) for part in mode.parts])
        case Conditional():
            return _conditional(mode, _rate_of(mode.then), _rate_of(mode.otherwise))


def _alone(rating: Rating) -> Rate:
    def rate(seen: Situation, left: Held, right: Held) -> tuple[float, ...] | None:
        value = rating.rate(seen, left, right)
        return None if value is None else (value,)

    return rate


def _weighted(parts: Sequence[tuple[float, Rating]]) -> Rate:
    """A part that says no says no for all."""

    def rate(seen: Situation, left: Held, right: Held) -> tuple[float, ...] | None:
        total = 0.0
        for weight, rating in parts:
            value = rating.rate(seen, left, right)
            if value is None:
                return None
            total += weight * value
        return (total,)

    return rate


def _ordered(parts: Sequence[Rate]) -> Rate:
    """A part that says no says no for all."""

    def rate(seen: Situation, left: Held, right: Held) -> tuple[float, ...] | None:
        found: tuple[float, ...] = ()
        for part in parts:
            values = part(seen, left, right)
            if values is None:
                return None
            found += values
        return found

    return rate


COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


def _conditional(mode: Conditional, then: Rate, otherwise: Rate) -> Rate:
    compare, quantity, value = COMPARISONS[mode.compare], mode.quantity, mode.value

    def rate(seen: Situation, left: Held, right: Held) -> tuple[float, ...] | None:
        if quantity == "occupancy":
            measured = seen.occupancy
        elif quantity == "age_s":
            measured = max(left.age_ns(seen.now_ns), right.age_ns(seen.now_ns)) / NS_PER_S
        else:
            measured = float(right.far - left.far)
        return (then if compare(measured, value) else otherwise)(seen, left, right)

    return rate


DEFAULT_TREE: Final = Rated(
    _alone(Planned()), adaptive=False, cutoffs=Cutoffs(rule="none", discard=0.0), youngest_only=False
)
"""What a node follows while its ledger is stale or silent about the route."""
