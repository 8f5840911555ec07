"""Lifetimes of memories, by the procedure, on the machines of a lab in virtual time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import binomtest

from bellwire.calibration.bench import LinkBench, MemoryPlace
from bellwire.calibration.estimates.likelihood import BinomialCounts
from bellwire.calibration.procedure import Finding, Unfit
from bellwire.calibration.procedures.memory_lifetime import MemoryLifetimes
from bellwire.calibration.table import procedures
from bellwire.calibration.work import Work
from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import Disconnected
from bellwire.drivers.qubit_storage import Preparation, Stored
from bellwire.labs import Lab, load_lab
from tests.calibration.emulated_lab import lab_text
from tests.calibration.estimates.coverage import failed
from tests.calibration.stored_in_time import StoredInTime

LINK = "alice-bob"
QUICK = MemoryLifetimes(longest_s=0.3, states=480)


def lab_with(place: Path, alice: dict[str, Any], bob: dict[str, Any] | None = None) -> Lab:
    """A lab whose memories have four slots of their own, and these figures."""
    document = yaml.safe_load(lab_text("optics_double_click"))
    for node, figures in (("alice", alice), ("bob", alice if bob is None else bob)):
        document["nodes"][node]["memory"] |= {"own_slots": 4, **figures}
    path = place / "lab.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return load_lab(path)


def bench_of(lab: Lab) -> LinkBench:
    bench = lab.calibration_bench(LINK)
    assert bench is not None
    return bench


async def found(
    lab: Lab,
    seed: int = 1,
    *,
    procedure: MemoryLifetimes = QUICK,
    bench: LinkBench | None = None,
    **held: Any,
) -> Finding:
    work = Work(
        procedure.name,
        bench or bench_of(lab),
        StoredInTime(lab, seed, **held),
        known={},
        chance=np.random.default_rng(seed),
    )
    return await procedure.run(work)


def drawn(chance: np.random.Generator) -> dict[str, Any]:
    """A memory of T1 between 10 and 200 ms, T2 up to its limit of 2 T1, and a readout with errors."""
    t1_s = float(np.exp(chance.uniform(np.log(0.01), np.log(0.2))))
    return {
        "t1_s": t1_s,
        "t2_s": t1_s * float(chance.uniform(0.2, 1.9)),
        "readout_fidelity": float(chance.uniform(0.95, 1.0)),
    }


async def covered(place: Path, draws: int) -> list[bool]:
    """Whether each interval held its truth."""
    chance = np.random.default_rng(7001)
    held: list[bool] = []
    for seed in range(draws):
        truth = {"alice": drawn(chance), "bob": drawn(chance)}
        lab = lab_with(place, truth["alice"], truth["bob"])
        finding = await found(lab, seed, procedure=replace(QUICK, longest_s=1.0))
        for node, figures in truth.items():
            for kind in ("t1_s", "t2_s"):
                low, high = finding.quantities[f"{kind}.{node}"].interval
                held.append(low <= figures[kind] <= high)
    return held


async def test_hidden_lifetimes_are_found(tmp_path: Path) -> None:
    """6 draws, 24 intervals of 95 %: fewer than 18 hold in one of 8000 sets of seeds. 100 draws: below."""
    held = await covered(tmp_path, 6)
    assert len(held) == 24
    assert sum(held) >= 18


@pytest.mark.slow
async def test_hidden_lifetimes_are_covered(tmp_path: Path) -> None:
    """100 draws, 400 intervals, two-sided with a false alarm in a thousand."""
    held = await covered(tmp_path, 100)
    assert len(held) == 400
    assert binomtest(sum(held), len(held), 0.95).pvalue > 1e-3, sum(held)


async def test_a_memory_that_is_worse_than_plans_take_it_for_does_not_pass(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, {"t1_s": 0.1, "t2_s": 0.05})
    bench = bench_of(lab)
    assert failed((await found(lab)).checks) == set()
    promised = replace(bench, memories=tuple(replace(one, t2_s=0.2) for one in bench.memories))
    assert failed((await found(lab, bench=promised)).checks) == {"t2_at_most_s.alice", "t2_at_most_s.bob"}


async def test_what_plans_take_from_the_lab_file_counts_every_way_in_which_a_state_is_lost(
    tmp_path: Path,
) -> None:
    """T1, T2 and depolarising add up: 1/0.1 + 1/0.2 and 1/0.05 + 1/0.2 per second."""
    lab = lab_with(tmp_path, {"t1_s": 0.1, "t2_s": 0.05, "depolarising_time_s": 0.2})
    for one in bench_of(lab).memories:
        assert (one.t1_s, one.t2_s) == pytest.approx((1 / 15.0, 1 / 25.0))
    assert failed((await found(lab)).checks) == set()
    relaxing = bench_of(lab_with(tmp_path, {"t1_s": 0.1, "t2_s": None})).memories
    assert [one.t2_s for one in relaxing] == pytest.approx([0.2, 0.2])
    lasting = bench_of(lab_with(tmp_path, {"t1_s": None, "t2_s": None})).memories
    assert [(one.t1_s, one.t2_s) for one in lasting] == [(None, None)] * 2


async def test_a_lifetime_beyond_all_times_is_told_by_the_least_it_may_be(tmp_path: Path) -> None:
    """T1 of a minute, stored for 0.3 s at most: nothing is lost in it that could be told from readout."""
    finding = await found(lab_with(tmp_path, {"t1_s": 60.0, "t2_s": 0.05}))
    assert "t1_s.alice" not in finding.quantities
    assert 0.5 < finding.quantities["t1_at_least_s.alice"].value < 60.0
    assert "t2_s.alice" in finding.quantities
    assert failed(finding.checks) == set()


async def test_states_that_are_lost_are_counted_and_not_taken_for_wrong_ones(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, {"t1_s": 0.1, "t2_s": 0.05})
    finding = await found(lab, lost_every=5)
    assert {name for name in failed(finding.checks) if name.startswith("states lost")} == {
        f"states lost, {kind} of {node}" for kind in ("t1", "t2") for node in ("alice", "bob")
    }
    low, high = finding.quantities["t2_s.alice"].interval
    assert low < 0.05 < high


async def test_a_memory_that_keeps_nothing_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="lost 40 of 40 states"):
        await found(lab_with(tmp_path, {"t1_s": 0.1, "t2_s": 0.05}), lost_every=1)


async def test_an_agent_that_goes_away_ends_it_with_its_own_fault(tmp_path: Path) -> None:
    class Gone(StoredInTime):
        async def store(self, node: str, state: Preparation, storage_s: float) -> Stored:
            if self.asked > 100:
                raise Disconnected(f"the memory of {node}", f"{node} is down")
            return await super().store(node, state, storage_s)

    lab = lab_with(tmp_path, {"t1_s": 0.1, "t2_s": 0.05})
    work = Work(QUICK.name, bench_of(lab), Gone(lab, 1), known={}, chance=np.random.default_rng(1))
    with pytest.raises(Disconnected, match="is down"):
        await QUICK.run(work)


def test_a_link_without_slots_for_it_cannot_have_it(tmp_path: Path) -> None:
    bench = bench_of(lab_with(tmp_path, {"own_slots": 0}))
    assert bench.memories == ()
    why = QUICK.obstacle(bench)
    assert why is not None
    assert "own_slots" in why


async def test_a_bench_without_agents_reaches_no_memory() -> None:
    from bellwire.calibration.direct import DirectHeld

    with pytest.raises(LocalMisuse, match="through its agent"):
        await DirectHeld({}, {}).store("alice", Preparation((0, 0, 0), "Z", 0), 0.1)


def test_probabilities_at_the_edge_are_no_division_by_nothing() -> None:
    noise = BinomialCounts(np.array([0.0, 3.0, 2.0]), np.array([3.0, 3.0, 4.0]))
    for edge in (np.array([0.0, 1.0, 0.5]), np.array([-2.0, 3.0, 1e-18])):
        residual, slope = noise.residuals(edge)
        assert np.all(np.isfinite(residual))
        assert np.all(np.isfinite(slope))
        assert np.all(np.isfinite(noise.information(edge)))


@pytest.mark.parametrize("kind", ["meeting", "distribution"])
def test_a_link_of_which_only_the_memories_are_known_has_nothing_else_to_calibrate(kind: str) -> None:
    bench = LinkBench(link=LINK, kind=kind, receivers=(), memories=(MemoryPlace("alice", 2),))
    able = [name for name, one in procedures().items() if one.obstacle(bench) is None]
    assert able == ["memory_lifetime"]
