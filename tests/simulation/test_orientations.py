"""A request is served whichever way round the lab file names the ends of its links."""

from functools import partial
from itertools import product
from typing import Any

import pytest

from bellwire.core.effects import Report
from bellwire.core.units import NS_PER_S
from bellwire.labs.lab import build_lab
from bellwire.labs.models import LabFile
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost

PAIRS = 20


def lab_of(turned: tuple[bool, ...], consumption: str) -> Any:
    """A chain from ann to bob; `turned`: the link's nodes stand in the other order in the file."""
    names = ["ann", *(f"r{number}" for number in range(1, len(turned))), "bob"]
    attempt = {"period_us": 100, "success_probability": 0.05, "fidelity": 0.98}
    links = {}
    for number, back in enumerate(turned):
        nodes = tuple(names[number : number + 2])
        links[f"l{number}"] = {
            "nodes": nodes[::-1] if back else nodes,
            "attempt": attempt,
            "length_km": 10.0,
            "lanes": 2,
        }
    request = {"id": "q", "from": "ann", "to": "bob", "count": PAIRS, "consumption": consumption}
    roles = {name: {"role": "end" if name in ("ann", "bob") else "repeater"} for name in names}
    return build_lab(
        LabFile.model_validate({"lab": "turned", "nodes": roles, "links": links, "requests": (request,)})
    )


@pytest.mark.parametrize("consumption", ["keep", "measure"])
@pytest.mark.parametrize(
    "turned", [*product((False, True), repeat=1), *product((False, True), repeat=2)], ids=str
)
def test_a_request_is_served_whichever_end_is_side_0_of_a_link(
    turned: tuple[bool, ...], consumption: str
) -> None:
    """Found with one link and the source at its side 1: the tail measures at once, and the head waited for a
    pair that was complete and not yet taken, which it never saw."""
    lab = lab_of(turned, consumption)
    delivered: list[str] = []

    def listen(now_ns: int, node: str, report: Report) -> None:
        if report.name == "pair_delivered":
            delivered.append(node)

    host = VirtualHost(lab, 3, partial(compute_plan, lab.network))
    host.reports.append(listen)
    host.start()
    host.run(2 * NS_PER_S)
    assert delivered.count("ann") == PAIRS
    assert delivered.count("bob") == PAIRS
