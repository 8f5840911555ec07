"""Graph states on trees of links: what each node does for them, carried out on stabilisers with stim."""

from itertools import combinations
from random import Random

import pytest
import stim

from bellwire.core.graph_states import GraphEdges
from bellwire.core.plans import FusionKnot
from bellwire.planner.graph_knots import Placement, placed


def links_of(text: str) -> dict[str, tuple[str, str]]:
    return {link: (link[0], link[1]) for link in text.split()}


def edges(text: str) -> GraphEdges:
    return tuple((edge[0], edge[1]) for edge in text.split())


class Register:
    """Qubits by link and node on a stabiliser simulator; every outcome of a measurement is forced to 0."""

    def __init__(self, links: dict[str, tuple[str, str]]) -> None:
        self.simulator = stim.TableauSimulator()
        self.qubit = {(link, node): number for number, (link, node) in enumerate(
            (link, node) for link, ends in links.items() for node in ends
        )}  # fmt: skip
        for link, (one, other) in links.items():
            a, b = self.qubit[link, one], self.qubit[link, other]
            self.simulator.h(a)
            self.simulator.cx(a, b)

    def joined(self, node: str, knots: tuple[FusionKnot, ...], *, stays: bool, random: Random) -> int | None:
        """Act as one node: any two states of one knot, in random order; the qubit that stays."""
        held = [
            (self.qubit[link, node], number, 1) for number, knot in enumerate(knots) for link in knot.links
        ]
        below = [sum(len(each.links) for index, each in enumerate(knots) if number in _above(knots, index))
                 for number in range(len(knots))]  # fmt: skip
        whole = len(held)
        while True:
            held = [self._turned(state, knots, below) for state in held]
            ready = [(one, other) for one, other in combinations(held, 2) if one[1] == other[1]]
            if not ready:
                break
            one, other = random.choice(ready)
            held = [state for state in held if state not in (one, other)]
            self.simulator.cx(one[0], other[0])
            self.simulator.postselect_z(other[0], desired_value=False)
            if one[2] + other[2] == whole and not stays:
                self.simulator.postselect_x(one[0], desired_value=False)
                return None
            held.append((one[0], one[1], one[2] + other[2]))
        assert len(held) == 1
        return held[0][0]

    def _turned(
        self, state: tuple[int, int, int], knots: tuple[FusionKnot, ...], below: list[int]
    ) -> tuple[int, int, int]:
        qubit, number, size = state
        parent = knots[number].parent
        while parent is not None and size == below[number]:
            self.simulator.h(qubit)
            number, parent = parent, knots[parent].parent
        return (qubit, number, size)


def _above(knots: tuple[FusionKnot, ...], number: int) -> set[int]:
    found = {number}
    parent = knots[number].parent
    while parent is not None:
        found.add(parent)
        parent = knots[parent].parent
    return found


def check(members: str, graph: GraphEdges, links: dict[str, tuple[str, str]], seed: int) -> Placement:
    """Carry the placement out, and measure every generator X_v Z_N(v) of the graph state."""
    found = placed(tuple(members), graph, links)
    assert isinstance(found, Placement), found
    random = Random(seed)
    register = Register(links)
    nodes = sorted({node for ends in links.values() for node in ends})
    random.shuffle(nodes)
    qubit: dict[str, int] = {}
    for node in nodes:
        stayed = register.joined(node, found.knots[node], stays=node in members, random=random)
        if stayed is not None:
            qubit[node] = stayed
    for node in found.turns_last:
        register.simulator.h(qubit[node])
    assert set(qubit) == set(members)
    for vertex in members:
        pauli = stim.PauliString(register.simulator.num_qubits)
        pauli[qubit[vertex]] = "X"
        for one, other in graph:
            if vertex in (one, other):
                pauli[qubit[other if vertex == one else one]] = "Z"
        assert register.simulator.peek_observable_expectation(pauli) == 1
    return found


PLACES = {
    "a star around the source, over a relay": ("abc", "ab ac", "ar rb rc"),
    "a star around another member": ("abc", "ba bc", "ar rb rc"),
    "a path along its links": ("abcd", "ab bc cd", "ab bc cd"),
    "a path over a relay": ("abcd", "ab bc cd", "ar rb bc cd"),
    "a path around one hub": ("abcd", "ab bc cd", "ah bh ch dh"),
    "a path of six around one hub": ("abcdef", "ab bc cd de ef", "ah bh ch dh eh fh"),
    "a path whose ends share a relay": ("abcd", "ac cd db", "ar cr rs ds bs"),
    "a tree with two centres": ("abcdef", "ab bc bd de df", "ar rb bc bd de ds sf"),
    "a source that all links of a star pass": ("abc", "ba bc", "ca ab"),
    "a leaf that an edge passes": ("abcd", "ab bc bd", "ac cb bd"),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PLACES)
def test_nodes_that_follow_their_knots_make_the_graph_state(name: str, seed: int) -> None:
    members, graph, links = PLACES[name]
    check(members, edges(graph), links_of(links), seed)


def test_a_star_around_the_source_asks_nothing_of_relays_that_ghz_states_do_not() -> None:
    found = check("abc", edges("ab ac"), links_of("ar rb rc"), 0)
    assert found.turns_last == ("b", "c")
    assert [len(knots) for knots in found.knots.values()] == [1, 1, 1, 1]


def test_two_edges_without_a_common_vertex_cannot_share_the_pair_of_a_link() -> None:
    found = placed(tuple("abcd"), edges("ab bc cd"), links_of("ar cr rs bs ds"))
    assert isinstance(found, str)
    assert "one pair of rs would have to carry the edges a-b b-c c-d" in found


def test_any_random_tree_graph_is_made_wherever_its_cuts_allow() -> None:
    """400 graphs and trees of links. Whatever is refused has a cut with two disjoint edges."""
    made = refused = 0
    for seed in range(400):
        random = Random(seed)
        members = "abcdef"[: random.randrange(3, 7)]
        graph = tuple((random.choice(members[:index]), members[index]) for index in range(1, len(members)))
        nodes = list(members + "rstu"[: random.randrange(5)])
        random.shuffle(nodes)
        grown = [(random.choice(nodes[:index]), nodes[index]) for index in range(1, len(nodes))]
        links = pruned({one + other: (one, other) for one, other in grown}, members)
        if isinstance(placed(tuple(members), graph, links), str):
            refused += 1
            assert any(disjoint(crossing(link, graph, links)) for link in links)
        else:
            made += 1
            check(members, graph, links, seed)
    assert made > 100
    assert refused > 100


def pruned(links: dict[str, tuple[str, str]], members: str) -> dict[str, tuple[str, str]]:
    """Without relays at the ends of branches."""
    while True:
        ends = [node for pair in links.values() for node in pair]
        spare = [
            name for name, pair in links.items() if any(ends.count(n) == 1 and n not in members for n in pair)
        ]
        if not spare:
            return links
        links = {name: pair for name, pair in links.items() if name not in spare}


def crossing(link: str, graph: GraphEdges, links: dict[str, tuple[str, str]]) -> list[tuple[str, str]]:
    side = {links[link][0]}
    for _ in links:
        side.update(
            node for name, pair in links.items() if name != link and side & set(pair) for node in pair
        )
    return [edge for edge in graph if (edge[0] in side) != (edge[1] in side)]


def disjoint(found: list[tuple[str, str]]) -> bool:
    return not set(found[0]).intersection(*found)
