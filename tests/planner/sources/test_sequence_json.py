"""Network files of SeQUeNCe in both dialects: the physics that their records mean, and what is refused.

Owns the tests of sources/sequence_records.py and sequence_json.py. The files are our own, in the format of
the simulator.
"""

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bellwire.core.bell import bsm_noise, noisy_bsm, werner, xor_convolve
from bellwire.core.errors import ConfigError
from bellwire.planner.sources.reading import read_topology
from bellwire.planner.sources.sequence_json import read_sequence
from bellwire.planner.topology import Node, link_between

FILES = Path(__file__).parent / "files"
CONNECTIONS: dict[str, Any] = json.loads((FILES / "connections.json").read_text(encoding="utf-8"))
CHANNELS: dict[str, Any] = json.loads((FILES / "channels.json").read_text(encoding="utf-8"))


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with one value replaced; path as in `nodes.0.name`."""
    found = copy.deepcopy(document)
    *way, last = path.split(".")
    place: Any = found
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    return found


def test_quantum_connections_are_links_with_a_station_in_the_middle() -> None:
    found = read_topology(FILES / "connections.json")
    assert found.nodes == {
        "left": Node(name="left", memories=20),
        "centre": Node(name="centre", memories=30),
        "right": Node(name="right"),
    }
    link = found.links["centre", "left"]
    assert link.length_km == 10.0
    assert math.exp(-10.0 / link.attenuation_length_km) == pytest.approx(
        10.0 ** (-0.2 * 10.0 / 10.0), rel=1e-12
    )
    assert link == link_between(
        found.nodes["left"], found.nodes["centre"], 10.0, attenuation_length_km=link.attenuation_length_km
    )
    assert link.success_probability == pytest.approx(0.33**2 * 0.2 * 10.0**-0.2, rel=1e-12)


def test_classical_delays_count_when_every_pair_has_one() -> None:
    found = read_topology(FILES / "connections.json")
    assert found.delays_s == {
        ("centre", "left"): pytest.approx(5e-4),
        ("centre", "right"): pytest.approx(2.5e-4),
        ("left", "right"): pytest.approx(14_000 / 2e8),
    }


def test_classical_delays_that_are_not_complete_are_left_with_a_remark() -> None:
    document = changed(CONNECTIONS, "cconnections", CONNECTIONS["cconnections"][:2])
    found = read_sequence(document, "net")
    assert found.delays_s is None
    assert found.delay_s("left", "right") == pytest.approx(14_000 / 2e8)
    assert found.notes[0] == (
        "classical delays of 2 of 3 pairs of nodes are given: the ways through fibre are used instead"
    )


def test_fibre_that_is_too_good_is_believed_with_a_remark() -> None:
    found = read_topology(FILES / "connections.json")
    assert found.links["centre", "right"].attenuation_length_km == pytest.approx(10.0 / math.log(10.0) / 0.01)
    assert found.notes == (
        "no templates: physics has the defaults of bellwire, not those of the simulator",
        "1 links lose less than 0.14 dB/km, less than any fibre: rates are optimistic",
    )


def test_a_station_off_the_middle_joins_two_channels_to_one_link() -> None:
    """6 km at 0.2 and 2 km at 0.4 dB/km lose 2 dB; an attempt waits for the longer arm: 10 us + 30 us."""
    found = read_topology(FILES / "channels.json")
    assert list(found.nodes) == ["a", "b", "c"]
    link = found.links["a", "b"]
    assert link.length_km == 8.0
    assert math.exp(-8.0 / link.attenuation_length_km) == pytest.approx(10.0**-0.2, rel=1e-12)
    assert link.attempt_s == pytest.approx(40e-6, rel=1e-12)
    p_ob = 0.5 * ((0.9**2 + 0.7**2) / 4.0 + 0.9 * 0.7 / 2.0)  # both detectors equally often
    assert link.success_probability == pytest.approx(0.6 * 0.33 * 10.0**-0.2 * p_ob, rel=1e-12)
    assert link.fidelity == 0.95


def test_fibre_without_loss_loses_nothing() -> None:
    link = read_topology(FILES / "channels.json").links["b", "c"]
    assert (link.length_km, link.attenuation_length_km) == (10.0, math.inf)
    assert link.success_probability == pytest.approx(0.33**2 * 0.2, rel=1e-12)


@pytest.mark.parametrize("turned", [False, True])
def test_the_slower_direction_of_words_counts_and_stations_do_not(turned: bool) -> None:
    channels = [*CHANNELS["cchannels"], {"source": "c", "destination": "a", "delay": 7e7}]
    document = changed(CHANNELS, "cchannels", channels[::-1] if turned else channels)
    assert read_sequence(document, "net").delays_s == {
        ("a", "b"): pytest.approx(6e-5),
        ("b", "c"): pytest.approx(5e-5),
        ("a", "c"): pytest.approx(7e-5),
    }


def test_templates_say_what_a_router_can_do() -> None:
    node = read_topology(FILES / "channels.json").nodes["a"]
    assert (node.memories, node.generation_probability, node.swap_probability) == (4, 0.6, 0.9)
    assert (node.generation_s, node.attempts_hz) == (5e-5, 80e3)
    assert (node.gate_fidelity, node.readout_fidelity) == (0.98, 0.99)
    one, other = werner(0.9), werner(0.8)
    assert xor_convolve(xor_convolve(one, other), node.swap_noise) == pytest.approx(
        noisy_bsm(one, other, 0.98, 0.99), rel=1e-12
    )


def test_memories_decay_as_under_the_pauli_errors_of_the_file() -> None:
    """T = 2 s, shares x 0.2, y 0.3, z 0.5: the master equation of one qubit of Phi+ by matrix powers.

    2**20 small steps of the channel (1 - dt/T) rho + dt/T (x X rho X + y Y rho Y + z Z rho Z) over 0.7 s.
    """
    rates = read_topology(FILES / "channels.json").nodes["a"].decay_hz
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])
    one = np.eye(2)
    step_s = 0.7 / 2.0**20
    phi = np.array([1.0, 0.0, 0.0, 1.0]) / math.sqrt(2.0)

    def channel(pauli: NDArray[Any]) -> NDArray[Any]:
        whole = np.kron(pauli, one)
        return np.kron(whole, whole.conj())

    mixed = sum(share * channel(pauli) for share, pauli in ((0.2, x), (0.3, y), (0.5, z)))
    step = (1.0 - step_s / 2.0) * np.eye(16) + step_s / 2.0 * mixed
    rho = (np.linalg.matrix_power(step, 2**20) @ np.outer(phi, phi).ravel()).reshape(4, 4)
    seen = [
        float(np.trace(rho @ np.kron(x, x)).real),
        float(np.trace(rho @ np.kron(z, z)).real),
        -float(np.trace(rho @ np.kron(y, y)).real),
    ]
    assert seen == pytest.approx([math.exp(-rate * 0.7) for rate in rates], rel=1e-5)


@pytest.mark.parametrize(
    ("memory", "decay_hz"),
    [
        ({"coherence_time": -1}, (0.0, 0.0, 0.0)),
        ({"coherence_time": 2.0}, (2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0)),
        ({}, Node(name="a").decay_hz),
    ],
)
def test_a_coherence_time_without_shares_has_them_alike(
    memory: dict[str, float], decay_hz: tuple[float, float, float]
) -> None:
    found = read_sequence(changed(CHANNELS, "templates.router.MemoryArray", memory), "net")
    assert found.nodes["a"].decay_hz == pytest.approx(decay_hz)


def test_one_of_the_two_fidelities_alone_makes_noise_too() -> None:
    found = read_sequence(changed(CONNECTIONS, "nodes.0.measurement_fidelity", 0.97), "net")
    assert found.nodes["left"].swap_noise == bsm_noise(1.0, 0.97)


def test_keys_that_are_not_used_are_remarked() -> None:
    notes = read_topology(FILES / "channels.json").notes
    assert [note for note in notes if note.startswith("not used")] == [
        'not used: template "router" MemoryArray wavelength (1 times)',
        'not used: template "router" EntanglementSwapping swapping_degradation (1 times)',
        'not used: template "router" routing (1 times)',
        'not used: template "bsm" encoding_type (1 times)',
    ]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("nodes.0.name", 5, r"Expected `str`, got `int` - at `\$\.nodes\[0\]\.name`"),
        ("nodes.0", {"name": "left"}, r"missing required field `type` - at `\$\.nodes\[0\]`"),
        (
            "nodes.0.type",
            "QuantumRooter",
            r'type of node "left" "QuantumRooter" \(did you mean "QuantumRouter"',
        ),
        ("nodes.0.type", "QKDNode", 'unknown type of node "left" "QKDNode"'),
        ("nodes.1.name", "left", 'two nodes are called "left"'),
        ("nodes.0.memo_size", -2, 'node "left": memories = -2 is below 0'),
        ("nodes.0.memo_size", 2.5, r"Expected `int \| null`, got `float`"),
        ("nodes.0.template", "best", 'unknown template of node "left" "best"'),
        ("nodes.0.gate_fidelity", 1.5, r'node "left": gate_fidelity = 1\.5 is outside'),
        (
            "qconnections.0.distance",
            "far",
            r"Expected `float`, got `str` - at `\$\.qconnections\[0\]\.distance`",
        ),
        ("qconnections.0.distance", -5, "quantum connection left-centre: distance = -5 must be a finite"),
        ("qconnections.0.distance", math.nan, "distance = nan must be a finite number"),
        ("qconnections.0.attenuation", -1e-4, "left-centre: attenuation = -0.0001 must be a finite number"),
        ("qconnections.0.node2", "center", r'unknown router "center" \(did you mean "centre"\?\)'),
        ("qconnections.0.node2", "left", "quantum connection left-left: joins left to itself"),
        ("qconnections.0.type", "absorptive", 'type = "absorptive" is not known'),
        ("qconnections.1.node1", "left", "two links join centre and left"),
        ("cconnections.0.delay", -7, "classical channel left-centre: delay = -7 must be a finite number"),
        (
            "cconnections.0",
            {"node1": "left", "node2": "right"},
            "left-right: delay is missing, and so is dist",
        ),
        ("cconnections.2.distance", -7, "classical channel left-right: distance = -7 must be"),
        ("cconnections.0.node1", "lift", r'unknown node "lift" \(did you mean "left"\?\)'),
        ("nodes", [], "unknown router"),
    ],
)
def test_a_wrong_record_of_connections_is_one_error(path: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_sequence(changed(CONNECTIONS, path, value), "net")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("qchannels.0.destination", "b", "quantum channel a -> b: must end at a BSMNode"),
        ("qchannels.0.source", "mid_bc", 'unknown router "mid_bc"'),
        ("qchannels.0.distance", -1, "quantum channel a -> mid_ab: distance = -1 must be a finite number"),
        (
            "qchannels",
            CHANNELS["qchannels"][1:],
            'BSMNode "mid_ab" has 1 quantum channels, and needs one from',
        ),
        ("qchannels.1.source", "a", 'BSMNode "mid_ab": joins a to itself'),
        (
            "templates.router.MemoryArray.frequency",
            0,
            'node "a": frequency = 0 must be a finite number above 0',
        ),
        ("templates.router.MemoryArray.efficiency", 1.2, r"generation_probability = 1\.2 is outside"),
        ("templates.router.MemoryArray.efficiency", "all", 'node "a", MemoryArray: Expected `float'),
        ("templates.router.MemoryArray.coherence_time", math.nan, "coherence_time = nan must be a number"),
        ("templates.router.MemoryArray.decoherence_errors", [0.5, 0.5, 0.5], "are not three shares that sum"),
        (
            "templates.router.MemoryArray.decoherence_errors",
            [1.0],
            "MemoryArray: Expected `array` of length 3",
        ),
        ("templates.router.MemoryArray.fidelity", 1.2, r'node "a": fidelity = 1\.2 is outside'),
        (
            "templates.bsm.SingleHeraldedBSM.detectors.0.efficiency",
            1.5,
            r"efficiency = 1\.5 is outside 0\.\.1",
        ),
        ("templates.bsm.SingleHeraldedBSM", [], 'BSMNode "mid_ab", SingleHeraldedBSM: Expected `object`'),
        ("nodes.3.template", "bsn", r'unknown template of BSMNode "mid_ab" "bsn" \(did you mean "bsm"\?\)'),
        ("templates.router.EntanglementSwapping", 3, 'node "a", EntanglementSwapping: Expected `object`'),
    ],
)
def test_a_wrong_record_of_channels_is_one_error(path: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_sequence(changed(CHANNELS, path, value), "net")


def test_the_name_of_the_file_stands_in_front(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps(changed(CONNECTIONS, "nodes.0.memo_size", -2)), encoding="utf-8")
    with pytest.raises(ConfigError, match="memories = -2") as refused:
        read_topology(path)
    assert refused.value.where == str(path)


def test_a_network_that_names_its_repeaters_is_not_cut_into_spans() -> None:
    with pytest.raises(ConfigError, match="span_max_km is for plain graphs"):
        read_topology(FILES / "connections.json", span_max_km=5.0)
