"""Orders about optical switches, carried out by the drivers of a node's equipment.

Owns the ports that each setting means, the fence that no older order passes, and the rule that each order
ends in exactly one event. Refuses all other orders, which it hands on, and whoever else uses ports of the
switch: only ports of its own settings are let go.

The dark check reads back what is connected. Counts behind the switch are not read here: `rate_hz` is None.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from bellwire.core.effects import CheckDark, Effect, SetSwitch
from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.core.events import DarkChecked, Ended, Event, SwitchSet
from bellwire.core.ids import NodeId, SwitchId
from bellwire.core.settings import NetworkSettings, SwitchSettings
from bellwire.core.units import NS_PER_S
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.roles import OpticalSwitch
from bellwire.runtime.agent import DeviceOrders
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.device_orders import DeviceOrderBook
from bellwire.runtime.health import Health


class SwitchBindings:
    """The switches of one node, before its other devices. Satisfies agent.DeviceOrders."""

    def __init__(
        self,
        network: NetworkSettings,
        node: NodeId,
        drivers: Mapping[str, Equipment],
        others: DeviceOrders,
        feed: Callable[[Event], None],
        clock: LiveClock,
        health: Health,
    ) -> None:
        """`drivers`: of the node's equipment, by name. `others`: who carries out all other orders."""
        self._settings = {name: one for name, one in network.switches.items() if one.owner == node}
        self._drivers = drivers
        self._others = others
        self._feed = feed
        self._clock = clock
        self._fences: dict[SwitchId, int] = {}
        self._book = DeviceOrderBook(health, f"{node}-switches")

    def carry_out(self, order: Effect) -> None:
        """Begin a device order."""
        match order:
            case SetSwitch():
                self._begin(order, lambda: self._set(order))
            case CheckDark():
                self._begin(order, lambda: self._check(order))
            case _:
                self._others.carry_out(order)

    async def close(self) -> None:
        """End all orders; their ends are not told any more."""
        await self._book.close()

    # ---- orders

    def _begin(self, order: SetSwitch | CheckDark, work: Callable[[], Awaitable[str]]) -> None:
        newest = self._fences.setdefault(order.switch, order.fence)
        if order.fence < newest:
            self._tell(order, "failed", f"fence {order.fence} is older than {newest}")
            return
        self._fences[order.switch] = order.fence

        async def run() -> None:
            ended: Ended
            try:
                async with asyncio.timeout(order.within_ns / NS_PER_S):
                    reason = await work()
                ended = "failed" if reason else "done"
            except (DeviceFault, LocalMisuse) as fault:
                ended, reason = "failed", str(fault)
            except TimeoutError:
                ended, reason = "unknown", f"no answer within {order.within_ns / 1e6:g} ms"
            self._tell(order, ended, reason)

        if not self._book.begin((order.switch,), run):
            self._tell(order, "unknown", "too many orders are in flight")

    def _tell(self, order: SetSwitch | CheckDark, ended: Ended, reason: str) -> None:
        at_ns = self._clock.now_ns()
        if isinstance(order, SetSwitch):
            self._feed(SwitchSet(operation=order.operation, ended=ended, at_ns=at_ns, reason=reason))
        else:
            self._feed(
                DarkChecked(operation=order.operation, ended=ended, at_ns=at_ns, rate_hz=None, reason=reason)
            )

    async def _set(self, order: SetSwitch) -> str:
        """Ports of other settings go dark first, then those of this one are connected."""
        settings, driver = self._of(order.switch)
        wanted = dict(settings.settings[order.setting])
        for ingress, egress in (await driver.read_connections()).items():
            if (ingress, egress) in _pairs_of(settings) and wanted.get(ingress) != egress:
                await driver.disconnect_ports(ingress)
        for ingress, egress in wanted.items():
            await driver.connect_ports(ingress, egress)
        return ""

    async def _check(self, order: CheckDark) -> str:
        """What is connected is the setting, and none of the others."""
        settings, driver = self._of(order.switch)
        wanted = set(settings.settings[order.setting])
        present = set((await driver.read_connections()).items()) & _pairs_of(settings)
        if present == wanted:
            return ""
        return f"it connects {_text(present)}, setting {order.setting} is {_text(wanted)}"

    def _of(self, switch: SwitchId) -> tuple[SwitchSettings, OpticalSwitch]:
        settings = self._settings[switch]
        driver = self._drivers.get(settings.equipment or "")
        if not isinstance(driver, OpticalSwitch):
            raise LocalMisuse(f"switch {switch} has no equipment that moves: give it `equipment`")
        return settings, driver


def _pairs_of(settings: SwitchSettings) -> set[tuple[int, int]]:
    """Every pair of ports that any setting connects."""
    return {pair for pairs in settings.settings.values() for pair in pairs}


def _text(pairs: set[tuple[int, int]]) -> str:
    return ", ".join(f"{ingress} to {egress}" for ingress, egress in sorted(pairs)) or "nothing"
