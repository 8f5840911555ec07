"""Pairs delivered at or above a threshold: without purification, with rounds of one level, with those that
the plan names by itself, and adaptively.

Run from the root of the repository: `python -m bench.distant_purification [SEED ...]`. 0.5 s of virtual time
for each seed; the adaptive rule was settled on seed 5, the default.
"""

import json
import sys

from tests.simulation.test_distant_purification import ROUTE
from tests.simulation.test_link_purification import NOISY, lab_of, run

THRESHOLDS = (0.74, 0.75, 0.76, 0.77)
SEED = 5
SECONDS = 0.5


def delivered(words: str | None, mode: str, threshold: float | None, seeds: list[int]) -> list[float]:
    """Estimated fidelities of all delivered pairs."""
    lab = lab_of(NOISY, lanes=4, nodes=ROUTE, purification=words, mode=mode, fidelity_min=threshold)
    found: list[float] = []
    for seed in seeds:
        delivery = run(lab, seed, SECONDS, watched=False).machine("ann").delivery
        assert delivery is not None
        found += [record.fidelity for record in delivery.records("r")]
    return found


def main() -> None:
    """Print one JSON document."""
    seeds = [int(word) for word in sys.argv[1:]] or [SEED]
    fixed = {
        str(words): delivered(words, "fixed_tree", None, seeds) for words in (None, "1:1", "2:1", "2:2p")
    }
    found: dict[str, dict[str, int]] = {}
    for threshold in THRESHOLDS:
        row = {words: sum(each >= threshold for each in pairs) for words, pairs in fixed.items()}
        for words, mode in (
            ("automatic", "fixed_tree"),
            ("adaptive", "longest_hop"),
            ("adaptive", "score"),
        ):
            pairs = delivered(words, mode, threshold, seeds)
            row[f"{words} {mode}"] = sum(each >= threshold for each in pairs)
        found[str(threshold)] = row
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
