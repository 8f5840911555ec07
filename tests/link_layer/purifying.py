"""A bench for link purification: the bench of one link, with memories that can measure pairs against pairs.

Owns the truth about every pair, as the index of its Bell state, and the rule by which two pairs become one.
The truth is drawn from the seed and the name of a pair, so nothing depends on the order of events. Every
order is checked against the rule of the protocol: side 0 measures only what side 1 has measured just so.
"""

from dataclasses import dataclass, field
from random import Random

import msgspec

from bellwire.core.bell import Bell, permute, to_walsh
from bellwire.core.effects import Effect, PurifyPair
from bellwire.core.events import Event, Heralded, PairPurified, StationHeralded
from bellwire.core.ids import PairId
from bellwire.core.notices import LinkRequested
from bellwire.core.plans import LinkPlan
from bellwire.core.settings import HeraldEstimate, MemorySettings, NetworkSettings, Timers
from tests.link_layer.bench import MS, Channel, LinkBench, link_network

TIMERS = Timers(answer_ns=20 * MS, herald_wait_ns=60 * MS, herald_bound_ns=10 * MS, age_max_ns=400 * MS)
"""Short, so that little virtual time tells much."""

FRESH: Bell = (0.80, 0.11, 0.06, 0.03)
"""Of a new pair relative to its frame: no two errors are equally likely."""

DURATION_NS = 30_000
"""Of a device order."""


@dataclass
class Half:
    """One end's own history of a pair: what was measured against it, in order."""

    measured: list[PairId] = field(default_factory=list)
    paulis: list[tuple[int, int]] = field(default_factory=list)
    spent_on: PairId | None = None


