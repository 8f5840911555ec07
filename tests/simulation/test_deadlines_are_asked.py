"""A machine asks only the parts that took a word for their deadlines: after every step it knows those of all.

Differential: beside every step of every node of a run, all parts are asked.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwire.baselines.centre import with_centre
from bellwire.core.effects import Effect
from bellwire.core.events import Event
from bellwire.core.units import ns_from_s
from bellwire.labs import Lab, Scenario, load_lab
from bellwire.node.routing import NodeMachine
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from tests.simulation.faulty import crash

LABS = Path("lab_configs")
CHAIN = LABS / "adaptive_chain.yaml"
FAULTS = Scenario(
    message_loss_probability=0.03,
    duplicate_probability=0.05,
    delay_jitter_ns=3_000_000,
    reorder=True,
    persist_latency_ns=3_000_000,
    crashes=(crash("relay", 100, 60), crash("alice", 250, 100)),
)


def with_mode(lab: Lab, mode: str) -> Lab:
    requests = tuple(msgspec.structs.replace(one, generation_mode=mode) for one in lab.requests)
    return replace(lab, requests=requests)


def cases() -> list[Any]:
    labs = {path.stem: load_lab(path) for path in sorted(LABS.glob("*.yaml"))}
    found = [pytest.param(lab, id=name) for name, lab in labs.items() if lab.requests]
    chain = load_lab(CHAIN)
    for mode in ("connectionless", "connectionless(congestion=window)", "virtual_circuit", "fixed_tree"):
        found.append(pytest.param(with_mode(chain, mode), id=mode))
    asked = with_mode(chain, "oldest")
    found.append(pytest.param(replace(asked, network=with_centre(asked.network)), id="centralised"))
    purified = tuple(
        msgspec.structs.replace(one, purification="2:1") for one in with_mode(chain, "fixed_tree").requests
    )
    found.append(pytest.param(replace(chain, requests=purified), id="purified"))
    repeater = load_lab(LABS / "three_node_repeater.yaml")
    found.append(pytest.param(replace(repeater, scenario=FAULTS), id="faults"))
    return found


@pytest.mark.parametrize("lab", cases())
def test_after_every_step_a_machine_knows_the_deadlines_of_all_its_parts(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    handle = NodeMachine.handle

    def checked(machine: NodeMachine, now_ns: int, event: Event) -> list[Effect]:
        nonlocal steps
        effects = handle(machine, now_ns, event)
        asked = [part.deadline_ns() for part in machine.parts]
        earliest_ns = min((one for one in asked if one is not None), default=None)
        assert machine.next_deadline_ns == earliest_ns, (now_ns, machine.node, event)
        steps += 1
        return effects

    monkeypatch.setattr(NodeMachine, "handle", checked)
    host = VirtualHost(lab, 1, partial(compute_plan, lab.network))
    host.start()
    host.run(ns_from_s(0.25))
    assert steps > 50
