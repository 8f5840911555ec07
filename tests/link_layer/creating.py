"""A bench for CREATEs: users at both ends of one link, and memories whose measurements follow a Bell pair.

Owns what users were answered and when, the joint state of each pair (a density matrix in numpy), and checks
that hold whatever the channel did.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec
import numpy as np

from bellwire.core.bell import to_walsh, werner
from bellwire.core.effects import AnswerLink, Effect, MeasureQubit, Send
from bellwire.core.events import (
    DeviceChanged,
    Event,
    LinkCreateCancelled,
    LinkCreateSubmitted,
    LinkQubitReleased,
    QubitMeasured,
    Received,
)
from bellwire.core.ids import End
from bellwire.core.link_words import (
    LinkAck,
    LinkAnswer,
    LinkCreate,
    LinkDone,
    LinkErr,
    LinkOkKeep,
    LinkOkMeasure,
)
from bellwire.core.settings import LinkSettings, NetworkSettings, NodeSettings, Timers
from bellwire.link_layer.creates import Creates
from tests.link_layer.bench import MS, Channel, LinkBench, link_network

MEASURE_NS = 10_000
"""A measurement takes so long."""

Kind = TypeVar("Kind")
Ok = LinkOkKeep | LinkOkMeasure

PAULIS = {
    "X": np.array([[0, 1], [1, 0]], complex),
    "Y": np.array([[0, -1j], [1j, 0]], complex),
    "Z": np.array([[1, 0], [0, -1]], complex),
}
PHI_PLUS = np.array([1, 0, 0, 1], complex) / np.sqrt(2)


def bell_state(frame: int) -> np.ndarray:
    """Density matrix of a Bell state: Pauli Z^(bit 0) X^(bit 1) on the first qubit of Phi+."""
    pauli = np.linalg.matrix_power(PAULIS["X"], frame >> 1 & 1) @ np.linalg.matrix_power(
        PAULIS["Z"], frame & 1
    )
    vector = np.kron(pauli, np.eye(2)) @ PHI_PLUS
    return np.outer(vector, vector.conj())


def turned(rotation: tuple[int, int, int]) -> np.ndarray:
    """Unitary of an X-Y-X rotation in units of 2 pi / 256."""
    unitary = np.eye(2, dtype=complex)
    for axis, units in zip("XYX", rotation, strict=True):
        angle = 2 * np.pi * units / 256
        unitary = (np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * PAULIS[axis]) @ unitary
    return unitary


def projector(order: MeasureQubit) -> np.ndarray:
    """Onto bit 0 of a measurement order."""
    unitary = turned(order.rotation)
    onto: np.ndarray = unitary.conj().T @ (np.eye(2) + PAULIS[order.basis]) @ unitary / 2
    return onto


class CreateBench(LinkBench):
    """Two ends with users."""

    def __init__(
        self,
        seed: int,
        *,
        station: bool = True,
        channel: Channel | None = None,
        link: dict[str, object] | None = None,
        timers: Timers | None = None,
        purposes: dict[str, tuple[int, ...]] | None = None,
        no_result: float = 0.0,
        fidelity: float = 1.0,
        delay_ns: int = 50_000,
        held_for_ns: int = 2 * MS,
    ) -> None:
        """`link`, `timers`, `purposes`, `fidelity` (as believed), `delay_ns`: what differs from
        `link_network`. `no_result`: share of measurements that end without a bit."""
        self._fidelity = fidelity
        self._delay_ns = delay_ns
        self._changes = link or {}
        self._given_timers = timers
        self._purposes = purposes or {}
        self.no_result = no_result
        # (to, message) -> the channel swallows it
        self.lose: Callable[[str, object], bool] = lambda to, message: False
        self.answers: dict[str, list[tuple[int, LinkAnswer]]] = {"a": [], "b": []}
        self.asked: dict[str, list[tuple[int, LinkCreate]]] = {"a": [], "b": []}
        self.restarts: dict[str, list[int]] = {"a": [], "b": [], "m": []}
        self.told_before: dict[str, int] = {"a": 0, "b": 0}  # answers of ended lives
        self.orders: list[tuple[str, End, MeasureQubit]] = []
        self._states: dict[tuple[int, int, int], np.ndarray] = {}
        super().__init__(seed, station=station, channel=channel or Channel(), held_for_ns=held_for_ns)

    def make_network(self, station: bool) -> NetworkSettings:
        network = link_network(station=station, delay_ns=self._delay_ns)
        signs, cost = to_walsh(werner(self._fidelity))
        heralds = tuple(
            msgspec.structs.replace(herald, signs=signs, cost=cost) for herald in network.links["a-b"].heralds
        )
        changed: LinkSettings = msgspec.structs.replace(
            network.links["a-b"], **{"heralds": heralds, **self._changes}
        )
        nodes: dict[str, NodeSettings] = {
            name: msgspec.structs.replace(node, purposes=self._purposes.get(name))
            for name, node in network.nodes.items()
        }
        return msgspec.structs.replace(
            network, nodes=nodes, links={"a-b": changed}, timers=self._given_timers or network.timers
        )

    # ---- users

    def create(self, node: str, create: int = 1, **asked: object) -> None:
        """A user's CREATE; the partner is the other end unless it is given."""
        asked.setdefault("partner", "b" if node == "a" else "a")
        word = LinkCreate(create=create, **asked)  # type: ignore[arg-type]  # fields by name, from tests
        self.asked[node].append((self.now_ns, word))
        self.tell(node, LinkCreateSubmitted(asked=word))

    def cancel(self, node: str, create: int) -> None:
        self.tell(node, LinkCreateCancelled(create=create))

    def release(self, node: str, end: End) -> None:
        self.tell(node, LinkQubitReleased(end=end))

    def release_all(self) -> None:
        """Every user gives back what it was told."""
        for node in ("a", "b"):
            for ok in self.of(node, LinkOkKeep):
                self.release(node, ok.end)

    def forget_memory(self, node: str) -> None:
        """The memory instrument of a node loses its qubits and is back at once."""
        for key in [key for key in self._armed if key[0] == node]:
            del self._armed[key]
        self.tell(node, DeviceChanged(role="memory", ready=True, lost_state=True, reason="power cycle"))

    def creates(self, node: str) -> Creates:
        return self.services[node].ends["a-b"].creates

    # ---- hosts

    def boot(self, node: str) -> None:
        self.restarts[node].append(self.now_ns)
        if node in self.answers:
            self.told_before[node] = len(self.answers[node])
        super().boot(node)

    def tell(self, node: str, event: Event) -> None:
        # As every host does: words of an ended life of their sender are dropped.
        if isinstance(event, Received) and event.incarnation != self._incarnations[event.source]:
            return
        super().tell(node, event)

    def _execute(self, node: str, effect: Effect) -> None:
        if isinstance(effect, AnswerLink):
            self.answers[node].append((self.now_ns, effect.answer))
        elif isinstance(effect, MeasureQubit):
            self._measure(node, effect)
        elif isinstance(effect, Send) and self.lose(effect.to, effect.message):
            return
        else:
            super()._execute(node, effect)

    def _measure(self, node: str, order: MeasureQubit) -> None:
        end = self.sinks[node][-1].slots.slot(order.slot).end
        assert end is not None
        self.orders.append((node, end, order))
        name = (end.run, end.attempt, end.lane)
        state = self._states.setdefault(name, bell_state(self.sinks[node][-1].born[end].frame))
        zero = projector(order)
        onto = [zero, np.eye(2) - zero]
        ways = [np.kron(each, np.eye(2)) if end.side == 0 else np.kron(np.eye(2), each) for each in onto]
        bit = int(self.random.random() >= np.trace(ways[0] @ state).real)
        left = ways[bit] @ state @ ways[bit]
        self._states[name] = left / np.trace(left)
        failed = self.random.random() < self.no_result
        event = QubitMeasured(
            operation=order.operation,
            ended="failed" if failed else "done",
            bit=None if failed else bit,
            at_ns=self.now_ns + MEASURE_NS,
        )
        self._push(self.now_ns + MEASURE_NS, 1, node, event)

    # ---- what users know

    def of(self, node: str, kind: type[Kind]) -> list[Kind]:
        """Answers of a kind, in order."""
        return [answer for _, answer in self.answers[node] if isinstance(answer, kind)]

    def endings(self, node: str) -> list[LinkDone | LinkErr]:
        """Ends of CREATEs as a user hears of them, in order; EXPIRE is none."""
        return [
            answer
            for _, answer in self.answers[node]
            if isinstance(answer, LinkDone) or (isinstance(answer, LinkErr) and answer.code != "EXPIRE")
        ]

    def standing(self, node: str, origin: str, create: int) -> dict[End, Ok]:
        """Pairs of a CREATE that were told at a node and not taken back."""
        pairs: dict[End, Ok] = {}
        for _, answer in self.answers[node]:
            if isinstance(answer, LinkAck) or (answer.origin, answer.create) != (origin, create):
                continue
            if isinstance(answer, LinkOkKeep | LinkOkMeasure):
                assert answer.end not in pairs, f"{answer.end} told twice"
                pairs[answer.end] = answer
            elif isinstance(answer, LinkErr):
                for end in answer.ends:
                    assert end in pairs, f"{end} taken back without having been told"
                    del pairs[end]
        return pairs


