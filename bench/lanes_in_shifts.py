"""More requests than lanes on one route, with and without shifts: pairs in all, and how even the shares are.

Usage: python bench/lanes_in_shifts.py [SECONDS [SEED]]. About half a minute.

Two links of 5 km with two lanes each, whose memories are their own; a lane makes a pair in 2 ms, swaps
succeed with 0.5, and a shift takes 500 ms. All requests go over both links. Jain's index is (sum x)^2 / (n
sum x^2).
"""

import sys
from functools import partial
from typing import Any, Final

from _measure import write_result

from bellwire.core.units import ns_from_s
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import Observer

REQUESTS: Final = (1, 2, 3, 4)
MODES: Final = ("swap_asap", "fixed_tree", "score")
SHIFTS_MS: Final = (0.0, 500.0)


def lab_of(requests: int, mode: str, shift_ms: float) -> Lab:
    """a - m - b, and requests that all go from a to b."""
    memory = {"bsm_success_probability": 0.5, "bsm_duration_us": 10.0, "t1_s": None, "t2_s": None}
    attempt = {"period_us": 100, "success_probability": 0.05}
    file: dict[str, Any] = {
        "lab": "lanes_in_shifts",
        "nodes": {
            name: {"role": "repeater" if name == "m" else "end", "memory": memory} for name in ("a", "b", "m")
        },
        "links": {
            f"{a}{b}": {"nodes": (a, b), "length_km": 5.0, "lanes": 2, "attempt": attempt}
            for a, b in (("a", "m"), ("m", "b"))
        },
        "requests": tuple(
            {
                "id": f"r{number}",
                "from": "a",
                "to": "b",
                "mode": mode,
                "duration_s": 1e5,
                "consumption": "measure",
            }
            for number in range(requests)
        ),
        "limits": {"lane_shift_ms": shift_ms},
    }
    return build_lab(LabFile.model_validate(file))


def delivered(lab: Lab, seconds: float, seed: int) -> list[int]:
    """Pairs of each request."""
    host = VirtualHost(lab, seed, partial(compute_plan, lab.network))
    observer = Observer(host)
    host.start()
    host.run(ns_from_s(seconds))
    return [len(outcome.delivered_ns) - outcome.voided for outcome in observer.outcomes.values()]


def shared(counts: list[int], seconds: float) -> str:
    """Rate of all, and Jain's index of the shares."""
    whole = sum(counts)
    squares = len(counts) * sum(count * count for count in counts)
    index = whole * whole / squares if squares else 0.0
    return f"{whole / seconds:.1f}/s, {index:.2f}"


def main() -> int:
    """Write bench/results/lanes_in_shifts.json."""
    words = sys.argv[1:3]
    seconds, seed = (float(word) for word in (*words, *("10", "1")[len(words) :]))
    rows: list[dict[str, Any]] = []
    for requests in REQUESTS:
        row: dict[str, Any] = {"requests on two lanes": requests}
        for shift_ms in SHIFTS_MS:
            for mode in MODES:
                counts = delivered(lab_of(requests, mode, shift_ms), seconds, int(seed))
                row[f"{mode}, {'shifts' if shift_ms else 'frame by frame'}"] = shared(counts, seconds)
        rows.append(row)
        print(row, flush=True)
    write_result(
        "lanes_in_shifts",
        "More requests than lanes on one route: pairs in all, and Jain's index of their shares",
        " ".join(("python bench/lanes_in_shifts.py", *words)),
        rows,
        f"One seed of {seconds:g} s each; a lane makes a pair in 2 ms, a shift takes 500 ms. Frame by frame, "
        "as lanes went before, whole lanes fill with pairs that wait for each other.",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
