"""Network files of the simulator SeQUeNCe.

Owns the meaning of their records: which node is a node, which two fibres are one link, which words take how
long. Refuses records (sequence_records.py) and everything that only steers the simulator.

A BSM node in the middle of two quantum channels is the station of one link, and no node of the topology. The
file says places and losses; what it does not say has the defaults of algorithms.md 0.2 and not those of the
simulator, so that networks of different sources can be compared. Templates give more:

- MemoryArray: efficiency = p_g; frequency f: t_g = 1/f, and f attempts per second of each memory; fidelity of
  a fresh pair, the lower one of the two ends; coherence_time T with shares (x, y, z) of the Pauli errors, a
  third each by default: <XX>, <ZZ>, <YY> decay at 2(y+z)/T, 2(x+y)/T, 2(x+z)/T per stored qubit. Without
  shares the simulator lets a pair expire at T instead of decaying.
- EntanglementSwapping: swapping_success_prob = p_b.
- detectors of a BSM node: p_ob = half the square of their mean efficiency: linear optics tell half of the
  outcomes, and two photons fall on the two detectors at random.
- gate_fidelity and measurement_fidelity of a node: noise of swaps and purification rounds (11.6, 2.1).
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from bellwire.core.bell import bsm_noise
from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.registry import lookup, nearest
from bellwire.planner.sources.sequence_records import (
    ClassicalChannel,
    ClassicalConnection,
    EntanglementSwapping,
    MemoryArray,
    OpticalBsm,
    SequenceFile,
    SequenceNode,
    Template,
    part,
    unused_keys,
)
from bellwire.planner.topology import (
    DB_PER_KM_KM,
    FIBRE_KM_PER_S,
    Link,
    Node,
    Pair,
    Topology,
    link_between,
    pair_of,
)

M_PER_KM: Final = 1e3
PS_PER_S: Final = 1e12
BEST_DB_PER_KM: Final = 0.14
"""No fibre loses less; a file that says so is believed, with a remark."""

STATION: Final = "BSMNode"
KINDS: Final = {"QuantumRouter": "node", "QuantumNode": "node", "DQCNode": "node", STATION: "station"}
"""Types of nodes that a network of entangled pairs can be made of."""

MIDDLE: Final = "meet_in_the_middle"


class Arm(NamedTuple):
    """Fibre from a router towards its BSM node."""

    node: NodeId
    length_km: float
    loss_db: float

    def half(self) -> "Arm":
        """Fibre as far as the middle."""
        return Arm(self.node, self.length_km / 2.0, self.loss_db / 2.0)


class _Reading:
    """One file on its way to a topology."""

    def __init__(self, file: SequenceFile) -> None:
        self.file = file
        self.nodes: dict[NodeId, Node] = {}
        self.fidelity: dict[NodeId, float] = {}
        self.stations: dict[str, SequenceNode] = {}
        self.unused: Counter[str] = Counter()
        self.lossless = 0

    def template(self, name: str | None, what: str) -> Template:
        if name is None:
            return {}
        return lookup(f"template of {what}", name, self.file.templates)

    def note_unused(
        self, name: str | None, template: Template, known: Mapping[str, type[msgspec.Struct]]
    ) -> None:
        for key in template:
            if key not in known:
                self.unused[f'template "{name}" {key}'] += 1
            else:
                self.unused.update(
                    f'template "{name}" {key} {each}' for each in unused_keys(template, key, known[key])
                )


def read_sequence(document: object, name: str) -> Topology:
    """The topology of a file that is parsed already. Classical delays are used when every two nodes have one.

    name: of the topology. Its notes say what the file does not, what was not used, and what is too good.

    Raises:
        ConfigError: a record is missing or wrong; the text names the node, link or path in the file.
    """
    try:
        file = msgspec.convert(document, SequenceFile)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error
    reading = _Reading(file)
    for each in file.nodes:
        _read_node(reading, each)
    links = _links(reading)
    delays_s, remark = _delays_s(reading)
    notes = [remark] if remark else []
    if not file.templates:
        notes.append("no templates: physics has the defaults of bellwire, not those of the simulator")
    if reading.lossless:
        notes.append(
            f"{reading.lossless} links lose less than {BEST_DB_PER_KM:g} dB/km, less than any fibre: "
            "rates are optimistic"
        )
    notes.extend(f"not used: {what} ({count} times)" for what, count in reading.unused.items())
    return Topology.of(reading.nodes.values(), links, delays_s=delays_s, name=name, notes=tuple(notes))


def _read_node(reading: _Reading, each: SequenceNode) -> None:
    if each.name in reading.nodes or each.name in reading.stations:
        raise ConfigError(f'two nodes are called "{each.name}"')
    if lookup(f'type of node "{each.name}"', each.type, KINDS) == "station":
        reading.stations[each.name] = each
        return
    what = f'node "{each.name}"'
    template = reading.template(each.template, what)
    parts: dict[str, type[msgspec.Struct]] = {
        "MemoryArray": MemoryArray,
        "EntanglementSwapping": EntanglementSwapping,
    }
    reading.note_unused(each.template, template, parts)
    memory = part(template, "MemoryArray", MemoryArray, what)
    swapping = part(template, "EntanglementSwapping", EntanglementSwapping, what)
    fields: dict[str, Any] = {"name": each.name}
    if each.memo_size is not None:
        fields["memories"] = each.memo_size
    if memory.efficiency is not None:
        fields["generation_probability"] = memory.efficiency
    if memory.frequency is not None:
        if not 0.0 < memory.frequency < math.inf:
            raise ConfigError(f"{what}: frequency = {memory.frequency:g} must be a finite number above 0")
        fields["generation_s"] = 1.0 / memory.frequency
        fields["attempts_hz"] = memory.frequency * fields.get("memories", Node(name=each.name).memories)
    if memory.coherence_time is not None:
        fields["decay_hz"] = _decay_hz(memory.coherence_time, memory.decoherence_errors, what)
    if swapping.swapping_success_prob is not None:
        fields["swap_probability"] = swapping.swapping_success_prob
    if each.gate_fidelity is not None or each.measurement_fidelity is not None:
        gate = 1.0 if each.gate_fidelity is None else each.gate_fidelity
        readout = 1.0 if each.measurement_fidelity is None else each.measurement_fidelity
        fields |= {"gate_fidelity": gate, "readout_fidelity": readout, "swap_noise": bsm_noise(gate, readout)}
    reading.nodes[each.name] = Node(**fields)
    fidelity = 1.0 if memory.fidelity is None else memory.fidelity
    if not 0.0 <= fidelity <= 1.0:
        raise ConfigError(f"{what}: fidelity = {fidelity:g} is outside 0..1")
    reading.fidelity[each.name] = fidelity


def _decay_hz(
    coherence_s: float, shares: tuple[float, float, float] | None, what: str
) -> tuple[float, float, float]:
    if math.isnan(coherence_s):
        raise ConfigError(f"{what}: coherence_time = nan must be a number of seconds")
    if coherence_s <= 0.0:
        return (0.0, 0.0, 0.0)
    x, y, z = (1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0) if shares is None else shares
    if not (min(x, y, z) >= 0.0 and abs(x + y + z - 1.0) <= 1e-6):
        raise ConfigError(f"{what}: decoherence_errors = {[x, y, z]} are not three shares that sum to 1")
    return (2.0 * (y + z) / coherence_s, 2.0 * (x + y) / coherence_s, 2.0 * (x + z) / coherence_s)


# --- links -----------------------------------------------------------------------------------------------


def _links(reading: _Reading) -> list[Link]:
    links: list[Link] = []
    for each in reading.file.qconnections:
        what = f"quantum connection {each.node1}-{each.node2}"
        if each.type != MIDDLE:
            raise ConfigError(f'{what}: type = "{each.type}" is not known (known: {MIDDLE})')
        one, other = (
            _arm(reading, name, each.distance, each.attenuation, what) for name in (each.node1, each.node2)
        )
        links.append(_link(reading, one.half(), other.half(), each.template, what))
    arms_at: dict[str, list[Arm]] = {name: [] for name in reading.stations}
    for channel in reading.file.qchannels:
        what = f"quantum channel {channel.source} -> {channel.destination}"
        if channel.destination not in arms_at:
            raise ConfigError(f"{what}: must end at a {STATION}{nearest(channel.destination, arms_at)}")
        arms_at[channel.destination].append(
            _arm(reading, channel.source, channel.distance, channel.attenuation, what)
        )
    for name, arms in arms_at.items():
        if len(arms) != 2:
            raise ConfigError(
                f'{STATION} "{name}" has {len(arms)} quantum channels, and needs one from each of two routers'
            )
        links.append(_link(reading, arms[0], arms[1], reading.stations[name].template, f'{STATION} "{name}"'))
    return links


def _arm(reading: _Reading, node: NodeId, length_m: float, attenuation_db_per_m: float, what: str) -> Arm:
    if node not in reading.nodes:
        raise ConfigError(f'{what}: unknown router "{node}"{nearest(node, reading.nodes)}')
    for key, value in (("distance", length_m), ("attenuation", attenuation_db_per_m)):
        if not 0.0 <= value < math.inf:
            raise ConfigError(f"{what}: {key} = {value:g} must be a finite number, 0 or more")
    return Arm(node, length_m / M_PER_KM, length_m * attenuation_db_per_m)


def _link(reading: _Reading, one: Arm, other: Arm, template_name: str | None, what: str) -> Link:
    """One link of two arms. An attempt takes as long as the longer arm."""
    if one.node == other.node:
        raise ConfigError(f"{what}: joins {one.node} to itself")
    a, b = reading.nodes[one.node], reading.nodes[other.node]
    length_km, loss_db = one.length_km + other.length_km, one.loss_db + other.loss_db
    if loss_db < BEST_DB_PER_KM * length_km:
        reading.lossless += 1
    template = reading.template(template_name, what)
    optical_s = max(a.swap_s, b.swap_s)
    return link_between(
        a,
        b,
        length_km,
        attenuation_length_km=DB_PER_KM_KM * length_km / loss_db if loss_db > 0.0 else math.inf,
        fidelity=min(reading.fidelity[one.node], reading.fidelity[other.node]),
        optical_probability=_optical_probability(reading, template_name, template, what),
        optical_s=optical_s,
        attempt_s=optical_s + max(one.length_km, other.length_km) / FIBRE_KM_PER_S,
    )


def _optical_probability(reading: _Reading, name: str | None, template: Template, what: str) -> float | None:
    """p_ob of a BSM node; None where the template names no detectors."""
    parts = {key: OpticalBsm for key in template if key.endswith("BSM")}
    reading.note_unused(name, template, parts)
    for key in parts:
        found = [each.efficiency for each in part(template, key, OpticalBsm, what).detectors]
        if found and None not in found:
            efficiencies = [each for each in found if each is not None]
            for each in efficiencies:
                if not 0.0 <= each <= 1.0:
                    raise ConfigError(f"{what}: efficiency = {each:g} is outside 0..1")
            mean = math.fsum(efficiencies) / len(efficiencies)
            return 0.5 * mean * mean
    return None


# --- classical words -------------------------------------------------------------------------------------


def _delays_s(reading: _Reading) -> tuple[dict[Pair, float] | None, str | None]:
    """One-way delays by pair if complete, else why they are not used. The slower direction counts."""
    found: dict[Pair, float] = {}
    channels: list[ClassicalConnection | ClassicalChannel] = [
        *reading.file.cconnections,
        *reading.file.cchannels,
    ]
    for channel in channels:
        a, b = channel.ends
        what = f"classical channel {a}-{b}"
        for name in (a, b):
            if name not in reading.nodes and name not in reading.stations:
                raise ConfigError(f'{what}: unknown node "{name}"{nearest(name, reading.nodes)}')
        delay_s = _delay_s(channel, what)
        if a in reading.nodes and b in reading.nodes and a != b:
            pair = pair_of(a, b)
            found[pair] = max(delay_s, found.get(pair, 0.0))
    wanted = len(reading.nodes) * (len(reading.nodes) - 1) // 2
    if len(found) == wanted:
        return found, None
    return None, (
        f"classical delays of {len(found)} of {wanted} pairs of nodes are given: "
        "the ways through fibre are used instead"
    )


def _delay_s(channel: ClassicalConnection | ClassicalChannel, what: str) -> float:
    if channel.delay is not None and channel.delay != -1.0:
        if not 0.0 <= channel.delay < math.inf:
            raise ConfigError(f"{what}: delay = {channel.delay:g} must be a finite number, 0 or more")
        return channel.delay / PS_PER_S
    if channel.distance is None:
        raise ConfigError(f"{what}: delay is missing, and so is distance")
    if not 0.0 <= channel.distance < math.inf:
        raise ConfigError(f"{what}: distance = {channel.distance:g} must be a finite number, 0 or more")
    return channel.distance / M_PER_KM / FIBRE_KM_PER_S
