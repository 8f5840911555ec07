"""Measuring halves of pairs: the fast form and the density matrix report the same bits for the same chance.

Twins of one seed live through the same measurements; one of them is turned into a cluster first, by a
rotation about nothing. 400 lives, every basis against every basis, with decay and readout flips.
"""

import random

from bellwire.simulator_backend.world import HeraldOutcome, LinkTruth, MemoryTruth, World

LIVES = 400
LANES = 3


def random_bell(rng: random.Random) -> tuple[float, float, float, float]:
    weights = [rng.random() ** 3 for _ in range(4)]
    total = sum(weights)
    return (weights[0] / total, weights[1] / total, weights[2] / total, weights[3] / total)


def heralded(seed: int) -> tuple[World, int]:
    """A world with one pair on each of three lanes, and the time of the last herald."""
    rng = random.Random(seed)
    memories = [
        MemoryTruth(
            node=node,
            slots=LANES,
            t1_ns=rng.choice([None, 2_000_000]),
            t2_ns=rng.choice([None, 1_500_000]),
            gate_fidelity=0.97,
            readout_fidelity=rng.choice([1.0, 0.9, 0.7]),
            single_gate_fidelity=1.0,
        )
        for node in "ab"
    ]
    outcomes = tuple(HeraldOutcome(code=code, share=0.5, state=random_bell(rng)) for code in (1, 2))
    link = LinkTruth(
        name="L",
        nodes=("a", "b"),
        period_ns=1000,
        success_probability=0.5,
        outcomes=outcomes,
        lanes=LANES,
        click_delay_ns=500,
    )
    world = World([link], memories, seed)
    plans = [
        planned
        for lane in range(LANES)
        for node in "ab"
        if (planned := world.arm(node, lane, "L", lane, 1, 0, 0, 10**6, 0)) is not None
    ]
    for planned in sorted(plans, key=lambda one: one.at_ns):
        assert world.realise(planned, planned.at_ns) is not None
    return world, max(planned.at_ns for planned in plans)


def test_fast_pairs_and_clusters_report_the_same_bits_one_by_one() -> None:
    seen: set[tuple[str, str]] = set()
    ones = 0
    for seed in range(LIVES):
        (fast, born_ns), (slow, _) = heralded(seed), heralded(seed)
        rng = random.Random(-seed)
        for lane in range(LANES):
            slow.gate("a", lane, "rz", 0.0, born_ns)
            now_ns = born_ns + rng.randrange(200_000)
            first, second = rng.choice("XYZ"), rng.choice("XYZ")
            nodes = rng.sample("ab", 2)
            bits = [
                (
                    world.measure(nodes[0], lane, first, now_ns),
                    world.measure(nodes[1], lane, second, now_ns + 150_000),
                )
                for world in (fast, slow)
            ]
            assert bits[0] == bits[1], (seed, lane, first, second)
            seen.add((first, second))
            ones += sum(bits[0])
        assert fast.occupied("a") == slow.occupied("a") == ()
    assert len(seen) == 9
    assert 0.4 < ones / (2 * LIVES * LANES) < 0.6
