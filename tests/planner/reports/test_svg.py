"""Pictures that a browser draws and a person can read: well-formed, complete, and no text over another.

Owns the tests of reports/svg.py, canvas.py, labels.py, map_drawing.py and tree_drawing.py. Texts are measured
with the real glyphs of DejaVu Sans, the widest of the fonts that the pictures name.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import matplotlib
import pytest
from hypothesis import given, settings
from PIL import ImageFont

from bellwire.planner.assessment import assess
from bellwire.planner.batch.methods import BatchChoice, plan_many
from bellwire.planner.capacity import Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.multipartite.graph_target import TargetGraph
from bellwire.planner.multipartite.methods import plan_ghz, plan_graph
from bellwire.planner.reports.any_plan import svg_of
from bellwire.planner.reports.canvas import COLOURS, Box, Canvas, shortened, text_width
from bellwire.planner.reports.quantities import length_text
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.sources.waxman import draw_pairs, waxman
from bellwire.planner.structures import LinkLeaf, StoredLeaf, Tree, purified, swapped
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.reports.test_layout import without_places
from tests.planner.reports.trees import line, planned_trees
from tests.planner.single.test_exact import asked, chain

SVG = "{http://www.w3.org/2000/svg}"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@cache
def font(bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), 100)


class Written(NamedTuple):
    text: str
    box: Box


def written(root: ElementTree.Element) -> Iterator[Written]:
    """Every text with the room that its glyphs take."""
    for text in root.iter(f"{SVG}text"):
        words = text.text or ""
        size, x, y = (float(text.attrib[key]) for key in ("font-size", "x", "y"))
        width = font(text.get("font-weight") == "bold").getlength(words) * size / 100.0
        left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[text.attrib["text-anchor"]] * width
        yield Written(words, Box(left, y - 0.73 * size, left + width, y + 0.21 * size))


def check_picture(svg: str, topology: Topology) -> ElementTree.Element:
    """What holds for every picture."""
    root = ElementTree.fromstring(svg.encode())
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    texts = list(written(root))
    page = Box(0.0, 0.0, width, height)
    for index, each in enumerate(texts):
        assert each.box.left >= page.left, each
        assert each.box.right <= page.right, each
        assert each.box.bottom <= page.bottom, each
        for other in texts[:index]:
            assert not each.box.meets(other.box), f"{each} lies over {other}"
    boxes = [rectangle(shape) for shape in root.iter(f"{SVG}rect") if shape.get("rx") == "8"]
    for index, box in enumerate(boxes):
        assert not any(box.meets(other) for other in boxes[:index])
    hints = {hint.text for hint in root.iter(f"{SVG}title")}
    assert set(topology.nodes) <= hints
    return root


def rectangle(shape: ElementTree.Element) -> Box:
    x, y, width, height = (float(shape.attrib[key]) for key in ("x", "y", "width", "height"))
    return Box(x, y, x + width, y + height)


def strokes(root: ElementTree.Element) -> set[str]:
    return {shape.attrib["stroke"] for shape in root.iter(f"{SVG}polyline")}


@pytest.mark.parametrize("hops", range(1, 13))
@pytest.mark.parametrize("method", ["dp", "hop-by-hop"])
def test_chains_of_one_to_twelve_hops_are_legible(hops: int, method: str) -> None:
    topology = chain(*[5.0 + 3.0 * (index % 3) for index in range(hops)])
    end = list(topology.nodes)[-1]
    root = check_picture(svg_of(plan_pair(Residual(topology), asked("A", end), method), topology), topology)
    texts = [each.text for each in written(root)]
    assert all(name in texts for name in topology.nodes)
    assert sum(text.startswith("swap at") for text in texts) == hops - 1
    assert sum(text.startswith("link, ") for text in texts) == hops


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("nodes", [12, 60, 120])
def test_random_networks_are_legible_and_name_the_route(nodes: int, seed: int) -> None:
    topology = waxman(nodes, 0.25 if nodes == 12 else 0.1, seed=seed)
    ((source, destination),) = draw_pairs(topology, 1, seed, (30.0, 90.0))
    plan = plan_pair(Residual(topology), asked(source, destination), "balanced")
    root = check_picture(svg_of(plan, topology), topology)
    texts = [each.text for each in written(root)]
    assert f"{source} to {destination}" in texts
    assert texts.count(source) == 1
    assert texts.count(destination) == 1


def test_a_network_without_positions_is_drawn_too_and_has_no_scale() -> None:
    topology = waxman(20, 0.2, seed=4)
    ((source, destination),) = draw_pairs(topology, 1, 1, (40.0, 90.0))
    bare = without_places(topology)
    plan = plan_pair(Residual(bare), asked(source, destination))
    root = check_picture(svg_of(plan, bare), bare)
    used = {length_text(bare.links[pair].length_km) for pair in plan.use.links_hz}
    kilometres = [each.text for each in written(root) if each.text.endswith(" km") and "," not in each.text]
    assert kilometres
    assert set(kilometres) <= used


def test_long_names_are_legible() -> None:
    names = [f"stony_brook_hub_number_{index}" for index in range(7)]
    nodes = [Node(name=name, position_km=(4.0 * index, index % 2)) for index, name in enumerate(names)]
    topology = Topology.of(nodes, [link_between(a, b, 4.2) for a, b in pairwise(nodes)])
    root = check_picture(
        svg_of(plan_pair(Residual(topology), asked(names[0], names[-1])), topology), topology
    )
    texts = [each.text for each in written(root)]
    assert all(name in texts for name in names)


def test_a_batch_has_a_colour_and_a_row_for_each_request() -> None:
    topology = waxman(50, 0.1, seed=3)
    pairs = draw_pairs(topology, 8, 1, (20.0, 60.0))
    requests = [
        PairRequest(request=f"request {index}", source=a, destination=b) for index, (a, b) in enumerate(pairs)
    ]
    choice = BatchChoice(objective="fair", allow_unserved=True, single_method="balanced")
    plan = plan_many(Residual(topology), requests, choice=choice)
    root = check_picture(svg_of(plan, topology), topology)
    served = len(plan.shares)
    assert served >= 6
    assert set(COLOURS[:served]) <= strokes(root)
    samples = [shape.attrib["stroke"] for shape in root.iter(f"{SVG}polyline")][-served:]
    assert samples == list(COLOURS[:served])
    texts = [each.text for each in written(root)]
    assert all(share.request in texts for share in plan.shares)


def test_more_requests_than_colours_are_told_apart_by_dashes() -> None:
    topology = line(12)
    requests = [
        PairRequest(request=f"r{index}", source=f"n{index}", destination=f"n{index + 1}", rate_hz=1.0)
        for index in range(12)
    ]
    root = check_picture(svg_of(plan_many(Residual(topology), requests), topology), topology)
    looks = [
        (shape.attrib["stroke"], shape.get("stroke-dasharray"))
        for shape in root.iter(f"{SVG}polyline")
        if shape.attrib["stroke"] in COLOURS
    ]
    assert len(looks) == 24  # on the map and in the table
    assert len(set(looks)) == 12
    assert sum(dashes is not None for _, dashes in looks) == 4


def test_requests_that_get_nothing_are_named_below_the_table() -> None:
    topology = chain(10.0, 10.0, memories=2)
    requests = [PairRequest(request=name, source="A", destination="C") for name in ("first", "second")]
    plan = plan_many(Residual(topology), requests, choice=BatchChoice(objective="fair", allow_unserved=True))
    texts = [each.text for each in written(check_picture(svg_of(plan, topology), topology))]
    assert any(text.startswith("second gets nothing: ") for text in texts)


def test_members_of_a_ghz_state_are_marked_and_its_fusions_drawn() -> None:
    topology = waxman(30, 0.15, seed=3)
    members = tuple(topology.nodes)[:4]
    plan = plan_ghz(Residual(topology), "ghz", members)
    root = check_picture(svg_of(plan, topology), topology)
    rings = [
        shape.find(f"{SVG}title")
        for shape in root.iter(f"{SVG}circle")
        if shape.attrib["r"] == "5.5" and shape.find(f"{SVG}title") is not None
    ]
    assert {hint.text for hint in rings if hint is not None} == set(members)
    texts = [each.text for each in written(root)]
    assert f"GHZ state of 4: {', '.join(members)}" in texts
    assert sum(text.startswith(("fuse and stay", "fuse and leave")) for text in texts) == len(plan.operations)


def test_a_graph_state_is_drawn_with_its_vertices() -> None:
    topology = chain(10.0, 10.0)
    target = TargetGraph({"a": "A", "b": "B", "c": "C"}, (("a", "b"), ("b", "c")))
    root = check_picture(svg_of(plan_graph(Residual(topology), "graph", target), topology), topology)
    texts = [each.text for each in written(root)]
    assert "Graph state: a at A, b at B, c at C" in texts
    assert any(text.endswith("edges a – b, b – c") for text in texts)


def test_stored_pairs_are_dashed_and_need_no_fibre() -> None:
    topology = line(3)
    kept = StoredLeaf("n1", "n3", "far", (0.9, 0.1, 0.0, 0.0), 0.1, 10.0)
    plan = assess(swapped(topology, LinkLeaf("n0", "n1", 0.01), kept), Residual(topology), "x")
    root = check_picture(svg_of(plan, topology), topology)
    dashed = [shape for shape in root.iter(f"{SVG}polyline") if "stroke-dasharray" in shape.attrib]
    assert len(dashed) == 2  # on the map and in the legend
    assert any(each.text == "stored pair" for each in written(root))


def test_boxes_that_are_wider_than_what_stands_below_them_have_room() -> None:
    topology = line(3)
    parts: list[Tree] = []
    for a, b in pairwise(topology.nodes):
        leaf = LinkLeaf(a, b, 0.01)
        parts.append(purified(topology, leaf, leaf, 0.9, scheme="recurrence", pumping=False))
    tree = swapped(topology, swapped(topology, parts[0], parts[1]), parts[2])
    check_picture(svg_of(assess(tree, Residual(topology), "made by hand"), topology), topology)


@given(planned_trees())
@settings(max_examples=30, derandomize=True, deadline=None)
def test_trees_with_purification_and_stored_pairs_are_legible(case: tuple[Topology, Tree]) -> None:
    topology, tree = case
    check_picture(svg_of(assess(tree, Residual(topology), "made by hand"), topology), topology)


def test_the_same_plan_makes_the_same_picture() -> None:
    topology = waxman(40, 0.1, seed=8)
    ((source, destination),) = draw_pairs(topology, 1, 2, (20.0, 60.0))
    plan = plan_pair(Residual(topology), asked(source, destination), "balanced", Options())
    assert svg_of(plan, topology) == svg_of(plan, topology)


@pytest.mark.parametrize("name", ["a<b>&c", 'the "lab"', "bell\x07", "Zürich"])
def test_names_with_signs_of_xml_do_no_harm(name: str) -> None:
    nodes = [Node(name=name), Node(name="B")]
    topology = Topology.of(nodes, [link_between(*nodes, 10.0)])
    root = ElementTree.fromstring(svg_of(plan_pair(Residual(topology), asked(name, "B")), topology).encode())
    hints = [hint.text for hint in root.iter(f"{SVG}title")]
    assert name.replace("\x07", "\ufffd") in hints


@pytest.mark.parametrize("bold", [False, True])
def test_the_text_measure_is_an_upper_bound_and_not_a_wild_one(bold: bool) -> None:
    samples = [
        "swap at stony_brook_hub",
        "107.3 ms · F 0.9698",
        "MMMMWWWW",
        "illicit fillet, jillfirst",
        "n26 – n46",
        "0123456789",
        "2 rounds of dejmps (recurrence)",
        "4 × link, 23.19 km",
        "Zürich → Genève",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "abcdefghijklmnopqrstuvwxyz",
        "55 µs and 9.998 ms",
    ]
    for sample in samples:
        true = font(bold).getlength(sample) * 12.0 / 100.0
        assert true <= text_width(sample, 12.0, bold=bold) <= 1.35 * true, sample


def test_a_text_that_is_too_long_ends_in_an_ellipsis_within_its_room() -> None:
    assert shortened("short", 12.0, 100.0) == "short"
    cut = shortened("a very long name of a request that nobody reads", 12.0, 100.0)
    assert cut.endswith("…")
    assert text_width(cut, 12.0) <= 100.0


def test_boxes_know_which_lines_cross_them() -> None:
    box = Box(0.0, 0.0, 10.0, 10.0)
    assert box.crossed_by(-5.0, 5.0, 15.0, 5.0)
    assert box.crossed_by(2.0, 2.0, 3.0, 3.0)
    assert box.crossed_by(5.0, -1.0, 5.0, 1.0)
    assert not box.crossed_by(-5.0, 5.0, -1.0, 5.0)
    assert not box.crossed_by(11.0, 0.0, 11.0, 10.0)
    assert not box.crossed_by(-3.0, 8.0, 1.0, 12.0)
    assert box.meets(Box(9.0, 9.0, 20.0, 20.0))
    assert not box.meets(Box(11.0, 0.0, 12.0, 10.0))
    assert box.meets(Box(11.0, 0.0, 12.0, 10.0), gap=2.0)


def test_a_canvas_can_be_printed_twice() -> None:
    canvas = Canvas("title")
    canvas.text(10.0, 20.0, "word", 12.0)
    assert canvas.svg(100.0, 50.0) == canvas.svg(100.0, 50.0)
