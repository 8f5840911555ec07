"""What trees may be made of, without arrays.

Owns the tests of single/openings.py.
"""

import subprocess
import sys

from bellwire.core.bell import werner
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options
from bellwire.planner.single.openings import open_stored
from bellwire.planner.structures import StoredLeaf
from bellwire.planner.topology import Node, Topology


def test_stored_pairs_are_open_between_known_nodes_and_beside_a_given_route() -> None:
    residual = Residual(Topology.of([Node(name=name) for name in "ABC"], []))
    pairs = tuple(StoredLeaf(a, b, a + b, werner(0.9), 0.0, 1.0) for a, b in ("AB", "BC", "AZ"))
    assert open_stored(residual, Options(), pairs) == pairs[:2]
    assert open_stored(residual, Options(avoid=frozenset("C")), pairs) == pairs[:1]
    assert open_stored(residual, Options(route=("A", "B")), pairs) == ()


def test_a_plan_with_purification_loads_no_arrays_and_no_graphs() -> None:
    """A live node agent can make one as it is."""
    program = """
import sys
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.purified import plan
from bellwire.planner.topology import Node, Topology, link_between
a, b, c = (Node(name=name, position_km=(10.0 * x, 0.0)) for x, name in enumerate("ABC"))
links = [link_between(a, b, 10.0, fidelity=0.95), link_between(b, c, 10.0, fidelity=0.95)]
request = PairRequest(request="r", source="A", destination="C", limits=Limits(fidelity=0.93))
assert plan(Residual(Topology.of([a, b, c], links)), request, Options()).fidelity >= 0.93
print(sorted({"numpy", "networkx", "scipy"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
