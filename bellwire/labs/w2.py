"""Networks in the exchange format of the benchmarks: nodes in a plane, edges, requests with paths.

Owns `lab_from_w2`. Refuses other people's formats and any physics: every link is the one textbook link of the
model.
"""

import itertools
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bellwire.core.errors import ConfigError
from bellwire.labs import models
from bellwire.labs.lab import Lab, build_lab


def lab_from_w2(path: str | Path, *, duration_s: float = 60.0, fidelity: float = 0.99, seed: int = 1) -> Lab:
    """A lab of textbook links: each request has memories of its own on every link of its path.

    path: JSON with `nodes` [{name, x_km, y_km}], `edges` [[a, b]], `requests` [{src, dst, path}] and `model`.
    Edges that no request uses carry classical messages only; they get one lane that nobody asks for.

    Raises:
        ConfigError: the file cannot be read or lacks one of these.
    """
    place = Path(path)
    try:
        drawing: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        return build_lab(_file(place.stem, drawing, duration_s, fidelity, seed))
    except OSError as error:
        raise ConfigError(f"cannot read this network: {error.strerror}", where=str(path)) from None
    except (json.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"not a network of this format: {reason}", where=place.name) from None


def _file(
    name: str, drawing: dict[str, Any], duration_s: float, fidelity: float, seed: int
) -> models.LabFile:
    model = drawing["model"]
    lossless: dict[str, Any] = {
        "t1_s": None,
        "t2_s": None,
        "gate_fidelity": 1.0,
        "single_gate_fidelity": 1.0,
        "readout_fidelity": 1.0,
        "bsm_success_probability": float(model["swap_success"]),
        "bsm_duration_us": 0.0,
    }
    link: dict[str, Any] = {
        "length_km": float(model["link_length_km"]),
        "attempt": {
            "period_us": float(model["attempt_period_s"]) * 1e6,
            "success_probability": float(model["p_attempt"]),
            "fidelity": fidelity,
        },
    }
    links: dict[str, Any] = {}
    requests: list[dict[str, Any]] = []
    used: set[frozenset[str]] = set()
    for index, wanted in enumerate(drawing["requests"]):
        request_id, route = f"r{index:02d}", tuple(wanted["path"])
        for a, b in itertools.pairwise(route):
            used.add(frozenset((a, b)))
            lanes = int(model["memory_pairs_per_request_per_link"])
            links[f"{a}-{b}/{request_id}"] = {
                "nodes": (a, b),
                "lanes": lanes,
                "reserved_for": request_id,
                **link,
            }
        requests.append(
            {
                "id": request_id,
                "from": wanted["src"],
                "to": wanted["dst"],
                "route": route,
                "duration_s": duration_s,
                "consumption": "measure",
            }
        )
    for a, b in drawing["edges"]:
        if frozenset((a, b)) not in used:
            links[f"{a}-{b}"] = {"nodes": (a, b), **link}
    ends = {end for wanted in drawing["requests"] for end in (wanted["src"], wanted["dst"])}
    nodes = {
        node["name"]: {"role": "end" if node["name"] in ends else "repeater", "memory": lossless}
        for node in drawing["nodes"]
    }
    return models.LabFile.model_validate(
        {
            "lab": name,
            "seed": seed,
            "nodes": nodes,
            "links": links,
            "requests": tuple(requests),
            "correct_frames": False,
        }
    )
