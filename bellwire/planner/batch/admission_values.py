"""Words of admission: the rule, what runs, what was decided, what a node said it has left.

Owns the values that go into a plan book and come out of it. Refuses the decisions (admission.py).
"""

import math
from dataclasses import dataclass, field
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.registry import lookup
from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.methods import DEFAULT_BATCH_METHOD, known_batch_methods
from bellwire.planner.capacity import Use, total_use
from bellwire.planner.methods import DEFAULT_METHOD, known_methods
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.topology import Pair

SECOND_NS: Final = 1_000_000_000
ROUNDING: Final = 1e-9
"""Relative shortfall of a rate that counts as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRule:
    """When a request takes what is left, when it waits for others, when all plans are made anew.

    1. What is left gives a request its own rate, or `enough` of what it would get alone: it takes that.
    2. Otherwise it waits up to `wait_ns` for others, and all that came are planned together on what is left.
    3. Where that is not enough for all of them, everything is planned anew together, if the last time is
       `replan_every_ns` ago, the newcomers get `replan_gain` times as much by it, and nobody who runs falls
       below its own rate or below (1 - tolerance) of what it was promised.
    4. Otherwise a request takes what is left, unless that is nothing or less than its own rate.

    Raises:
        ConfigError: a value outside its range.
    """

    enough: float = 0.5  # part of the rate alone, 0..1
    wait_ns: int = 0  # 0: nobody waits
    waiting_max: int = 32  # who comes when so many wait already does not wait
    replan_every_ns: int = 30 * SECOND_NS
    replan_gain: float = 1.2  # 1 or more
    tolerance: float = 0.05  # 0..1
    believed_ns: int = 60 * SECOND_NS  # what a refusal or failure taught counts so long
    refusals_max: int = 8  # refusals in a row after which a request is given up
    method: str = DEFAULT_METHOD  # for trees of one pair
    batch_method: str = DEFAULT_BATCH_METHOD  # for several requests, and for planning anew
    objective: str | None = "fair"  # of requests that waited for each other; None: the method's own
    solver: str = "highs"  # of batch method "levels"
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        for name in ("enough", "tolerance"):
            value: float = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"admission: {name} = {value:g} is outside 0..1")
        if not (math.isfinite(self.replan_gain) and self.replan_gain >= 1.0):
            raise ConfigError(f"admission: replan_gain = {self.replan_gain:g} must be finite and 1 or more")
        for name in ("wait_ns", "waiting_max", "replan_every_ns", "believed_ns", "refusals_max"):
            count: int = getattr(self, name)
            if count < 0:
                raise ConfigError(f"admission: {name} = {count} is below 0")
        lookup("planning method", self.method, known_methods())
        lookup("batch method", self.batch_method, known_batch_methods())
        if self.batch_method == "levels" and self.objective not in (None, "total", "max_min"):
            raise ConfigError(
                f'admission: batch method "levels" knows no objective "{self.objective}" '
                f"(known: total, max_min)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPlan:
    """What a request runs on. A plan of another version is another plan.

    guaranteed_hz: rate when it was admitted, of which planning anew may take no more than the tolerance.
    refusals: times in a row that a node refused it. opening: a tree with stored pairs that runs once, beside
    the lasting trees, because its pair comes sooner than theirs; it is no part of the rate.
    """

    request: PairRequest
    version: int
    trees: tuple[PairPlan, ...]
    guaranteed_hz: float
    refusals: int = 0
    opening: PairPlan | None = None

    @property
    def key(self) -> str:
        """Name in the account book."""
        return f"{self.request.request}@{self.version}"

    @property
    def opening_key(self) -> str:
        """Name of its opening in the account book."""
        return f"{self.request.request}@opening"

    @property
    def rate_hz(self) -> float:
        """Pairs per second of all lasting trees."""
        return math.fsum(tree.rate_hz for tree in self.trees)

    @property
    def use(self) -> Use:
        """What all lasting trees take."""
        return total_use(*(tree.use for tree in self.trees))

    def floor_hz(self, tolerance: float) -> float:
        """Rate below which planning anew must not push it."""
        if self.request.rate_hz is None:
            return (1.0 - tolerance) * self.guaranteed_hz
        return min(self.request.rate_hz, self.guaranteed_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """What a node that refused a plan has left beside all reservations that it holds. None: not said."""

    node: NodeId
    memories: int | None = None
    attempts_hz: float | None = None
    links_hz: tuple[tuple[Pair, float], ...] = ()  # pairs per second left on links

    def __post_init__(self) -> None:
        rates = [rate for _, rate in self.links_hz]
        rates += [] if self.attempts_hz is None else [self.attempts_hz]
        if any(math.isnan(rate) or rate < 0.0 for rate in rates) or (self.memories or 0) < 0:
            raise ConfigError(f"what {self.node} has left must be 0 or more: {self}")


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request runs on this plan from now on."""

    plan: RunningPlan


@dataclass(frozen=True, slots=True)
class Waiting:
    """The request waits for others until a time, or until capacity comes back."""

    request: str
    until_ns: int


@dataclass(frozen=True, slots=True)
class Replanned:
    """Everything was planned anew: all plans that run now, and the requests whose plan changed or is new."""

    plans: tuple[RunningPlan, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The request gets nothing and holds nothing. offer_hz: the best that it was offered; 0: nothing."""

    request: str
    reason: str
    offer_hz: float


@dataclass(frozen=True, slots=True)
class Kept:
    """Nothing else exists: the request keeps the plan that it has."""

    plan: RunningPlan
    reason: str


Decision = Admitted | Waiting | Replanned | Refused | Kept
