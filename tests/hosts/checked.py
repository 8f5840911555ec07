"""A history of the fault simulation with every step checked."""

from collections.abc import Callable, Mapping

from bellwire.core.ids import NodeId
from bellwire.core.units import NS_PER_MS
from bellwire.labs import Lab
from bellwire.node.machines import make_machine
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import Observer
from bellwire.soak.rules import Invariants
from tests.hosts.perturbing import skewed
from tests.simulation.faulty import History


class CheckedHistory(History):
    """Runs like `History`; `invariants` watches every step."""

    def __init__(
        self,
        lab: Lab,
        seed: int,
        *,
        perturb: Callable[[int], int] | None = None,
        offsets_ns: Mapping[NodeId, int] | None = None,
        dead_for_ms: float = 20.0,
    ) -> None:
        network = lab.network
        self.lab = lab
        self.invariants = Invariants(offsets_ns, dead_for_ns=round(dead_for_ms * NS_PER_MS))
        self.host = VirtualHost(
            lab,
            seed,
            lambda request, version, news: compute_plan(network, request, version, news),
            watch=self.invariants,
            perturb=perturb,
            make=make_machine if offsets_ns is None else skewed(offsets_ns),
        )
        self.invariants.attach(self.host)
        self.statuses = []
        self.reports = {}
        self.observer = Observer(self.host)
        self.host.reports.append(self._listen)
        self.host.start()

    def play(self, drain_s: float = 12.0) -> int:
        """To the end, with every check; returns the number of delivered pairs."""
        self.finish(drain_s=drain_s)
        self.invariants.finish()
        return self.check()
