"""Programs on delivered entanglement in virtual time: what they find is what the World has."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.applications import bell_test, ghz_witness, teleportation
from bellwire.core.bell import fidelity
from bellwire.core.link_words import BasisChoice
from bellwire.core.plans import EntanglementRequest
from bellwire.core.qubit_uses import MeasureUse, TeleportUse
from bellwire.labs import Lab, load_lab
from bellwire.study.application_runs import ApplicationRun, run_virtual

LABS = Path(__file__).parents[2] / "lab_configs"
PERFECT = {"gate_fidelity": 1.0, "single_gate_fidelity": 1.0, "readout_fidelity": 1.0}
"""Gates and readout; pairs and storage stay as they are."""


def lab_with(folder: Path, name: str, memory: dict[str, Any]) -> Lab:
    sections = yaml.safe_load((LABS / f"{name}.yaml").read_text(encoding="utf-8"))
    for node in sections["nodes"].values():
        node["memory"] = memory
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    return replace(load_lab(path), requests=())


def chsh_request(count: int) -> EntanglementRequest:
    choices = (BasisChoice(random="XZ", first=128), BasisChoice(random="CHSH", first=128))
    return EntanglementRequest(
        request_id="q", target_nodes=("alice", "bob"), count=count, consumption="measure", bases=choices
    )


def bell_of(run: ApplicationRun) -> bell_test.BellTest:
    found = bell_test.bell_test(
        bell_test.Trial(one.basis, other.basis, one.bit, other.bit, delivery.frame)
        for delivery in run.deliveries.whole()
        for one, other in [(delivery.looks["alice"], delivery.looks["bob"])]
    )
    assert found is not None
    return found


def expected_bell(run: ApplicationRun, contrast: float) -> float:
    values = []
    for delivery in run.deliveries.whole():
        truth = run.truths.of(delivery)
        assert truth is not None
        values.append(bell_test.expected_value(truth.relative_to(delivery.frame), contrast=contrast))
    return sum(values) / len(values)


def test_pairs_violate_bells_inequality_as_much_as_the_world_expects(tmp_path: Path) -> None:
    """1200 pairs, five standard errors: false alarm 6e-7 for the expectation. That S exceeds 2 by as many is
    no matter of course with so few pairs (expected: 7.6), and holds for the seed."""
    lab = lab_with(tmp_path, "two_node_link", {"readout_fidelity": 0.99, "single_gate_fidelity": 0.999})
    run = run_virtual(lab, chsh_request(1200), 11, 600.0)
    found = bell_of(run)
    assert run.over
    assert len(run.deliveries.whole()) == 1200
    assert abs(found.value - expected_bell(run, 0.98**2 * 0.999)) < 5.0 * found.error
    assert found.sigmas > 5.0
    # Chances of 1/2 each, five standard deviations.
    for basis in ("X", "Z"):
        chosen = sum(one.looks["alice"].basis == basis for one in run.deliveries.whole())
        assert abs(chosen - 600) < 5.0 * (1200 / 4) ** 0.5 + 1200 / 510


def test_all_frames_occur_over_a_repeater_and_none_is_wrong(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, "three_node_repeater", PERFECT)
    run = run_virtual(lab, chsh_request(100), 3, 600.0)
    assert {one.frame for one in run.deliveries.whole()} == {0, 1, 2, 3}
    for one in run.deliveries.whole():
        truth = run.truths.of(one)
        assert truth is not None
        assert truth.frame == one.frame
        assert truth.relative_to(one.frame)[0] == pytest.approx(fidelity(truth.state))


def test_a_seed_repeats_a_run_to_the_bit_and_another_does_not(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, "two_node_link", PERFECT)
    one, same, other = (run_virtual(lab, chsh_request(40), seed, 600.0) for seed in (5, 5, 6))
    assert [each.looks for each in one.deliveries.whole()] == [each.looks for each in same.deliveries.whole()]
    assert [each.looks for each in one.deliveries.whole()] != [
        each.looks for each in other.deliveries.whole()
    ]


def teleport_request(count: int) -> EntanglementRequest:
    use = TeleportUse(states=tuple(one.turns for one in teleportation.STATES), bases=teleportation.BASES)
    return EntanglementRequest(request_id="q", target_nodes=("alice", "bob"), count=count, use=use)


def test_teleported_states_arrive_with_the_fidelity_that_the_pairs_allow(tmp_path: Path) -> None:
    """540 qubits; gates and readout perfect, so that the mean is (2 F + 1) / 3 of the pairs as the World had
    them at the Bell measurement, up to 0.2 ms of storage of 1 s. Five standard errors: false alarm 6e-7."""
    lab = lab_with(tmp_path, "three_node_repeater", {**PERFECT, "own_slots": 1})
    run = run_virtual(lab, teleport_request(540), 2, 600.0)
    whole = run.deliveries.whole()
    assert len(whole) == 540
    assert {one.outcome for one in whole} == {0, 1, 2, 3}
    found = teleportation.tomography(
        teleportation.Trial((one.number - 1) % 6, one.looks["bob"].basis, one.looks["bob"].bit)
        for one in whole
    )
    assert found is not None
    fidelities = []
    for one in whole:
        truth = run.truths.of(one)
        assert truth is not None
        assert truth.frame == 0  # corrected physically
        fidelities.append(truth.state[0])
    expected = teleportation.mean_fidelity(sum(fidelities) / len(fidelities))
    assert abs(found.fidelity - expected) < 5.0 * found.error
    assert found.fidelity > teleportation.CLASSICAL + 5.0 * found.error


def test_perfect_gates_and_storage_send_states_as_well_as_the_pairs_are(tmp_path: Path) -> None:
    """Looks along a state show it but for faults of pairs of fidelity 0.975: of 30 looks, more than 8 faults
    have a chance of 1e-8."""
    lab = lab_with(tmp_path, "two_node_link", {**PERFECT, "own_slots": 1, "t1_s": None, "t2_s": None})
    run = run_virtual(lab, teleport_request(90), 4, 600.0)
    faults = 0
    for one in run.deliveries.whole():
        state = teleportation.STATES[(one.number - 1) % 6]
        along = state.bloch[teleportation.BASES.index(one.looks["bob"].basis)]
        faults += along != 0.0 and (1 - 2 * one.looks["bob"].bit) != along
    assert faults <= 8


def test_a_source_without_a_slot_of_its_own_teleports_nothing_and_lets_all_go(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, "two_node_link", PERFECT)
    run = run_virtual(lab, teleport_request(4), 4, 60.0)
    assert run.over
    assert run.deliveries.whole() == []
    assert all(one.lost == {"alice", "bob"} for one in run.deliveries.by_number.values())


def test_ghz_states_have_the_fidelity_that_the_world_expects(tmp_path: Path) -> None:
    """240 states, five standard errors: false alarm 6e-7."""
    lab = lab_with(tmp_path, "ghz_star", {"readout_fidelity": 0.99})
    members = ("alice", "carol", "bob")
    request = EntanglementRequest(
        request_id="q",
        target_nodes=members,
        entanglement_type="ghz",
        generation_mode="score",
        count=240,
        use=MeasureUse(settings=ghz_witness.settings_of(3)),
    )
    run = run_virtual(lab, request, 6, 600.0)
    whole = run.deliveries.whole()
    found = ghz_witness.witness(
        (
            ghz_witness.Trial(
                tuple(one.looks[name].basis for name in members),
                tuple(one.looks[name].bit for name in members),
                tuple(one.frames[name] for name in members),
            )
            for one in whole
        ),
        3,
    )
    assert found is not None
    truths = [run.truths.groups[one.head_end] for one in whole]
    expected = sum(ghz_witness.expected_fidelity(one.density, [0.99] * 3) for one in truths) / len(truths)
    assert abs(found.fidelity - expected) < 5.0 * found.error
    assert found.sigmas > 5.0
