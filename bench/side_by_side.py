"""Works W1 and W2 of bellwire, and W1 of SeQUeNCe and of SimQN's kernel, in one interleaved run.

Owns the environments of the other two (below build/peers, made once), the order of runs and the table.
Refuses to hide who could not be installed: it is named in the table's note, and the exit code is 1. What each
of them models, and what is not equal: docs/benchmarks/virtual_host.md.

Usage: python bench/side_by_side.py [--quick]    --quick: one seed, chain of 5 only, writes no result
Prints one JSON line for each run.
"""

import json
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import w1
from _measure import Measured, measure, surroundings, write_result

from bellwire.labs import Lab, lab_from_w2

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
ENVIRONMENTS = ROOT / "build" / "peers"
SEEDS = (1, 2, 3)
CHAINS = (3, 5, 9)
SIMULATED_S = {"bellwire": 4.0, "simqn": 1.0, "sequence": 0.05}
"""By program. SeQUeNCe takes minutes for a second: it gets little, and its pairs are too few for a rate."""

W2_SIMULATED_S = 1.5
LIMITS_S = {"chain of 5": 0.5, "network of 50": 1.5}
"""CPU seconds per simulated second of bellwire."""

PACKAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "simqn": (("qns==0.2.3",),),
    # 1.3.1 asks for Python 3.12 and for a notebook server, and needs neither here.
    "sequence": (
        ("--ignore-requires-python", "--no-deps", "sequence==1.3.1"),
        (
            "gmpy2",
            "matplotlib",
            "networkx",
            "numpy",
            "pandas",
            "qutip",
            "qutip-qip",
            "scipy",
            "seaborn",
            "tqdm",
        ),
        ("lazy_loader", "psutil", "requsim", "simpy", "stim", "typer"),
    ),
}
SCRIPTS = {"simqn": "simqn_chain.py", "sequence": "sequence_chain.py"}


def environment(name: str) -> str | None:
    """Make a peer's environment if there is none; why that failed, or None."""
    place = ENVIRONMENTS / name
    ready = place / "ready"
    if ready.exists():
        return None
    venv.create(place, with_pip=True, clear=True)
    for words in PACKAGES[name]:
        done = subprocess.run(
            [str(place / "bin" / "python"), "-m", "pip", "install", "-q", *words],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            return f"{' '.join(words)} cannot be installed: {last_line(done.stderr)}"
    ready.touch()
    return None


def last_line(text: str) -> str:
    """The last line that says anything."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no word")


def run_peer(name: str, nodes: int, seed: int) -> dict[str, Any] | str:
    """One run in the peer's environment: its line, or why there is none."""
    words = [ENVIRONMENTS / name / "bin" / "python", PEERS / SCRIPTS[name], nodes, SIMULATED_S[name], seed]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        return f"a run failed: {last_line(done.stderr)}"
    line: dict[str, Any] = json.loads(last_line(done.stdout))
    return line


def run_own(lab: Lab, simulated_s: float, seed: int) -> dict[str, Any]:
    """One run of bellwire, all layers on."""
    return line_of(measure(lab, seed, simulated_s))


def line_of(run: Measured) -> dict[str, Any]:
    """The same columns as the peers'."""
    return {
        "impl": "bellwire",
        "sim_s": run.simulated_s,
        "wall_per_sim_s": run.wall_s / run.simulated_s,
        "cpu_per_sim_s": run.cpu_s / run.simulated_s,
        "ev_per_s": run.counts.events / run.wall_s,
        "eps": run.counts.delivered / run.simulated_s,
    }


def main() -> int:
    quick = "--quick" in sys.argv[1:]
    missing = {name: why for name in PACKAGES if (why := environment(name)) is not None}
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    works: list[tuple[str, str, Callable[[int], dict[str, Any] | str]]] = []
    for nodes in (5,) if quick else CHAINS:
        lab = w1.chain(nodes)
        works.append(
            (
                f"chain of {nodes}",
                "bellwire",
                lambda seed, lab=lab: run_own(lab, SIMULATED_S["bellwire"], seed),
            )
        )
        works += [
            (f"chain of {nodes}", name, lambda seed, name=name, nodes=nodes: run_peer(name, nodes, seed))
            for name in PACKAGES
            if name not in missing
        ]
    for nodes in (50,) if quick else (50, 100):
        lab = lab_from_w2(PEERS / f"w2_net_{nodes}.json", duration_s=3600.0)
        works.append(
            (f"network of {nodes}", "bellwire", lambda seed, lab=lab: run_own(lab, W2_SIMULATED_S, seed))
        )
    for seed in SEEDS[:1] if quick else SEEDS:  # interleaved, so that all see the same machine
        for work, name, run in works:
            line = run(seed)
            if isinstance(line, str):
                missing[name] = line
                continue
            print(json.dumps({"work": work, "seed": seed, **line}), flush=True)
            runs.setdefault((work, line["impl"]), []).append(line)
    rows = [
        {
            "work": work,
            "program": program,
            "CPU s per simulated s": statistics.median(line["cpu_per_sim_s"] for line in some),
            "wall s per simulated s": statistics.median(line["wall_per_sim_s"] for line in some),
            "events/s": statistics.median(line["ev_per_s"] for line in some),
            "pairs/s": statistics.mean(line["eps"] for line in some),
            "simulated s": sum(line["sim_s"] for line in some),
        }
        for (work, program), some in runs.items()
    ]
    late = [
        f"{row['work']}: {row['CPU s per simulated s']:.2f} CPU s, limit {LIMITS_S[row['work']]:g}"
        for row in rows
        if row["program"] == "bellwire"
        and row["CPU s per simulated s"] > LIMITS_S.get(row["work"], float("inf"))
    ]
    checks = ", ".join(f"{nodes}: {rate:g}" for nodes, rate in w1.CHECK_HZ.items())
    if not quick:
        absent = "".join(f" {name} is missing: {why}." for name, why in missing.items())
        write_result(
            "side_by_side",
            "Repeater chain and random network, beside other simulators",
            "python bench/side_by_side.py",
            rows,
            f"Medians over seeds 1, 2, 3 of one interleaved run; pairs/s are means. {surroundings()}. "
            f"Pairs/s to expect of a chain: {checks}. "
            f"What is not equal: docs/benchmarks/virtual_host.md.{absent}",
        )
    for name, why in missing.items():
        print(f"{name}: {why}", file=sys.stderr)
    for one in late:
        print(f"too slow: {one}", file=sys.stderr)
    return 1 if missing or late else 0


if __name__ == "__main__":
    sys.exit(main())
