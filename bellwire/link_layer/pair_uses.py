"""Who may take a pair of one link end before it is handed up, and in which order they are asked.

Owns the assembly of the uses: test rounds, stock, link purification, CREATEs. Refuses what each of them does.
"""

from collections.abc import Callable

from bellwire.core.machine import Step
from bellwire.link_layer.births import Births
from bellwire.link_layer.check_rounds import CheckRounds
from bellwire.link_layer.creates import Creates
from bellwire.link_layer.estimation.unit import FidelityEstimation
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.purification import LinkPurification
from bellwire.link_layer.stock import Stock
from bellwire.link_layer.uses import PairUse


class PairUses:
    """The uses of one link end. `in_order`: as pairs are offered to them."""

    def __init__(
        self,
        ground: Ground,
        purposes: tuple[int, ...] | None,
        lanes: Lanes,
        births: Births,
        estimation: FidelityEstimation,
        *,
        learnt: Callable[[Step, int], None],
        level_changed: Callable[[Step], None],
    ) -> None:
        """purposes: of CREATEs that this node takes part in, None: all. learnt: tests changed what is known
        of an operating point. level_changed: the stock has fallen below its level, or risen to it."""
        self.checks: CheckRounds | None = None  # None: no pair is measured as a test
        if ground.link.test_share:
            self.checks = CheckRounds(ground, estimation, learnt)
        self.purification = LinkPurification(ground, births.hand_up, births.let_go)
        self.creates = Creates(ground, purposes, lanes, births, estimation)
        self.stock: Stock | None = None  # None: pairs are made for requests only
        if ground.link.ahead is not None:
            self.stock = Stock(
                ground,
                births.pass_on,
                births.let_go,
                lambda plan, now_ns: self.creates.room(plan.request, now_ns),
                level_changed,
            )
        first = (self.checks, self.stock)
        self.in_order: tuple[PairUse, ...] = (
            *(use for use in first if use is not None),
            self.purification,
            self.creates,
        )

    def demand_changed(self, step: Step) -> None:
        """Somebody wants pairs of the link who did not, or wants none any more."""
        self.purification.demand_changed(step)
        if self.stock is not None:
            self.stock.demand_changed(step)
