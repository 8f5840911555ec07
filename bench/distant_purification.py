"""Pairs delivered at or above a threshold: without purification, with rounds of one level, and adaptively.

Run from the root of the repository: `python -m bench.distant_purification`. One seed, 0.5 s of virtual time.
"""

import json

from tests.simulation.test_distant_purification import ROUTE
from tests.simulation.test_link_purification import NOISY, lab_of, run

THRESHOLDS = (0.74, 0.75, 0.76, 0.77)
SEED = 5
SECONDS = 0.5


def delivered(words: str | None, mode: str, threshold: float | None) -> list[float]:
    """Estimated fidelities of all delivered pairs."""
    lab = lab_of(NOISY, lanes=4, nodes=ROUTE, purification=words, mode=mode, fidelity_min=threshold)
    delivery = run(lab, SEED, SECONDS).machine("ann").delivery
    assert delivery is not None
    return [record.fidelity for record in delivery.records("r")]


def main() -> None:
    """Print one JSON document."""
    fixed = {str(words): delivered(words, "fixed_tree", None) for words in (None, "1:1", "2:1", "2:2p")}
    found: dict[str, dict[str, int]] = {}
    for threshold in THRESHOLDS:
        row = {words: sum(each >= threshold for each in pairs) for words, pairs in fixed.items()}
        for mode in ("longest_hop", "score"):
            pairs = delivered("adaptive", mode, threshold)
            row[f"adaptive {mode}"] = sum(each >= threshold for each in pairs)
        found[str(threshold)] = row
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
