"""Ways in which a host may differ from the tidy one: order among equals, skewed clocks; and labs for it."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bellwire.core.events import Event
from bellwire.core.ids import NodeId
from bellwire.core.settings import NetworkSettings
from bellwire.labs import Lab, Scenario, build_lab
from bellwire.labs.models import LabFile
from bellwire.node.machines import Compute, make_machine
from bellwire.node.routing import NodeMachine
from bellwire.simulator_backend.host import MakeMachine

MASK = (1 << 64) - 1


def permuted(key: int) -> Callable[[int], int]:
    """A keyed permutation of 64-bit numbers: another order among simultaneous appointments for every key."""

    def order(counter: int) -> int:
        mixed = ((counter ^ key) * 0x9E3779B97F4A7C15) & MASK
        mixed ^= mixed >> 29
        mixed = (mixed * 0xBF58476D1CE4E5B9) & MASK
        return mixed ^ (mixed >> 32)

    return order


class SkewedSource:
    """Facts become visible by true time, whatever the reader's clock says."""

    def __init__(self, source: Any, offset_ns: int) -> None:
        self._source = source
        self._offset_ns = offset_ns

    def visible(self, now_ns: int) -> Iterator[Any]:
        return self._source.visible(now_ns - self._offset_ns)


def skewed(offsets_ns: Mapping[NodeId, int]) -> MakeMachine:
    """Machines whose clocks are ahead of true time by a constant each; instruments stay on true time."""

    def make(network: NetworkSettings, node: NodeId, compute: Compute, source: Any) -> NodeMachine:
        offset_ns = offsets_ns.get(node, 0)
        machine = make_machine(network, node, compute, SkewedSource(source, offset_ns))
        handle = machine.handle

        def handle_by_own_clock(now_ns: int, event: Event) -> list[Any]:
            effects = handle(now_ns + offset_ns, event)
            if machine.next_deadline_ns is not None:
                machine.next_deadline_ns -= offset_ns
            return effects

        machine.handle = handle_by_own_clock  # type: ignore[method-assign]
        return machine

    return make


def asap_chain(
    nodes: int = 4,
    *,
    count: int = 40,
    lanes: int = 6,
    p: float = 0.08,
    swap_p: float = 0.7,
    cutoff_ms: float | None = 0.7,
    consumption: str = "keep",
    scenario: Scenario | None = None,
    bsm_us: float = 30.0,
) -> Lab:
    """A chain with lossy swaps and cutoffs, 50 us a hop, attempts of 100 us: swaps collide."""
    memory = {
        "t1_s": None,
        "t2_s": 0.5,
        "gate_fidelity": 0.99,
        "single_gate_fidelity": 0.999,
        "readout_fidelity": 0.995,
        "bsm_success_probability": swap_p,
        "bsm_duration_us": bsm_us,
    }
    names = [f"n{index}" for index in range(nodes)]
    attempt = {"period_us": 100.0, "success_probability": p, "fidelity": 0.97}
    links = {
        f"{one}-{two}": {"nodes": (one, two), "lanes": lanes, "attempt": attempt}
        for one, two in itertools.pairwise(names)
    }
    request: dict[str, Any] = {
        "id": "r",
        "from": names[0],
        "to": names[-1],
        "count": count,
        "mode": "swap_asap",
        "consumption": consumption,
        "deadline_s": 60.0,
    }
    if cutoff_ms is not None:
        request["cutoff_ms"] = cutoff_ms
    document = {
        "lab": f"asap_chain_{nodes}",
        "nodes": {
            name: {"role": "end" if name in (names[0], names[-1]) else "repeater", "memory": memory}
            for name in names
        },
        "links": links,
        "classical": {"delay_us": dict.fromkeys(links, 50.0)},
        "requests": (request,),
    }
    lab = build_lab(LabFile.model_validate(document))
    return lab if scenario is None else replace(lab, scenario=scenario)