class PurifyingBench(LinkBench):
    """Two ends, a station perhaps, and memories that carry out PurifyPair."""

    def __init__(
        self,
        seed: int,
        *,
        channel: Channel,
        lanes: int = 6,
        station: bool = True,
        held_for_ns: int = 2 * MS,
        fresh: Bell = FRESH,
        memory: dict[str, float] | None = None,
    ) -> None:
        self.seed = seed
        self.lanes = lanes
        self.fresh = fresh
        self.memory = memory or {}
        self.frames: dict[PairId, int] = {}
        self.truth: dict[PairId, int] = {}  # absolute Bell index, once both halves of a round are done
        self.halves: tuple[dict[PairId, Half], dict[PairId, Half]] = ({}, {})
        self.bits: dict[tuple[PairId, PairId], tuple[int, int]] = {}  # first bit and what the second flips
        self.orders: dict[str, dict[int, int]] = {"a": {}, "b": {}}  # operation -> incarnation
        self.broken: set[str] = set()  # nodes whose device orders end as unknown
        self.measured = 0
        super().__init__(seed, station=station, channel=channel, held_for_ns=held_for_ns)

    def make_network(self, station: bool) -> NetworkSettings:
        network = link_network(station=station, lanes=self.lanes)
        estimates = tuple(
            HeraldEstimate(code=code, frame=code + 1, signs=walsh.signs, cost=walsh.cost)
            for code, walsh in ((code, to_walsh(self.fresh)) for code in (1, 2))
        )
        link = msgspec.structs.replace(network.links["a-b"], heralds=estimates)
        nodes = {
            name: node
            if node.memory is None
            else msgspec.structs.replace(node, memory=self._memory(node.memory))
            for name, node in network.nodes.items()
        }
        return msgspec.structs.replace(network, links={"a-b": link}, nodes=nodes, timers=TIMERS)

    def _memory(self, memory: MemorySettings) -> MemorySettings:
        return msgspec.structs.replace(memory, **self.memory)

    def want_rounds(
        self, node: str, request: str, rounds: int, *, pumping: bool = False, cutoff_ns: int | None = None
    ) -> None:
        """A request wants pairs that have been through rounds of purification."""
        plan = LinkPlan(
            request=request,
            tree=0,
            link="a-b",
            partner="b" if node == "a" else "a",
            rate_hz=1.0,
            lanes=0,
            weight=1,
            fidelity_min=None,
            rounds=rounds,
            pumping=pumping,
            cutoff_ns=cutoff_ns,
        )
        self._notice(node, LinkRequested(plan=plan))

    # ---- what the memories do

    def tell(self, node: str, event: Event) -> None:
        if isinstance(event, Heralded | StationHeralded):
            pair = PairId(event.link, event.run, event.attempt, event.lane)
            self.frames[pair] = event.code + 1
        elif isinstance(event, PairPurified) and not self._awaited(node, event):
            return
        super().tell(node, event)

    def _awaited(self, node: str, event: PairPurified) -> bool:
        """False when the process that gave this order is gone."""
        return self.orders[node].pop(event.operation, None) == self._incarnations[node]

    def boot(self, node: str) -> None:
        if node in self.orders:
            self.orders[node].clear()
        super().boot(node)

    def _execute(self, node: str, effect: Effect) -> None:
        if not isinstance(effect, PurifyPair):
            super()._execute(node, effect)
            return
        slots = self.sinks[node][-1].slots
        kept, measured = slots.slot(effect.kept_slot).end, slots.slot(effect.measured_slot).end
        assert kept is not None
        assert measured is not None
        assert effect.side == kept.side == measured.side == self.link.nodes.index(node)
        bit = None
        if node not in self.broken:
            bit = self._measure(effect, kept.pair, measured.pair)
        self.orders[node][effect.operation] = self._incarnations[node]
        ended = PairPurified(
            operation=effect.operation,
            ended="unknown" if bit is None else "done",
            bit=bit,
            at_ns=self.now_ns + DURATION_NS,
        )
        self._push(self.now_ns + DURATION_NS, 0, node, ended)

    def _measure(self, order: PurifyPair, kept: PairId, measured: PairId) -> int:
        """The bit of one side. The first of the two is chance, the second tells the parity."""
        side = order.side
        own, other = self.halves[side], self.halves[1 - side]
        for pair in (kept, measured):
            assert own.setdefault(pair, Half()).spent_on is None, f"{pair} was measured before"
        own[kept].measured.append(measured)
        own[measured].spent_on = kept
        own[kept].paulis.append((order.kept_pauli, order.measured_pauli))
        draw = Random(f"{self.seed} {kept} {measured}")
        first = draw.randrange(2)
        if side == 1:
            return first ^ self._misread(side, kept, measured)
        partner = other.get(kept)
        assert partner is not None, "side 0 measures what side 1 has not"
        assert partner.measured == own[kept].measured, "the two sides measured different pairs"
        parity = self._join(kept, measured, partner.paulis[-1], own[kept].paulis[-1], draw)
        self.measured += 1
        return first ^ parity ^ self._misread(side, kept, measured)

    def _misread(self, side: int, kept: PairId, measured: PairId) -> int:
        wrong = 1.0 - self.memory.get("readout_fidelity", 1.0)
        return int(Random(f"read {self.seed} {side} {kept} {measured}").random() < wrong)

    def state_of(self, pair: PairId) -> int:
        """Absolute Bell index of a pair."""
        if pair not in self.truth:
            draw = Random(f"{self.seed} {pair}").random()
            error = 0
            while draw >= self.fresh[error] and error < 3:
                draw -= self.fresh[error]
                error += 1
            self.truth[pair] = self.frames[pair] ^ error
        return self.truth[pair]

    def _join(
        self,
        kept: PairId,
        measured: PairId,
        theirs: tuple[int, int],
        ours: tuple[int, int],
        draw: Random,
    ) -> int:
        """Paulis, quarter turns about X (Phi- and Psi- exchange), CNOTs; the parity that the bits show."""
        one = self.state_of(kept) ^ theirs[0] ^ ours[0]
        two = self.state_of(measured) ^ theirs[1] ^ ours[1]
        one, two = one ^ (one & 1) << 1, two ^ (two & 1) << 1
        one, two = one ^ (two & 1), two ^ (one & 2)
        gates = self.memory.get("gate_fidelity", 1.0) ** 2
        if draw.random() >= gates:
            one, two = draw.randrange(4), draw.randrange(4)
        self.truth[kept] = one
        return two >> 1

    # ---- what came of it

    def ready(self, node: str) -> set[PairId]:
        """Pairs that were handed up at a node, in all its lives."""
        return {end.pair for sink in self.sinks[node] for end in sink.ready}

    def died(self, node: str) -> set[PairId]:
        """Pairs of which the layers above at a node were told that they are none."""
        return {notice.end.pair for sink in self.sinks[node] for notice in sink.died}

    def counted(self, node: str, name: str) -> int:
        """A purification counter of a node's present life."""
        return self.services[node].ends["a-b"].counters[f"purification_{name}"]

    def relative(self, pair: PairId, frame: int) -> int:
        """Error of a pair relative to a frame: 0 is none."""
        return permute((0, 1, 2, 3), frame).index(self.state_of(pair))
