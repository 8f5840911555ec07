"""Emulated optical switches in the way of links: a link gives heralds while the ports of its setting connect.

Owns the layer between the emulated switches and the World of heralds. Refuses protocols: what counts is what
the mirrors of the switch do, whoever has told them to.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from bellwire.core.ids import LinkId
from bellwire.core.photonics import HeraldPhysics
from bellwire.core.settings import NetworkSettings, SwitchSettings
from bellwire.simulator_backend.devices.polatis_emulator import PORTS
from bellwire.simulator_backend.devices.surroundings import Surroundings
from bellwire.simulator_backend.world_words import LinkTruth

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREFIX = "through."


class ChangeLink(Protocol):
    """Give a link another truth."""

    def __call__(
        self, link: str, *, success_probability: float, points: tuple[HeraldPhysics, ...] | None
    ) -> None: ...


class SwitchedLinks:
    """Surroundings of the emulated equipment, with the switches' knobs taken out for the World of heralds."""

    def __init__(
        self,
        network: NetworkSettings,
        truths: Sequence[LinkTruth],
        around: Surroundings,
        change: Callable[..., None],
    ) -> None:
        """`around`: what all other knobs, gauges and tags are asked of. `change`: see ChangeLink. All links
        through a switch are dark at once."""
        self._around = around
        self._change: ChangeLink = change
        self._truths = {truth.name: truth for truth in truths}
        self._connected: dict[str, dict[int, int]] = {name: {} for name in network.switches}
        self._settings: Mapping[str, SwitchSettings] = network.switches
        self._links: dict[LinkId, tuple[str, str]] = {
            name: (link.through.switch, link.through.setting)
            for name, link in network.links.items()
            if link.through is not None
        }
        self._lit: dict[LinkId, bool] = dict.fromkeys(self._links, True)
        for name in network.switches:
            self._look(name)

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        """A mirror of a switch moves, or anything else."""
        if not knob.startswith(PREFIX):
            self._around.turn(knob, value, now_ns)
            return
        switch, _, ingress = knob.removeprefix(PREFIX).rpartition(".")
        connected = self._connected[switch]
        if value:
            connected[int(ingress)] = round(value) + PORTS
        else:
            connected.pop(int(ingress), None)
        self._look(switch)

    def gauge(self, name: str, now_ns: int) -> float:
        return self._around.gauge(name, now_ns)

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int
    ) -> "tuple[NDArray[np.int64], NDArray[np.int16]]":
        return self._around.tags(channels, start_ns, stop_ns)

    def _look(self, switch: str) -> None:
        connected = self._connected[switch].items()
        for link, (through, setting) in self._links.items():
            if through != switch:
                continue
            lit = set(self._settings[switch].settings[setting]) <= set(connected)
            if lit != self._lit[link]:
                self._lit[link] = lit
                truth = self._truths[link]
                points = tuple(
                    HeraldPhysics(one.success_probability if lit else 0.0, one.outcomes)
                    for one in truth.points
                )
                self._change(
                    link,
                    success_probability=truth.success_probability if lit else 0.0,
                    points=points or None,
                )


def switch_cables(network: NetworkSettings) -> dict[str, dict[str, str]]:
    """Words of the switches' wiring by the full names of their equipment."""
    cables: dict[str, dict[str, str]] = {}
    for name, switch in network.switches.items():
        if switch.equipment is not None:
            ingress = {pair[0] for pairs in switch.settings.values() for pair in pairs}
            words = {f"route.{port}": f"{PREFIX}{name}.{port}" for port in sorted(ingress)}
            cables.setdefault(f"{switch.owner}-{switch.equipment}", {}).update(words)
    return cables
