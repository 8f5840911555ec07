"""Names and rates on the map: readable whatever the network looks like."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from bellwire.labs import load_lab
from bellwire.page.labels import Box, Label, Spot, box_of, placed
from bellwire.page.map_drawing import TALL, WIDE, LinkMark, NodeMark, draw
from bellwire.page.places import places_of
from bellwire.page.values import Tone

LABS = Path(__file__).parents[2] / "lab_configs"
TEXT = re.compile(
    r'<text class="(?:node__name|rate)" text-anchor="(\w+)" x="([-\d.]+)" y="([-\d.]+)">([^<]+)</text>'
)
CIRCLE = re.compile(r'<circle class="node [^"]*" cx="([-\d.]+)" cy="([-\d.]+)" r="([\d.]+)"/>')


def drawn(name: str, *, tall: bool) -> str:
    """The map of a shipped lab of which every link makes 1,234 pairs a second."""
    lab = load_lab(LABS / f"{name}.yaml")
    network = lab.network
    nodes = [NodeMark(one.name, one.role, Tone.GOOD, "up") for one in network.nodes.values()]
    links = [LinkMark(one.link, one.nodes, Tone.GOOD, "ready", "1,234/s") for one in network.links.values()]
    return draw(places_of(network, lab.document), nodes, links, tall=tall)


@pytest.mark.parametrize("tall", [False, True], ids=["on a desk", "on a phone"])
@pytest.mark.parametrize("name", ["scy_qnet", "graph_path", "shared_hub", "switched_hub", "w1_chain_5"])
def test_no_text_of_a_map_covers_another_one_or_a_node_or_leaves_the_map(name: str, tall: bool) -> None:
    drawing = drawn(name, tall=tall)
    texts = {
        (text, x, y): box_of(text, Spot(float(x), float(y), anchor))  # type: ignore[arg-type]
        for anchor, x, y, text in TEXT.findall(drawing)
    }
    circles = [tuple(map(float, found)) for found in CIRCLE.findall(drawing)]
    lab = load_lab(LABS / f"{name}.yaml")
    ends = [one.name for one in lab.network.nodes.values() if one.role != "station"]
    assert {text for text, _, _ in texts} >= {end.replace("_", " ") for end in ends}
    assert len(circles) == len(ends)
    for one, other in combinations(texts.values(), 2):
        assert one.shared_with(other) == 0.0
    for box in texts.values():
        assert all(box.shared_with(Box(x - r, y - r, x + r, y + r)) == 0.0 for x, y, r in circles)
        assert box.left >= 0.0
        assert box.right <= (TALL if tall else WIDE)[0]


def test_a_rate_that_has_no_room_is_left_out_and_a_name_never_is() -> None:
    close = ((100.0, 100.0), (116.0, 100.0))
    labels = (
        Label("a node", close[0], 8.0),
        Label("another one", close[1], 8.0),
        *(Label("100/s", (108.0, 100.0), away=(0.0, -1.0)) for _ in range(6)),
    )
    spots = placed(labels, ((close[0], 8.0), (close[1], 8.0)), (close,), (400.0, 300.0))
    assert None not in spots[:2]
    assert None in spots[2:]


def test_a_text_beside_a_line_costs_nothing_and_one_across_it_gives_way() -> None:
    at = (50.0, 50.0)
    alone = placed((Label("west", at, 8.0),), ((at, 8.0),), (), (200.0, 200.0))
    crossed = placed((Label("west", at, 8.0),), ((at, 8.0),), ((at, (50.0, 150.0)),), (200.0, 200.0))
    assert alone[0] is not None
    assert crossed[0] is not None
    assert alone[0].y > at[1]  # below, as usual
    assert crossed[0].y < at[1]  # a link leaves there: above