def check_shared(bench: CreateBench, origin: str, create: int, *, pairs: int) -> None:
    """Both users stand with the same pairs, under the same numbers, frames and birth times."""
    here, there = (bench.standing(node, origin, create) for node in ("a", "b"))
    assert len(here) == pairs
    assert {end.partner for end in here} == set(there)
    for end, ok in here.items():
        other = there[end.partner]
        assert (ok.sequence, ok.frame, ok.born_ns) == (other.sequence, other.frame, other.born_ns)
    assert len({ok.sequence for ok in here.values()}) == pairs


def check_each_ended_once(bench: CreateBench) -> None:
    """Every CREATE of a user whose node lives since then has ended exactly once at its origin, and at most
    once at the other end."""
    for node in ("a", "b"):
        since_ns = bench.restarts[node][-1]
        for asker in ("a", "b"):
            # An id may be used again: count.
            asked = [word.create for at_ns, word in bench.asked[asker] if at_ns >= since_ns]
            ended = [
                answer.create
                # Not by time: an old life may end a CREATE at the very moment of the restart.
                for _, answer in bench.answers[node][bench.told_before[node] :]
                if isinstance(answer, LinkDone | LinkErr)
                and not (isinstance(answer, LinkErr) and answer.code == "EXPIRE")
                and answer.origin == asker
            ]
            if asker == node:
                assert sorted(ended) == sorted(asked)
            else:
                assert len(ended) == len(set(ended))


def quiet(bench: CreateBench, node: str) -> bool:
    """True when no word about CREATEs is awaited and every slot is free."""
    creates = bench.creates(node)
    waiting = creates.queue.items or creates.queue.removals.leaving or not creates.pairs.idle()
    return not waiting and {slot.state for slot in bench.sinks[node][-1].slots.slots()} == {"free"}


def check_nothing_is_left(bench: CreateBench) -> None:
    """After everybody gave back what he had, and some time, no slot, item, pair or word is left anywhere."""
    bench.release_all()
    bench.channel = Channel()
    until_ns = bench.now_ns + 20_000 * MS
    while bench.now_ns < until_ns and not all(quiet(bench, node) for node in ("a", "b")):
        bench.run(bench.now_ns + 100 * MS)
    for node in ("a", "b"):
        creates = bench.creates(node)
        assert not creates.queue.items
        assert not creates.queue.removals.leaving
        assert creates.pairs.idle()
        assert not bench.services[node].ends["a-b"].requests
        sink = bench.sinks[node][-1]
        assert {slot.state for slot in sink.slots.slots()} == {"free"}, node
        assert set(sink.released) == set(sink.born)
