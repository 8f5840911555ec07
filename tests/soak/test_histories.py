"""Three hundred histories under all faults: no rule breaks, pairs are delivered, faults fire.

The full run is `make soak`. Seeds are fixed, so nothing here fails by chance.
"""

from collections import Counter

import pytest

from bellwire.soak.histories import Case, play

SEEDS = 300
CHUNK = 25


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_rule_breaks_under_all_faults(first: int) -> None:
    fired: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    broken = []
    for seed in range(first, first + CHUNK):
        told = play(Case(seed=seed, profile="all"))
        if told.rule is not None:
            broken.append(f"{told.problem}\nreplay: bellwire soak --first {seed} --seeds 1 --profile all")
        assert told.delivered, f"seed {seed}: no pair"
        assert told.fired, f"seed {seed}: nothing went wrong"
        fired.update(told.fired)
        counts.update(told.counts)
    assert not broken, "\n\n".join(broken)
    assert counts["pairs handed over or measured"] > 500
    assert counts["steps"] > 50_000
    for kind in ("crash", "message lost", "message cut off", "pause", "peer suspect", "peer down"):
        assert fired[kind], f"no {kind} in {CHUNK} histories: {fired}"


@pytest.mark.parametrize("profile", ["messages", "partitions", "crashes", "clocks", "devices", "calm"])
def test_no_rule_breaks_under_one_kind_of_faults(profile: str) -> None:
    told = [play(Case(seed=seed, profile=profile)) for seed in range(4)]
    assert [one.problem for one in told if one.rule is not None] == []
    assert sum(one.delivered for one in told) > 50


def test_replicas_are_equal_soon_after_a_partition_has_healed() -> None:
    """Everything that had been written by then is known within two heartbeats and a round trip."""
    checked = 0
    for seed in range(30):
        told = play(Case(seed=seed, profile="partitions"))
        assert told.rule is None, told.problem
        checked += told.counts["convergences checked"]
    assert checked >= 15
