"""Who may take a pair of one link end before it is handed up, and in which order they are asked.

Owns the assembly of the uses: test rounds, stock, link purification, CREATEs. Refuses what each of them does.
"""

from collections.abc import Callable

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Step
from bellwire.core.plans import LinkPlan
from bellwire.core.settings import LinkSettings, MemorySettings, NetworkSettings
from bellwire.core.view import SlotBook
from bellwire.link_layer.agreement import WindowBook
from bellwire.link_layer.births import Births
from bellwire.link_layer.check_rounds import CheckRounds
from bellwire.link_layer.creates import Creates
from bellwire.link_layer.estimation.unit import FidelityEstimation
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.purification import LinkPurification
from bellwire.link_layer.stock import Stock
from bellwire.link_layer.uses import PairUse


class PairUses:
    """The uses of one link end. `in_order`: as pairs are offered to them."""

    def __init__(
        self,
        network: NetworkSettings,
        node: NodeId,
        link: LinkSettings,
        slots: SlotBook,
        book: WindowBook,
        lanes: Lanes,
        births: Births,
        estimation: FidelityEstimation,
        requests: dict[tuple[RequestId, int], LinkPlan],
        counters: dict[str, int],
        *,
        learnt: Callable[[Step, int], None],
        level_changed: Callable[[Step], None],
    ) -> None:
        """learnt: tests changed what is known of an operating point. level_changed: the stock has fallen
        below its level, or risen to it.

        Raises:
            LocalMisuse: an end of the link has no memory.
        """
        side = link.nodes.index(node)
        memories = memories_of(network, link)
        timers = network.timers
        self.checks: CheckRounds | None = None  # None: no pair is measured as a test
        if link.test_share:
            self.checks = CheckRounds(
                link, side, memories[side], timers, slots, book, estimation, learnt, counters
            )
        self.purification = LinkPurification(
            link, side, memories, timers, slots, requests, births.hand_up, births.let_go, counters
        )
        self.creates = Creates(
            network,
            network.nodes[node],
            memories[side],
            link,
            side,
            slots,
            book,
            lanes,
            births,
            requests,
            estimation,
            counters,
        )
        self.stock: Stock | None = None  # None: pairs are made for requests only
        if link.ahead is not None:
            self.stock = Stock(
                link,
                side,
                memories,
                timers,
                slots,
                requests,
                births.pass_on,
                births.let_go,
                lambda plan, now_ns: self.creates.room(plan.request, now_ns),
                level_changed,
                counters,
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


def memories_of(network: NetworkSettings, link: LinkSettings) -> tuple[MemorySettings, MemorySettings]:
    """The memories of both ends of a link.

    Raises:
        LocalMisuse: an end has none.
    """
    one, other = (network.nodes[name].memory for name in link.nodes)
    if one is None or other is None:
        raise LocalMisuse(f"{link.link} ends at a node without a memory")
    return one, other
