"""Results as tables for README and documents: a title, the command, rows, and a note.

Owns the wording. Refuses numbers of its own.
"""

from typing import Any


def soak_table(result: dict[str, Any]) -> dict[str, Any]:
    """Of `running.soak`."""
    steps = result["counts"].get("steps", 0)
    nodes = sorted(map(int, result["networks_by_nodes"]))
    row = {
        "histories": result["seeds"],
        "profile": result["profile"],
        "nodes": f"{nodes[0]} to {nodes[-1]}",
        "simulated s": result["simulated_s"],
        "steps checked": steps,
        "pairs delivered": result["pairs_delivered"],
        "histories without pairs": result["seeds_without_pairs"],
        "faults fired": sum(result["faults_fired"].values()),
        "histories without faults": result["seeds_without_faults"],
        "convergences checked": result["counts"].get("convergences checked", 0),
        "nothing left at the end": result["counts"].get("ends at rest", 0),
        "violations": result["violations"],
        "minutes": round(result["wall_s"] / 60.0, 1),
        "processors": result["workers"],
    }
    return {
        "title": "Networks under faults, every step held against the rules",
        "command": f"bellwire soak --seeds {result['seeds']} --first {result['first_seed']} "
        f"--profile {result['profile']}",
        "rows": [row],
        "note": f"{result['played_again']} histories were played again by a process with another hash seed: "
        f"{len(result['played_differently'])} differ.",
    }


def mutants_table(result: dict[str, Any]) -> dict[str, Any]:
    """Of `mutants.plant_all`."""
    rows = [
        {
            "room": one["room"],
            "planted fault": one["mutant"],
            "noticed by the rule": one["rule"],
            "histories until then": one["histories"],
        }
        for one in result["mutants"]
    ]
    missed = result["violations"]
    return {
        "title": "One-line faults in the protocol machines, and the rule that notices each",
        "command": "bellwire soak --mutants",
        "rows": rows,
        "note": f"{len(rows) - missed} of {len(rows)} are noticed.",
    }
