"""The two-machine bench with instruments that measure test pairs: bits of Bell-diagonal states with errors.

Owns the drawing of bits and the record of what was measured. Which parity a Bell state has stands here as a
table, written down from the textbook and not computed by the code under test.
"""

import msgspec

from bellwire.core.bell import to_walsh, werner
from bellwire.core.effects import Effect, MeasureQubit, Report
from bellwire.core.events import Event, Heralded, QubitMeasured, StationHeralded
from bellwire.core.ids import End
from bellwire.core.link_messages import LinkFigures
from bellwire.core.notices import LinkRequested
from bellwire.core.plans import LinkPlan
from bellwire.core.settings import HeraldEstimate, NetworkSettings, OperatingPoint
from tests.link_layer.bench import MS, Channel, LinkBench, link_network

PARITY = {
    ("X", 2): 0,  # Psi+ = (|01> + |10>)/sqrt 2: equal in X and in Y, opposite in Z
    ("Y", 2): 0,
    ("Z", 2): 1,
    ("X", 3): 1,  # Psi-: opposite in every basis
    ("Y", 3): 1,
    ("Z", 3): 1,
}

MEASURE_NS = MS // 5


def heralds_of(fidelity: float) -> tuple[HeraldEstimate, ...]:
    """Psi+ and Psi- as codes 1 and 2, both Werner states."""
    walsh = to_walsh(werner(fidelity))
    return tuple(
        HeraldEstimate(code=code, frame=code + 1, signs=walsh.signs, cost=walsh.cost) for code in (1, 2)
    )


def checked_network(
    *, station: bool, share: float, fidelity: float = 0.95, points: tuple[OperatingPoint, ...] = ()
) -> NetworkSettings:
    """`link_network` with test rounds, and a table that may be wrong."""
    network = link_network(station=station)
    link = msgspec.structs.replace(
        network.links["a-b"], test_share=share, heralds=heralds_of(fidelity), points=points
    )
    return msgspec.structs.replace(network, links={"a-b": link})


class CheckBench(LinkBench):
    """Runs one link with test rounds."""

    def __init__(
        self,
        seed: int,
        *,
        station: bool = True,
        channel: Channel | None = None,
        share: float = 0.25,
        believed: float = 0.95,
        errors: dict[str, float] | None = None,
        no_result: float = 0.0,
        points: tuple[OperatingPoint, ...] = (),
        errors_by_point: tuple[dict[str, float], ...] = (),
    ) -> None:
        """believed: fidelity in the link's table. errors: by basis, how often the two bits do not fit.

        no_result: share of measurements without a bit. errors_by_point: by the number of the operating point,
        instead of `errors`.
        """
        self._wishes = (share, believed, points)
        self.errors = errors_by_point or (errors or {"X": 0.0, "Y": 0.0, "Z": 0.0},)
        self.no_result = no_result
        self.codes: dict[tuple[int, int, int], int] = {}
        self.measured: dict[End, tuple[str, int | None]] = {}  # own end -> basis and told bit
        self.reports: list[tuple[str, Report]] = []
        self._bits: dict[tuple[int, int, int], int] = {}  # what the first of the two ends measured
        self._points: dict[tuple[int, int, int], int] = {}
        super().__init__(seed, station=station, channel=channel or Channel())

    def make_network(self, station: bool) -> NetworkSettings:
        share, believed, points = self._wishes
        return checked_network(station=station, share=share, fidelity=believed, points=points)

    def demand(self, request: str, fidelity_min: float | None) -> None:
        """A request with a minimum fidelity wants pairs, as both nodes are told."""
        for node, peer in (("a", "b"), ("b", "a")):
            plan = LinkPlan(
                request=request,
                tree=0,
                link="a-b",
                partner=peer,
                rate_hz=1.0,
                lanes=0,
                weight=1,
                fidelity_min=fidelity_min,
            )
            self._notice(node, LinkRequested(plan=plan))

    def tell(self, node: str, event: Event) -> None:
        if isinstance(event, Heralded | StationHeralded):
            name = (event.run, event.attempt, event.lane)
            self.codes[name] = event.code
            windows = self.services["a"].ends["a-b"].book
            ruling = windows.ruling(event.attempt)
            self._points[name] = 0 if ruling is None else ruling.point
        super().tell(node, event)

    def _execute(self, node: str, effect: Effect) -> None:
        if isinstance(effect, MeasureQubit):
            self._measure(node, effect)
        elif isinstance(effect, Report):
            self.reports.append((node, effect))
        else:
            super()._execute(node, effect)

    def _measure(self, node: str, order: MeasureQubit) -> None:
        end = self.sinks[node][-1].slots.slot(order.slot).end
        assert end is not None
        name = (end.run, end.attempt, end.lane)
        first = self._bits.pop(name, None)
        if first is None:
            bit = self.random.getrandbits(1)
            self._bits[name] = bit
        else:
            point = min(self._points[name], len(self.errors) - 1)
            wrong = self.random.random() < self.errors[point][order.basis]
            bit = first ^ PARITY[order.basis, self.codes[name] + 1] ^ wrong
        failed = self.random.random() < self.no_result
        told = None if failed else bit
        self.measured[end] = (order.basis, told)
        self._push(
            self.now_ns + MEASURE_NS,
            1,
            node,
            QubitMeasured(
                operation=order.operation,
                ended="failed" if failed else "done",
                bit=told,
                at_ns=self.now_ns + MEASURE_NS,
            ),
        )

    def figures(self) -> LinkFigures:
        """Of the only operating point, as side 0 has them."""
        return self.services["a"].ends["a-b"].figures()[0]

    def counter(self, node: str, name: str) -> int:
        return self.services[node].ends["a-b"].counters[name]
