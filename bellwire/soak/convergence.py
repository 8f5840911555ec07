"""After a partition has healed, everybody soon knows what had been written until then.

Owns the rule and the time it grants: two heartbeat periods and one round trip. Refuses moments at which
something else is wrong too; how many it has looked at is counted.
"""

from collections.abc import Sequence
from typing import Final

from bellwire.core.ids import NodeId
from bellwire.core.messages import Watermark
from bellwire.node.machines import QuantumNode
from bellwire.simulator_backend.clock import HOUSEKEEPING
from bellwire.soak.faults import (
    ClockSkew,
    ClockStep,
    Crash,
    Cut,
    Fault,
    LinkTrouble,
    MemoryReset,
    MessageNoise,
    OrderTrouble,
    Pause,
    SlowDisks,
)
from bellwire.soak.rules import Broken
from bellwire.soak.troubled_host import HEARTBEAT_NS, TroubledHost

_HARMLESS: Final = (ClockSkew, LinkTrouble, MemoryReset, OrderTrouble, SlowDisks)
"""Faults that keep no word from anybody."""


class Convergence:
    """Watches a host; raises `Broken` in its time."""

    def __init__(self, host: TroubledHost, faults: Sequence[Fault]) -> None:
        self._host = host
        self.checked = 0
        round_trip_ns = 2 * max(max(row.values()) for row in host.network.delays_ns.values())
        granted_ns = 2 * HEARTBEAT_NS + round_trip_ns
        for cut in faults:
            if isinstance(cut, Cut) and not any(
                _keeps_words(other, cut.until_ns, cut.until_ns + granted_ns) for other in faults
            ):
                host.clock.at(cut.until_ns, HOUSEKEEPING, self._healed, cut.until_ns + granted_ns)

    def _written(self) -> dict[NodeId, dict[NodeId, Watermark]]:
        """By author and reader."""
        replicas = {
            name: machine for name, machine in self._host.machines.items() if isinstance(machine, QuantumNode)
        }
        return {
            author: {
                reader: machine.gem.publishing.watermark(reader) for reader in replicas if reader != author
            }
            for author, machine in replicas.items()
        }

    def _healed(self, until_ns: int) -> None:
        self._host.clock.at(until_ns, HOUSEKEEPING, self._look, self._written())

    def _look(self, written: dict[NodeId, dict[NodeId, Watermark]]) -> None:
        self.checked += 1
        for name, machine in self._host.machines.items():
            if not isinstance(machine, QuantumNode):
                continue
            known = machine.replica.watermarks()
            for author, marks in written.items():
                mark = marks.get(name)
                if mark and mark.last and known.get(author, (0, 0)) < (mark.incarnation, mark.last):
                    raise Broken(
                        "convergence", f"{name} knows {known.get(author)} of {author}, who had written {mark}"
                    )


def _keeps_words(fault: Fault, from_ns: int, until_ns: int) -> bool:
    """Something else may keep words from arriving in this time."""
    match fault:
        case MessageNoise():
            # What it delays arrives after its end.
            return fault.at_ns < until_ns and fault.until_ns + fault.jitter_ns > from_ns
        case Cut():
            return fault.at_ns < until_ns and fault.until_ns > from_ns
        case Crash():
            return fault.at_ns < until_ns and fault.at_ns + fault.down_ns > from_ns - 1
        case Pause():
            return fault.at_ns < until_ns and fault.at_ns + fault.for_ns > from_ns - 1
        case ClockStep():
            return True  # a clock set back stands still, and so do its node's digests
        case _:
            return not isinstance(fault, _HARMLESS)
