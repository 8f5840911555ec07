"""What each role is made of (stack paper IV-G)."""

import pytest

from bellwire.core.events import Started
from bellwire.node.machines import QuantumNode, StationMachine, make_machine
from bellwire.node.routing import NodeMachine
from tests.node.networks import chain

ROOMS = {
    "a": {"gem", "link_layer", "swapping", "baselines", "planner", "transport", "applications"},
    "r": {"gem", "link_layer", "swapping", "baselines", "planner"},
    "m": {"link_layer"},
}


def machine_of(node: str) -> NodeMachine:
    return make_machine(chain(), node, lambda request, version, news: "no plan")


@pytest.mark.parametrize("node", ["a", "r", "m"], ids=["end", "repeater", "station"])
def test_a_role_runs_the_parts_of_its_layers_and_no_others(node: str) -> None:
    assert {type(part).__module__.split(".")[1] for part in machine_of(node).parts} == ROOMS[node]


def test_a_repeater_only_installs_plans_and_never_dispatches_any() -> None:
    names = {type(part).__name__ for part in machine_of("r").parts}
    assert "Messaging" in names
    assert "PlanDispatch" not in names


def test_roles_are_told_by_their_classes() -> None:
    assert isinstance(machine_of("m"), StationMachine)
    repeater, end = machine_of("r"), machine_of("a")
    assert isinstance(repeater, QuantumNode)
    assert isinstance(end, QuantumNode)
    assert repeater.delivery is None
    assert repeater.requests is None
    assert end.delivery is not None
    assert end.requests is not None


def test_a_node_may_speak_more_often_in_a_step_the_more_slots_it_has() -> None:
    small = make_machine(chain(lanes=1), "r", lambda request, version, news: "no")
    large = make_machine(chain(lanes=9), "r", lambda request, version, news: "no")
    assert large._step.notices_max - small._step.notices_max == 4 * 16


@pytest.mark.parametrize("node", ["a", "r", "m"])
def test_every_role_starts_with_its_first_event(node: str) -> None:
    machine = machine_of(node)
    machine.handle(0, Started(incarnation=1))
    assert machine._step.incarnation == 1
