"""A bench for CREATEs: users at both ends of one link, and memories whose measurements follow a Bell pair.

Owns what users were answered and when, the joint state of each pair (a density matrix in numpy), and checks
that hold whatever the channel did.
"""

from typing import TypeVar

import msgspec
import numpy as np

from bellwire.core.effects import AnswerLink, Effect, MeasureQubit
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
    LinkAnswer,
    LinkCreate,
    LinkOkKeep,
)
from bellwire.core.settings import LinkSettings, NetworkSettings, NodeSettings, Timers
from bellwire.link_layer.creates import Creates
from tests.link_layer.bench import Channel, LinkBench, link_network

MEASURE_NS = 10_000
"""A measurement takes so long."""

Kind = TypeVar("Kind")

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
    return unitary.conj().T @ (np.eye(2) + PAULIS[order.basis]) @ unitary / 2


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
    ) -> None:
        """`link`, `timers`, `purposes`: what differs from `link_network`. `no_result`: share of measurements
        that end without a bit."""
        self._changes = link or {}
        self._given_timers = timers
        self._purposes = purposes or {}
        self.no_result = no_result
        self.answers: dict[str, list[tuple[int, LinkAnswer]]] = {"a": [], "b": []}
        self.asked: dict[str, list[tuple[int, LinkCreate]]] = {"a": [], "b": []}
        self.restarts: dict[str, list[int]] = {"a": [], "b": [], "m": []}
        self.orders: list[tuple[str, End, MeasureQubit]] = []
        self._states: dict[tuple[int, int, int], np.ndarray] = {}
        super().__init__(seed, station=station, channel=channel or Channel())

    def make_network(self, station: bool) -> NetworkSettings:
        network = link_network(station=station)
        changed: LinkSettings = msgspec.structs.replace(network.links["a-b"], **self._changes)
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
