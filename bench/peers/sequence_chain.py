"""Work W1 on SeQUeNCe 1.3.1: its routers, single-heralded generation, Bell-diagonal swapping.

Owns the configuration that comes closest to W1. Not equal: each attempt is negotiated and takes some 56 us,
and swaps follow a nested order instead of as soon as possible. Runs in SeQUeNCe's own environment.

Usage: python sequence_chain.py NODES SECONDS SEED    prints one JSON line
"""

import json
import random
import sys
import tempfile
import time
import typing
from pathlib import Path

if not hasattr(typing, "override"):  # SeQUeNCe 1.3.1 asks for Python 3.12 because of this one name
    typing.override = lambda method: method

import numpy as np
from sequence.app.request_app import RequestApp
from sequence.constants import SINGLE_HERALDED
from sequence.entanglement_management.generation import EntanglementGenerationA, EntanglementGenerationB
from sequence.entanglement_management.generation.single_heralded import SingleHeraldedA
from sequence.entanglement_management.swapping import EntanglementSwappingA, EntanglementSwappingB
from sequence.topology.router_net_topo import RouterNetTopo

LANES = 5
SUCCESS = 0.01
SWAP_SUCCESS = 0.5
LENGTH_M = 10_000
LOSS_DB_PER_M = 0.0002
MESSAGE_PS = 12_500_000  # between any two nodes; the middle tells its two nodes in half of that
START_S = 0.002  # reservation and routing before the measured time
PS_PER_S = 1e12


def configuration(nodes, seconds, seed):
    """The network as SeQUeNCe reads it. Of two photons that both arrive, the middle heralds every second."""
    half_fibre = 10 ** (-LENGTH_M / 2 * LOSS_DB_PER_M / 10)
    names = [f"n{index:02d}" for index in range(nodes)]
    memory = {
        "efficiency": (SUCCESS / 0.5) ** 0.5 / half_fibre,
        "frequency": 1e9,
        "fidelity": 0.99,
        "coherence_time": -1,
        "wavelength": 1550,
        "decoherence_errors": [1 / 3, 1 / 3, 1 / 3],
        "cutoff_ratio": 1,
    }
    detector = {"efficiency": 1.0, "dark_count": 0, "count_rate": 1e9, "time_resolution": 100}
    return {
        "templates": {
            "router": {"MemoryArray": memory, "encoding_type": "single_heralded"},
            "middle": {
                "encoding_type": "single_heralded",
                "SingleHeraldedBSM": {"detectors": [detector, detector], "success_rate": 0.5},
            },
        },
        "nodes": [
            {
                "name": name,
                "type": "QuantumRouter",
                "seed": 1000 * seed + index,
                "memo_size": LANES if index in (0, nodes - 1) else 2 * LANES,
                "template": "router",
            }
            for index, name in enumerate(names)
        ],
        "qconnections": [
            {
                "node1": names[index],
                "node2": names[index + 1],
                "attenuation": LOSS_DB_PER_M,
                "distance": LENGTH_M,
                "type": "meet_in_the_middle",
                "template": "middle",
                "seed": 1000 * seed + 500 + index,
            }
            for index in range(nodes - 1)
        ],
        "cconnections": [
            {"node1": one, "node2": two, "delay": MESSAGE_PS}
            for index, one in enumerate(names)
            for two in names[index + 1 :]
        ],
        "stop_time": int((seconds + START_S) * PS_PER_S),
        "formalism": "bell_diagonal",
        "is_parallel": False,
    }


def main():
    nodes, seconds, seed = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    np.random.seed(seed)
    random.seed(seed)
    for protocol in (EntanglementGenerationA, EntanglementGenerationB):
        protocol.set_global_type(SINGLE_HERALDED)
    for protocol in (EntanglementSwappingA, EntanglementSwappingB):
        protocol.set_formalism("bell_diagonal")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "chain.json"
        place.write_text(json.dumps(configuration(nodes, seconds, seed)), encoding="utf-8")
        network = RouterNetTopo(str(place))
    timeline = network.get_timeline()
    timeline.stop_time = int((seconds + START_S) * PS_PER_S)
    routers = {router.name: router for router in network.get_nodes_by_type(RouterNetTopo.QUANTUM_ROUTER)}
    for router in routers.values():
        router.swapping_success_prob = SWAP_SUCCESS
    emissions = 0
    emit = SingleHeraldedA.emit_event

    def counted(protocol):
        nonlocal emissions
        emissions += protocol.ent_round == 1
        return emit(protocol)

    SingleHeraldedA.emit_event = counted
    first, last = min(routers), max(routers)
    asking, _answering = RequestApp(routers[first]), RequestApp(routers[last])
    timeline.init()
    asking.start(last, int(START_S * PS_PER_S), timeline.stop_time - 1, LANES, 0.01)
    wall, cpu = time.perf_counter(), time.process_time()
    timeline.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        json.dumps(
            {
                "impl": "SeQUeNCe 1.3.1",
                "N": nodes,
                "sim_s": seconds,
                "wall_per_sim_s": wall / seconds,
                "cpu_per_sim_s": cpu / seconds,
                "ev_per_s": timeline.run_counter / wall,
                "attempts_per_s": emissions / 2 / wall,
                "eps": asking.memory_counter / seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
