"""What several routes at once bring in the paper's default network, against the strongest tree of one route.

Usage: python bench/several_routes.py [NETWORKS [SECONDS [FIRST_SEED]]] [--far]. About four minutes.

--far: routes of three links and more, between nodes 30 to 60 km apart, up to three of them; another result.
The strongest tree is that of a search on the fastest route, its links at full speed (algorithms.md 8.5).
Ratios are of mean rates over networks, with 95 % intervals of a paired bootstrap. Networks are not those on
which weights were chosen.
"""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import ns_from_s
from bellwire.labs import Lab
from bellwire.labs.paper_network import PaperNetwork, paper_lab
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import Observer
from bellwire.study.trees_search import search_tree

ROUTES: Final = (1, 2, 3, 4, 5)
FAR_ROUTES: Final = (1, 2, 3)
NEAR: Final = PaperNetwork()
FAR: Final = PaperNetwork(distance_km=(30.0, 60.0), hops=(3, 8))
MODES: Final = ("fixed_tree(links=full)", "score")
RESAMPLES: Final = 4000
RESULTS: Final = Path(__file__).resolve().parent / "results"


def rate_hz(lab: Lab, request: EntanglementRequest, seconds: float, seed: int) -> float:
    """Delivered pairs per second of one request."""
    lab = replace(lab, requests=(request,))
    host = VirtualHost(lab, seed, partial(compute_plan, lab.network))
    observer = Observer(host)
    host.start()
    host.run(ns_from_s(seconds))
    (outcome,) = observer.outcomes.values()
    return (len(outcome.delivered_ns) - outcome.voided) / seconds


def rates_of(seed: int, seconds: float, *, far: bool) -> dict[str, float]:
    """Rates on one network by name of what served it."""
    lab = paper_lab(replace(FAR if far else NEAR, seed=seed), duration_s=seconds)
    (request,) = lab.requests
    assert request.route is not None
    tree = search_tree(lab.network, request.route, seed) if len(request.route) > 2 else None
    strongest = msgspec.structs.replace(request, generation_mode="fixed_tree(links=full)", tree=tree)
    found = {"hops": len(request.route) - 1.0, "strongest tree": rate_hz(lab, strongest, seconds, seed)}
    for mode in MODES:
        for count in FAR_ROUTES if far else ROUTES:
            wanted = msgspec.structs.replace(request, route=None, generation_mode=mode, routes_max=count)
            found[f"{mode}, {count}"] = rate_hz(lab, wanted, seconds, seed)
    return found


def ratio(rows: list[dict[str, float]], name: str) -> dict[str, float]:
    """Mean rate over that of the strongest tree, and the interval."""
    pairs = np.array([(row[name], row["strongest tree"]) for row in rows])
    chance = np.random.default_rng(1)
    drawn = pairs[chance.integers(len(pairs), size=(RESAMPLES, len(pairs)))].mean(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    mean = pairs.mean(axis=0)
    return {"ratio": float(mean[0] / mean[1]), "low": float(low), "high": float(high)}


def result_of(
    rows: list[dict[str, float]], command: str, first: int, seconds: float, *, far: bool
) -> dict[str, object]:
    """One result in the form of scripts/render_figures.py."""
    table: list[dict[str, object]] = []
    for count in FAR_ROUTES if far else ROUTES:
        row: dict[str, object] = {"routes at most": count}
        for mode in MODES:
            seen = ratio(rows, f"{mode}, {count}")
            row[mode] = f"{seen['ratio']:.2f} [{seen['low']:.2f}, {seen['high']:.2f}]"
        table.append(row)
    return {
        "title": "Several routes at once in the paper's default network, over the strongest tree of one"
        + (", routes of three links and more" if far else ""),
        "command": command,
        "rows": table,
        "note": f"{len(rows)} networks (seeds from {first}), a request each, {seconds:g} s; 95 % intervals.",
        "networks": rows,
    }


def main() -> int:
    """Write bench/results/several_routes.json or several_routes_far.json, and a line for each network."""
    far = "--far" in sys.argv[1:]
    words = [word for word in sys.argv[1:] if word != "--far"][:3]
    networks, seconds, first = (float(word) for word in (*words, *("10", "3", "301")[len(words) :]))
    rows: list[dict[str, float]] = []
    for seed in range(int(first), int(first + networks)):
        rows.append(rates_of(seed, seconds, far=far))
        print(seed, *(f"{name}: {value:.1f}" for name, value in rows[-1].items()), sep="; ", flush=True)
    command = " ".join(("python bench/several_routes.py", *words, *(["--far"] if far else [])))
    result = result_of(rows, command, int(first), seconds, far=far)
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    name = "several_routes_far.json" if far else "several_routes.json"
    (RESULTS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
