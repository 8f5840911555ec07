"""The picture of how the virtual host's cost grows with the number of nodes.

Owns the drawing; refuses measuring.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot


def draw_growth(runs: Sequence[dict[str, Any]], place: Path) -> None:
    """Cost per event and memory over nodes, one dot a run and one line a seed, as SVG."""
    figure, (cost, memory) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for seed in sorted({run["seed"] for run in runs}):
        some = sorted((run for run in runs if run["seed"] == seed), key=lambda run: run["nodes"])
        nodes = [run["nodes"] for run in some]
        cost.plot(nodes, [run["us_per_event"] for run in some], "o-", label=f"seed {seed}")
        memory.plot(nodes, [run["memory_mb"] for run in some], "o-", label=f"seed {seed}")
    cost.set(xlabel="nodes", ylabel="CPU microseconds per event", ylim=(0, None))
    memory.set(xlabel="nodes", ylabel="peak memory in MB", ylim=(0, None))
    cost.legend()
    pyplot.rcParams["svg.hashsalt"] = "bellwire"
    figure.savefig(place, metadata={"Date": None})
    pyplot.close(figure)
