"""The virtual host whose facts travel as messages, as on the live bus, instead of by the authors' logs.

Owns that difference: an event for every fact and reader. For what the logs leave out: gap detection, streams
of single readers, and traffic.
"""

from collections.abc import Callable

from bellwire.core.effects import Publish
from bellwire.core.ids import NodeId
from bellwire.core.settings import NetworkSettings
from bellwire.gem.replica import FactSource
from bellwire.node.machines import Compute, make_machine
from bellwire.node.routing import NodeMachine
from bellwire.simulator_backend.host import MakeMachine, VirtualHost, Watch
from bellwire.simulator_backend.virtual_lab import VirtualLab


def without_logs(
    network: NetworkSettings, node: NodeId, compute: Compute, source: FactSource | None
) -> NodeMachine:
    """A machine that hears facts as messages."""
    return make_machine(network, node, compute, None)


class MessageHost(VirtualHost):
    """Runs every machine of a lab in virtual time; every replica is told, or those whom a fact concerns."""

    def __init__(
        self,
        lab: VirtualLab,
        seed: int,
        compute: Compute,
        *,
        watch: Watch | None = None,
        perturb: Callable[[int], int] | None = None,
        make: MakeMachine = without_logs,
    ) -> None:
        super().__init__(lab, seed, compute, watch=watch, perturb=perturb, make=make)
        self._replicas = [name for name, node in lab.network.nodes.items() if node.memory is not None]

    def _boot(self, node: NodeId) -> None:
        super()._boot(node)
        self._readers.pop(node, None)

    def _publish(self, node: NodeId, effect: Publish) -> None:
        self.digest.add(self.clock.now_ns, node, effect.batch)
        if not effect.again:
            self.logs.facts += len(effect.batch.facts)
        life = self.incarnations[node]
        if effect.audience is not None:
            for one in effect.audience:
                self.post.send(node, life, one.node, effect.addressed(one))
            return
        for other in self._replicas:
            if other != node:
                self.post.send(node, life, other, effect.batch)
