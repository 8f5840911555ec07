"""Labs by chance: chains, stars, rings and trees of 3 to 12 nodes, with requests of several kinds.

Owns the distribution of labs. Refuses faults (faults.py). Links are slow, so that ten seconds of a network
are thousands of steps and not millions, while everything that can happen to a pair happens to some.
"""

import itertools
from random import Random
from typing import Any, Final

import networkx as nx

from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile

NODES_MIN: Final = 3
NODES_MAX: Final = 12
REQUESTS_UNTIL_S: Final = 8.0
"""Deadline of every request: what has not ended by then fails, after all faults are over."""

Edge = tuple[str, str]


def draw_lab(chance: Random) -> Lab:
    """A lab with one to three requests, and one for pairs of a single link."""
    shape = chance.choice(("chain", "chain", "star", "ring", "tree"))
    wanted = chance.choice((3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 12))
    with_stations = wanted >= 5 and chance.random() < 0.4
    names, edges = _shape(chance, shape, (wanted + 1) // 2 if with_stations else wanted)
    leaves = [name for name in names if sum(name in edge for edge in edges) == 1] or names
    leaf, beside = _neighbours(chance, leaves, edges)
    ends = [*leaves, *({beside} - set(leaves))]
    cutoff_ms = chance.choice((None, None, 100.0, 400.0))
    links: dict[str, Any] = {}
    stations: dict[str, Any] = {}
    for one, two in edges:
        link: dict[str, Any] = {"nodes": (one, two), "lanes": chance.choice((1, 2, 2, 3))}
        if with_stations and len(names) + len(stations) < NODES_MAX and chance.random() < 0.7:
            station = f"s-{one}-{two}"
            stations[station] = {}
            link |= {"station": station, "fibre_km": (5.0, 5.0), "attempt_period_us": 1000.0}
        else:
            # Ten to sixty pairs a second and lane.
            link["attempt"] = {
                "period_us": 1000.0,
                "success_probability": chance.choice((0.01, 0.03, 0.06)),
                "fidelity": chance.choice((0.9, 0.97, 1.0)),
            }
        links[f"{one}-{two}"] = link
    memory = {
        "t1_s": None,
        "t2_s": chance.choice((0.5, 2.0)),
        "emission_efficiency": 0.6,
        "gate_fidelity": 0.99,
        "bsm_success_probability": chance.choice((0.6, 0.9, 1.0)),
        "bsm_duration_us": chance.choice((0.0, 50.0, 2000.0)),
    }
    document: dict[str, Any] = {
        "lab": f"soak_{shape}_{len(names)}",
        "nodes": {
            name: {
                "role": "end" if name in ends else "repeater",
                "relays": True,
                "memory": memory,
            }
            for name in names
        },
        "stations": stations,
        "links": links,
        # Judgement comes ten times sooner than by default, so that it comes at all.
        "monitoring": {"samples_min": 10, "duration_least_s": 0.3, "suspension_durations": 4.0},
        "classical": {"extra_ms": chance.choice((0.0, 0.2, 3.0))},
        "requests": (_near(chance, leaf, beside), *_requests(chance, leaves, edges, cutoff_ms)),
        "ledgers": chance.choice(("network", "network", "routes")),
    }
    if chance.random() < 0.1:
        document["central_ledger"] = {}
    if chance.random() < 0.15:
        document["predistribution"] = {"mode": chance.choice(("one_time", "continuous")), "age_max_s": 2.0}
        _draw_paths(Random(chance.random()), document)
    for request in document["requests"][2:]:
        if chance.random() < 0.4:
            request["when_unreachable"] = "end"
    return build_lab(LabFile.model_validate(document))


def _draw_paths(chance: Random, document: dict[str, Any]) -> None:
    """How the paths of requests for plain pairs are computed, where the lab keeps pairs in store."""
    document["predistribution"]["every_link"] = chance.random() < 0.6
    for request in document["requests"]:
        if not {"ghz_with", "graph", "sequence"} & request.keys():
            ways = ["automatic", "proactive", "opportunistic"]
            if document["predistribution"]["every_link"]:
                ways += ["reactive", "reactive", "virtual"]
            request["paths"] = chance.choice(ways)


def _shape(chance: Random, shape: str, nodes: int) -> tuple[list[str], list[Edge]]:
    nodes = max(NODES_MIN, nodes)
    names = [f"n{number}" for number in range(nodes)]
    if shape == "star":
        nodes = max(4, min(6, nodes))
        names = [f"n{number}" for number in range(nodes)]
        return names, [(names[0], name) for name in names[1:]]
    if shape == "tree":
        return names, [(names[chance.randrange(number)], names[number]) for number in range(1, nodes)]
    edges = list(itertools.pairwise(names))
    if shape == "ring":
        edges.append((names[-1], names[0]))
    return names, edges


def _requests(
    chance: Random, ends: list[str], edges: list[Edge], cutoff_ms: float | None
) -> tuple[dict[str, Any], ...]:
    requests: list[dict[str, Any]] = []
    source, target = _nearest(chance, ends, edges)
    for number in range(chance.choice((1, 1, 2, 3))):
        if number:
            source, target = chance.sample(ends, 2)
        request: dict[str, Any] = {
            "id": f"r{number}",
            "from": source,
            "to": target,
            "consumption": chance.choice(("keep", "measure")),
            "mode": chance.choice(("swap_asap", "score", "fixed_tree")),
            "deadline_s": REQUESTS_UNTIL_S,
        }
        kind = chance.random()
        others = [name for name in ends if name not in (source, target)]
        if number and others and kind < 0.15:
            _of_three(chance, request, chance.choice(others))
        elif number and kind < 0.3:
            _in_sequence(chance, request, ends)
            requests.append(request)
            continue
        if chance.random() < 0.7:
            request["count"] = chance.choice((10, 100, 400))
        else:
            request["duration_s"] = chance.choice((2.0, 6.0))
        # Terms that no plan may promise, but not of all requests of a network.
        if number and chance.random() < 0.4:
            request["rate_min_hz"] = chance.choice((2.0, 20.0))
        if number and chance.random() < 0.3:
            request["fidelity_min"] = chance.choice((0.6, 0.85))
        if cutoff_ms is not None:
            request["cutoff_ms"] = cutoff_ms
        elif chance.random() < 0.15 and "ghz_with" not in request and "graph" not in request:
            request["link_purification"] = 1
        requests.append(request)
    return tuple(requests)


def _neighbours(chance: Random, leaves: list[str], edges: list[Edge]) -> tuple[str, str]:
    """A leaf and a node that is linked to it."""
    leaf = chance.choice(leaves)
    one, other = chance.choice([edge for edge in edges if leaf in edge])
    return leaf, other if leaf == one else one


def _near(chance: Random, leaf: str, beside: str) -> dict[str, Any]:
    """Pairs of one link: nearly every history delivers some, while longer ways may never work out."""
    return {
        "id": "near",
        "from": leaf,
        "to": beside,
        "consumption": chance.choice(("keep", "measure")),
        "count": 20,
        "deadline_s": REQUESTS_UNTIL_S,
    }


def _of_three(chance: Random, request: dict[str, Any], third: str) -> None:
    """GHZ states or graph states with a third node, kept."""
    request["consumption"] = "keep"
    if chance.random() < 0.6:
        request["ghz_with"] = (third,)
    else:
        request["graph"] = ((request["from"], third), (third, request["to"]))


def _in_sequence(chance: Random, request: dict[str, Any], ends: list[str]) -> None:
    """Pairs for the gates of a distributed circuit."""
    request["consumption"] = "keep"
    request["mode"] = "swap_asap"
    pairs = [(request["from"], request["to"])] + [
        chance.sample(ends, 2) for _ in range(chance.choice((2, 5)))
    ]
    request["sequence"] = tuple(
        {"id": f"g{number}", "between": tuple(pair)} for number, pair in enumerate(pairs)
    )
    request["sequence_order"] = chance.choice(("total", "unknown"))


def _nearest(chance: Random, ends: list[str], edges: list[Edge]) -> tuple[str, str]:
    """An end node, and one of those that are the fewest links away."""
    source = chance.choice(ends)
    hops: dict[str, int] = nx.single_source_shortest_path_length(nx.Graph(edges), source)
    others = [name for name in ends if name != source]
    least = min(hops[name] for name in others)
    return source, chance.choice([name for name in others if hops[name] == least])
