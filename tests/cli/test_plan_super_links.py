"""`bellwire plan --predistribution`: which pairs of nodes to keep entangled, as text and as a document."""

from pathlib import Path

import pytest

from bellwire.planner.tree_texts import read_tree
from tests.cli.planning import PAIR, batch, bellwire, document, line_file, refusal

DEMAND = """\
- {from: A, to: D, weight: 2}
- {from: B, to: D}
"""


def test_super_links_and_what_they_gain_are_told_in_numbers(tmp_path: Path) -> None:
    asked = (line_file(tmp_path), "--predistribution", batch(tmp_path, DEMAND), "--budget", 400)
    told = document(bellwire(*asked, "--json"))
    assert told["kind"] == "predistribution"
    assert told["cost_attempts"] <= 400.0
    (kept,) = told["super_links"]
    assert kept["nodes"] == ["B", "D"]
    assert read_tree(kept["tree"]).route == ("B", "C", "D")
    assert kept["cost_attempts"] == pytest.approx(378.494, abs=1e-3)
    far, near = told["demand"]
    assert far["latency_without_s"] == pytest.approx(107.28902833e-3)
    assert far["latency_s"] == pytest.approx(19.1997e-3, abs=1e-7)
    assert near["latency_s"] == 0.0
    assert told["total_latency_s"] == pytest.approx(2.0 * far["latency_s"])
    words = bellwire(*asked)
    assert words.exit_code == 0
    assert "B - D" in words.stdout
    assert "378 of 400 link attempts" in words.stdout


def test_both_methods_keep_the_budget(tmp_path: Path) -> None:
    for method in ("greedy", "clusters"):
        asked = (line_file(tmp_path), "--predistribution", batch(tmp_path, DEMAND), "--method", method)
        told = document(bellwire(*asked, "--json"))
        assert told["method"] == method
        assert told["total_latency_s"] < told["total_latency_without_s"]


def test_what_does_not_belong_is_refused(tmp_path: Path) -> None:
    network, demand = line_file(tmp_path), batch(tmp_path, DEMAND)
    assert "--budget is for --predistribution" in refusal(bellwire(network, *PAIR, "--budget", 9))
    assert "greedy" in refusal(bellwire(network, "--predistribution", demand, "--method", "gredy"))
    wrong = batch(tmp_path, "- {from: A, to: X}\n")
    assert 'unknown node "X"' in refusal(bellwire(network, "--predistribution", wrong))
    wrong = batch(tmp_path, "- {from: A, to: A}\n")
    assert "no entanglement with itself" in refusal(bellwire(network, "--predistribution", wrong))
