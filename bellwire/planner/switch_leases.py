"""Who holds the setting of an optical switch: an account of the plans in force at the switch's node.

Owns leases and fence tokens of the switches of one node, as a sum over the plans there, so an ended or lapsed
plan leaves no trace. Refuses the change itself (link_layer/switch_keeper.py).

A link with `through` exists at one setting of its switch only. A plan that uses it holds the switch at that
setting, together with all others that use it at the same one, until the last of them ends; a plan for another
setting is refused meanwhile, and told who holds what. The fence grows with every change of setting: an order
of an older one is refused by the device.
"""

from collections.abc import Mapping

from bellwire.core.ids import LinkId, NodeId, RequestId, SwitchId
from bellwire.core.plans import LinkPlan, LinkRoom, NodePlan
from bellwire.core.settings import NetworkSettings
from bellwire.planner.reservations import Lack

NOTHING_DOWN: Mapping[LinkId, str] = {}


class SwitchLeases:
    """Of one node. plans: in force here, by request; whoever owns their leases enters and removes them."""

    def __init__(
        self,
        network: NetworkSettings,
        node: NodeId,
        plans: Mapping[RequestId, NodePlan],
        down: Mapping[LinkId, str] = NOTHING_DOWN,
    ) -> None:
        """`down`: links whose setting could not be brought up, and why."""
        self._links = network.links
        self._own = {name for name, switch in network.switches.items() if switch.owner == node}
        self._plans = plans
        self._down = down
        self._fences: dict[SwitchId, tuple[str, int]] = {}  # setting that was wanted last, and its fence

    def any(self) -> bool:
        """The node has a switch."""
        return bool(self._own)

    def governs(self, link: LinkId) -> bool:
        """The link exists at a setting of a switch of this node."""
        through = self._links[link].through
        return through is not None and through.switch in self._own

    def lack(self, plan: NodePlan) -> Lack | None:
        """What stands against a plan: a link that is down, or a switch that others hold otherwise."""
        parts = [part for part in plan.links if self.governs(part.link)]
        if not parts:
            return None
        none_left = tuple(LinkRoom(link=part.link, lanes=0, weight=0) for part in parts)
        for part in parts:
            if part.link in self._down:
                return Lack(f"link {part.link} is down: {self._down[part.link]}", none_left)
        wanted: dict[SwitchId, str] = {}
        for part in parts:
            through = self._links[part.link].through
            assert through is not None
            if wanted.setdefault(through.switch, through.setting) != through.setting:
                settings = f"{wanted[through.switch]} and {through.setting}"
                return Lack(f"the plan needs switch {through.switch} at {settings} at once", none_left)
            holder = self._holder(through.switch, through.setting, plan.request)
            if holder is not None:
                request, setting = holder
                _, fence = self._fences.get(through.switch, ("", 0))
                return Lack(
                    f"link {part.link} needs switch {through.switch} at {through.setting}; {request} holds "
                    f"it at {setting} under fence {fence} until its plan ends",
                    none_left,
                )
        return None

    def _holder(self, switch: SwitchId, setting: str, besides: RequestId) -> tuple[RequestId, str] | None:
        """Another request that holds a switch at another setting."""
        for request, plan in self._plans.items():
            for part in plan.links:
                through = self._links[part.link].through
                if request == besides or through is None or through.switch != switch:
                    continue
                if through.setting != setting:
                    return request, through.setting
        return None

    def taken(self, part: LinkPlan) -> int:
        """A plan for a link has come into force: the fence of its setting."""
        through = self._links[part.link].through
        assert through is not None
        setting, fence = self._fences.get(through.switch, ("", 0))
        if setting != through.setting:
            self._fences[through.switch] = through.setting, fence + 1
        return self._fences[through.switch][1]
