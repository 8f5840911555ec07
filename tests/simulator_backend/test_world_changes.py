"""Scripted changes of a link: what they do to its physics, and that a host makes them when they are due."""

from dataclasses import replace

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.core.units import NS_PER_S
from bellwire.labs import LinkChange, Scenario, load_lab
from bellwire.simulator_backend.simulation import simulate
from bellwire.simulator_backend.world_changes import changed
from bellwire.simulator_backend.world_words import LinkTruth

POINTS = tuple(
    HeraldPhysics(
        p, (HeraldOutcome(1, 0.5, (0.02, 0.01, 0.9, 0.07)), HeraldOutcome(2, 0.5, (0.0, 0.1, 0.1, 0.8)))
    )
    for p in (0.1, 0.6)
)


def truth(points: tuple[HeraldPhysics, ...] = ()) -> LinkTruth:
    return LinkTruth(
        name="ab", nodes=("a", "b"), period_ns=1000, success_probability=POINTS[0].success_probability,
        outcomes=POINTS[0].outcomes, lanes=1, click_delay_ns=0, points=points,
    )  # fmt: skip


def test_a_dimmer_and_noisier_link_loses_what_the_closed_form_says_at_every_point() -> None:
    for before, after in zip(POINTS, changed(truth(POINTS), 0.5, 0.2), strict=True):
        assert after.success_probability == pytest.approx(0.5 * before.success_probability)
        assert after.fidelity == pytest.approx(0.8 * before.fidelity + 0.2 / 4.0)
        for outcome in after.outcomes:
            assert sum(outcome.state) == pytest.approx(1.0)
    assert len(changed(truth(), 0.5, 0.2)) == 1


def test_nothing_changes_a_link_that_is_changed_by_nothing_and_no_probability_passes_one() -> None:
    assert changed(truth(POINTS), 1.0, 0.0) == POINTS
    assert [each.success_probability for each in changed(truth(POINTS), 3.0, 0.0)] == pytest.approx(
        [0.3, 1.0]
    )
    for factor, noise in ((-0.1, 0.0), (1.0, 1.1), (1.0, -0.1)):
        with pytest.raises(LocalMisuse, match="ab"):
            changed(truth(), factor, noise)


def test_a_host_makes_the_changes_of_the_scenario_when_they_are_due() -> None:
    """Dark from 0.5 s to 1 s, then noise alone: fidelity 0.4 * 0.95 + 0.6 / 4 = 0.53."""
    lab = load_lab("lab_configs/fading_routes.yaml")
    changes = (
        LinkChange(link="alice-bob", at_ns=NS_PER_S // 2, success_factor=0.0),
        LinkChange(link="alice-bob", at_ns=NS_PER_S, noise=0.6),
    )
    lab = replace(lab, scenario=Scenario(link_changes=changes))
    counts: list[int] = []
    fidelities: list[float | None] = []
    for duration_s in (0.5, 1.0, 2.0):
        one = simulate(lab, duration_s, seed=1)["requests"]["stream"]
        counts.append(one["delivered"])
        fidelities.append(one["fidelity_true_mean"])
    assert counts[0] > 20
    assert counts[1] - counts[0] <= 2, "what was on its way"
    assert counts[2] - counts[1] > 50
    assert fidelities[1] == pytest.approx(0.95, abs=1e-3)
    share = counts[1] / counts[2]
    assert fidelities[2] == pytest.approx(share * 0.95 + (1 - share) * 0.53, abs=2e-3)
