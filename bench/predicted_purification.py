"""What plans with rounds between distant nodes promise, beside what machines deliver in virtual time.

Run from the root of the repository: `python -m bench.predicted_purification`. Lines of three and five equal
links and nodes, one seed of two simulated seconds each, trees with links at full speed.
"""

from math import sqrt

from bellwire.planner.plans import predict
from tests.simulation.test_link_purification import NOISY, lab_of, run

SEED = 11
SECONDS = 2.0
LINES = (
    (("ann", "rex", "bob"), (None, "1:1", "2:1", "2:2p", "1:1,2:1p")),
    (("ann", "n1", "n2", "n3", "bob"), (None, "1:1", "2:1", "4:1", "1:1,4:1")),
)


def main() -> None:
    """Print one table in Markdown."""
    print("| nodes | rounds | predicted | delivered per second | predicted fidelity | mean fidelity |")
    print("|---|---|---|---|---|---|")
    for nodes, rounds in LINES:
        for words in rounds:
            lab = lab_of(
                NOISY, lanes=5, nodes=nodes, purification=words, mode="fixed_tree(links=full)", emission=0.5
            )
            expected = predict(lab.network, lab.requests[0])
            if isinstance(expected, str):
                raise SystemExit(expected)
            delivery = run(lab, SEED, SECONDS, watched=False).machine("ann").delivery
            assert delivery is not None
            found = [record.fidelity for record in delivery.records("r")]
            print(
                f"| {len(nodes)} | {words or 'none'} | {expected.rate_hz:.0f} "
                f"| {len(found) / SECONDS:.0f} +- {sqrt(len(found)) / SECONDS:.0f} "
                f"| {expected.fidelity:.4f} | {sum(found) / len(found):.4f} |"
            )


if __name__ == "__main__":
    main()
