"""The network that plans are made on: nodes and links with everything that a plan must know (typed values).

Owns `Topology`, `Node`, `Link` and their defaults (algorithms.md 0.2, 1.1). Refuses load (capacity.py), the
reading of files (sources/) and trees. Values are checked when they are made, so that no search ever meets a
negative length or a probability of two.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from bellwire.core.bell import Bell, werner
from bellwire.core.errors import ConfigError
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Architecture = Literal["meet_in_the_middle", "sender_receiver", "midpoint_source"]
"""How a link makes pairs (stack paper, section IV-F)."""

Pair = tuple[NodeId, NodeId]
"""Two node names in sorted order: the key of a link and of everything that belongs to two nodes alike."""

FIBRE_KM_PER_S: Final = 2.0e5
ATTENUATION_LENGTH_KM: Final = 20.0
DB_PER_KM_KM: Final = 10.0 / math.log(10.0)
"""Attenuation length in km = DB_PER_KM_KM / attenuation in dB/km."""

GENERATION_S: Final = 50e-6
GENERATION_PROBABILITY: Final = 0.33
SWAP_PROBABILITY: Final = 0.4
SWAP_S: Final = 10e-6
MEMORIES: Final = 5
STORAGE_HZ: Final = 0.01
GATE_FLIP: Final = (1.0 - math.exp(-0.01)) / 2.0
"""p_Z of the dephasing that each of the two measured qubits suffers before a BSM (0.2: 1000/s over 10 us)."""

SWAP_NOISE: Final[Bell] = (
    1.0 - 2.0 * GATE_FLIP * (1.0 - GATE_FLIP),
    2.0 * GATE_FLIP * (1.0 - GATE_FLIP),
    0.0,
    0.0,
)
PERFECT: Final[Bell] = (1.0, 0.0, 0.0, 0.0)


def pair_of(a: NodeId, b: NodeId) -> Pair:
    """Two names as an unordered key."""
    return (a, b) if a <= b else (b, a)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that can hold entanglement."""

    name: NodeId
    memories: int = MEMORIES
    attempts_hz: float = 1.0 / GENERATION_S  # atom-photon attempts over all links; inf: each link has its own
    generation_probability: float = GENERATION_PROBABILITY  # p_g
    generation_s: float = GENERATION_S  # t_g, the age that a fresh pair begins with (t_emit)
    swap_probability: float = SWAP_PROBABILITY  # p_b
    swap_s: float = SWAP_S  # t_b
    fusion_probability: float | None = None  # p_f; None: as a swap
    fusion_s: float | None = None  # t_f; None: as a swap
    swap_noise: Bell = SWAP_NOISE  # distribution of the Pauli by which a swap errs
    gate_fidelity: float = 1.0  # of the CNOT of a purification round
    readout_fidelity: float = 1.0  # of the measurement of a purification round
    purification_s: float = SWAP_S  # t_p
    decay_hz: tuple[float, float, float] = (STORAGE_HZ, STORAGE_HZ, STORAGE_HZ)  # of lambda_1..3 per qubit
    position_km: tuple[float, float] | None = None
    relays: bool = True  # False: an end node that swaps for nobody

    def __post_init__(self) -> None:
        where = f'node "{self.name}"'
        if not self.name:
            raise ConfigError("a node needs a name")
        if self.memories < 0:
            raise ConfigError(f"{where}: memories = {self.memories} is below 0")
        _check_not_negative(where, "attempts_hz", self.attempts_hz, infinite=True)
        for name in ("generation_s", "swap_s", "purification_s"):
            _check_not_negative(where, name, getattr(self, name))
        for name in ("generation_probability", "swap_probability", "gate_fidelity", "readout_fidelity"):
            _check_share(where, name, getattr(self, name))
        if self.fusion_probability is not None:
            _check_share(where, "fusion_probability", self.fusion_probability)
        if self.fusion_s is not None:
            _check_not_negative(where, "fusion_s", self.fusion_s)
        for rate in self.decay_hz:
            _check_not_negative(where, "decay_hz", rate)
        _check_bell(where, "swap_noise", self.swap_noise)
        if self.position_km is not None and not all(math.isfinite(x) for x in self.position_km):
            raise ConfigError(f"{where}: position_km = {self.position_km} is not finite")

    @property
    def p_f(self) -> float:
        """Success probability of a fusion."""
        return self.swap_probability if self.fusion_probability is None else self.fusion_probability

    @property
    def t_f(self) -> float:
        """Duration of a fusion in seconds."""
        return self.swap_s if self.fusion_s is None else self.fusion_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Two nodes that can make pairs with each other. `link_between` fills in what physics implies."""

    ends: Pair
    length_km: float
    success_probability: float  # q, of one joint attempt
    capacity_hz: float  # cap_channel: pairs per second that the channel carries
    attempt_s: float  # tau, channel occupancy of one attempt
    success_s: float = 0.0  # t_s, age of both ends when the pair is known to exist
    state: Bell = PERFECT  # of a fresh pair, relative to its herald's frame
    architecture: Architecture = "meet_in_the_middle"
    attenuation_length_km: float = ATTENUATION_LENGTH_KM
    channels: int = 1  # W
    link: LinkId | None = None  # name in the lab, where there is one
    success_error: float | None = None  # standard errors of `success_probability` and of the fidelity, where
    fidelity_error: float | None = None  # they were measured; None: nobody did

    def __post_init__(self) -> None:
        where = f"link {self.ends[0]}-{self.ends[1]}"
        if self.ends[0] >= self.ends[1]:
            raise ConfigError(f"{where}: the ends must be two different names in sorted order")
        for name in ("length_km", "attempt_s", "success_s"):
            _check_not_negative(where, name, getattr(self, name))
        # Before the capacity, which link_between works out of them: the error names what was given.
        _check_share(where, "success_probability", self.success_probability)
        if self.channels < 1:
            raise ConfigError(f"{where}: channels = {self.channels} is below 1")
        _check_not_negative(where, "capacity_hz", self.capacity_hz, infinite=True)
        _check_not_negative(where, "attenuation_length_km", self.attenuation_length_km, infinite=True)
        _check_bell(where, "state", self.state)

    @property
    def fidelity(self) -> float:
        """Of a fresh pair."""
        return self.state[0]


def link_between(
    a: Node,
    b: Node,
    length_km: float,
    *,
    attenuation_length_km: float = ATTENUATION_LENGTH_KM,
    channels: int = 1,
    architecture: Architecture = "meet_in_the_middle",
    sender: NodeId | None = None,
    fidelity: float = 1.0,
    optical_probability: float | None = None,
    optical_s: float | None = None,
    success_probability: float | None = None,
    attempt_s: float | None = None,
    link: LinkId | None = None,
) -> Link:
    """A link by the textbook model of algorithms.md 1.1; what is given explicitly wins over the model.

    optical_probability: p_ob, default half the mean p_b of the ends; optical_s: t_ob, default the longer t_b.
    With a source in the middle the same fibre is crossed, and q is alike: p_g is then the chance that a
    memory stores and heralds its photon, p_ob that the source emits; an attempt occupies the channel for the
    photons' flight and the heralds' way to the source and back, d/(2c) + d/c (11.4).

    Sender-receiver (11.4): q = p_g exp(-d/L_att) eta_det with the sender's p_g alone; eta_det is
    optical_probability, default the mean p_b (no linear optics halves it). An attempt takes t = t_g + 2 d/c,
    the sender's generation, the flight and the herald's way back, and no channel time t_ob. sender: which end
    emits, default the one whose p_g is higher.

    Raises:
        ConfigError: a value is negative, not finite, or a probability outside 0..1.
    """
    where = f"link {a.name}-{b.name}"
    _check_not_negative(where, "length_km", length_km)
    if not attenuation_length_km > 0.0:
        raise ConfigError(f"{where}: attenuation_length_km = {attenuation_length_km:g} must be above 0")
    sends = architecture == "sender_receiver"
    one_photon = (a.swap_probability + b.swap_probability) / 2.0
    p_ob = (one_photon if sends else one_photon / 2.0) if optical_probability is None else optical_probability
    t_ob = max(a.swap_s, b.swap_s) if optical_s is None else optical_s
    _check_share(where, "optical_probability", p_ob)
    _check_not_negative(where, "optical_s", t_ob)
    _check_share(where, "fidelity", fidelity)
    survival = math.exp(-length_km / attenuation_length_km)  # e_t squared: both halves
    if sends:
        emits = _sender(a, b, sender, where)
        p_g, q_g, made_s = emits.generation_probability, 1.0, 0.0
        busy_s = emits.generation_s + 2.0 * length_km / FIBRE_KM_PER_S
    else:
        if sender is not None:
            raise ConfigError(f"{where}: a sender belongs to sender_receiver links, this is {architecture}")
        p_g, q_g = a.generation_probability, b.generation_probability
        made_s = max(a.generation_s, b.generation_s)
        flights = 1.5 if architecture == "midpoint_source" else 0.5
        busy_s = t_ob + flights * length_km / FIBRE_KM_PER_S
    tau = busy_s if attempt_s is None else attempt_s
    q = p_g * q_g * survival * p_ob if success_probability is None else success_probability
    _check_not_negative(where, "attempt_s", tau)
    carried = survival * p_ob * min(p_g, q_g) if success_probability is None else success_probability
    return Link(
        ends=pair_of(a.name, b.name),
        length_km=length_km,
        success_probability=q,
        capacity_hz=math.inf if tau == 0.0 else channels / tau * carried,
        attempt_s=tau,
        success_s=made_s + tau,
        state=werner(fidelity),
        architecture=architecture,
        attenuation_length_km=attenuation_length_km,
        channels=channels,
        link=link,
    )


def _sender(a: Node, b: Node, sender: NodeId | None, where: str) -> Node:
    if sender is None:
        return max(a, b, key=lambda node: (node.generation_probability, -node.generation_s))
    for node in (a, b):
        if node.name == sender:
            return node
    raise ConfigError(f'{where}: sender "{sender}" is neither of its ends')


@dataclass(frozen=True)
class Topology:
    """Nodes, links, and how long a classical word takes between any two nodes.

    nodes: by name. links: by sorted pair of names. delays_s: one-way seconds by sorted pair, for networks
    that know them; otherwise straight-line distance where both nodes have positions, and the shortest way
    through fibre where not, at 2e5 km/s.
    """

    nodes: Mapping[NodeId, Node]
    links: Mapping[Pair, Link]
    delays_s: Mapping[Pair, float] | None = None
    name: str = ""
    notes: tuple[str, ...] = ()  # remarks of the reader, for people
    _fibre: dict[NodeId, dict[NodeId, float]] = field(
        default_factory=dict[NodeId, dict[NodeId, float]], init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for name, node in self.nodes.items():
            if name != node.name:
                raise ConfigError(f'node "{node.name}" stands under the name "{name}"')
        for pair, link in self.links.items():
            if pair != link.ends:
                raise ConfigError(f"link {link.ends} stands under {pair}")
            for end in pair:
                if end not in self.nodes:
                    raise ConfigError(f'link {pair[0]}-{pair[1]} ends at "{end}", which is no node')
        for (a, b), delay_s in ({} if self.delays_s is None else self.delays_s).items():
            where = f"classical delay {a}-{b}"
            if a >= b:
                raise ConfigError(f"{where}: the ends must be two different names in sorted order")
            for end in (a, b):
                if end not in self.nodes:
                    raise ConfigError(f'{where} ends at "{end}", which is no node')
            _check_not_negative(where, "delay_s", delay_s, infinite=True)

    @staticmethod
    def of(nodes: Iterable[Node], links: Iterable[Link], **others: Any) -> "Topology":
        """A topology of lists. Raises ConfigError for a name or a link that comes twice."""
        by_name: dict[NodeId, Node] = {}
        for node in nodes:
            if node.name in by_name:
                raise ConfigError(f'two nodes are called "{node.name}"')
            by_name[node.name] = node
        by_pair: dict[Pair, Link] = {}
        for link in links:
            if link.ends in by_pair:
                raise ConfigError(f"two links join {link.ends[0]} and {link.ends[1]}")
            by_pair[link.ends] = link
        return Topology(by_name, by_pair, **others)

    def node(self, name: NodeId) -> Node:
        """The node of that name. Raises ConfigError with the nearest known name."""
        found = self.nodes.get(name)
        if found is None:
            raise ConfigError(f'unknown node "{name}"{nearest(name, self.nodes)}')
        return found

    def link(self, a: NodeId, b: NodeId) -> Link | None:
        """The link that joins two nodes, or None."""
        return self.links.get(pair_of(a, b))

    @cached_property
    def neighbours(self) -> dict[NodeId, tuple[NodeId, ...]]:
        """Adjacent nodes of every node, in order of the links."""
        found: dict[NodeId, list[NodeId]] = {name: [] for name in self.nodes}
        for a, b in self.links:
            found[a].append(b)
            found[b].append(a)
        return {name: tuple(beside) for name, beside in found.items()}

    @cached_property
    def order(self) -> dict[NodeId, int]:
        """Position of every node in arrays, in the order of `nodes`."""
        return {name: index for index, name in enumerate(self.nodes)}

    def delay_s(self, a: NodeId, b: NodeId) -> float:
        """One-way classical delay between two nodes; inf where no way is known."""
        if a == b:
            return 0.0
        if self.delays_s is not None:
            return self.delays_s.get(pair_of(a, b), math.inf)
        here, there = self.nodes[a].position_km, self.nodes[b].position_km
        if here is not None and there is not None:
            return math.dist(here, there) / FIBRE_KM_PER_S
        if a not in self._fibre:
            self._fibre[a] = self._fibre_delays_s(a)
        return self._fibre[a].get(b, math.inf)

    def told_s(self, at: NodeId, *others: NodeId) -> float:
        """t_c: time until all the others know what happened at a node."""
        return max((self.delay_s(at, other) for other in others), default=0.0)

    @cached_property
    def delay_matrix_s(self) -> "NDArray[np.float64]":
        """`delay_s` of all pairs, n x n in `order`; inf where no way is known."""
        import numpy as np

        names = list(self.nodes)
        n = len(names)
        spots = [self.nodes[name].position_km for name in names]
        if self.delays_s is None and all(spot is not None for spot in spots):
            xy = np.array(spots, dtype=np.float64).reshape(n, 2)
            found = np.hypot(xy[:, None, 0] - xy[None, :, 0], xy[:, None, 1] - xy[None, :, 1])
            return found / FIBRE_KM_PER_S
        matrix = np.full((n, n), np.inf)
        for i, a in enumerate(names):
            matrix[i] = [self.delay_s(a, b) for b in names]
        return matrix

    def _fibre_delays_s(self, source: NodeId) -> dict[NodeId, float]:
        import networkx as nx

        return nx.single_source_dijkstra_path_length(self.fibre_graph, source, weight="delay_s")

    @cached_property
    def fibre_graph(self) -> Any:
        """The links as a networkx graph with `length_km` and `delay_s` on its edges."""
        import networkx as nx

        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(self.nodes)
        for (a, b), link in self.links.items():
            graph.add_edge(a, b, length_km=link.length_km, delay_s=link.length_km / FIBRE_KM_PER_S)
        return graph


def _check_not_negative(where: str, what: str, value: float, *, infinite: bool = False) -> None:
    if math.isnan(value) or value < 0.0 or (math.isinf(value) and not infinite):
        raise ConfigError(f"{where}: {what} = {value:g} must be a finite number, 0 or more")


def _check_share(where: str, what: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{where}: {what} = {value:g} is outside 0..1")


def _check_bell(where: str, what: str, state: Bell) -> None:
    if not (min(state) >= 0.0 and abs(sum(state) - 1.0) <= 1e-9):
        raise ConfigError(f"{where}: {what} = {state} are not four probabilities that sum to 1")


NODE_FIELDS: Final = frozenset(each.name for each in fields(Node))
"""Names by which files may set properties of a node."""
