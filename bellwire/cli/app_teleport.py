"""`bellwire app teleport`: send qubit states over delivered pairs, and see whether they arrive.

Owns the command. Refuses the statistics (applications/teleportation.py).
"""

from typing import TYPE_CHECKING, Annotated

import typer

from bellwire.cli.app_runs import (
    SIGMAS,
    Place,
    SeedOption,
    SourceOption,
    TargetOption,
    VirtualOption,
    WithinOption,
)
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.study.application_runs import ApplicationRun


def teleport(
    lab: LabArgument,
    source: SourceOption = None,
    target: TargetOption = None,
    count: Annotated[
        int, typer.Option("--count", min=36, help="Qubits; of six states in three bases.")
    ] = 720,
    fidelity_min: Annotated[float | None, typer.Option("--fidelity", min=0.25, max=1.0)] = None,
    sigmas: Annotated[
        float, typer.Option("--sigmas", min=0.0, help="Standard errors above 2/3 that the mean must have.")
    ] = SIGMAS,
    within_s: WithinOption = 600.0,
    virtual: VirtualOption = False,
    seed: SeedOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Teleport six states, mend them by the outcomes sent after them, and look at what arrived."""
    from bellwire.applications.teleportation import BASES, CLASSICAL, STATES, Trial, tomography
    from bellwire.cli.app_runs import common_report, finish, fresh_name, pair_ends, place_of, run
    from bellwire.core.plans import EntanglementRequest
    from bellwire.core.qubit_uses import TeleportUse

    place = place_of(lab, virtual=virtual, seed=seed, state=state, within_s=within_s)
    ends = pair_ends(place.lab, source, target)
    settings = place.lab.network.nodes.get(ends[0])
    if settings is not None and settings.memory is not None and not settings.memory.own_slots:
        raise ConfigError(
            f"{ends[0]} has no memory slot for a state of its own: give it own_slots in the lab file",
            where=f"nodes.{ends[0]}.memory",
        )
    use = TeleportUse(states=tuple(one.turns for one in STATES), bases=BASES)
    request = EntanglementRequest(
        request_id=fresh_name("teleport"),
        target_nodes=ends,
        count=count,
        fidelity_threshold=fidelity_min,
        use=use,
    )
    ran = run(place, request)
    found = tomography(
        Trial(use.of(one.number)[0], one.looks[ends[1]].basis, one.looks[ends[1]].bit)
        for one in ran.deliveries.whole()
    )
    report = common_report("teleport", place, ran)
    if found is None:
        finish(report, [], "too few qubits: every state needs two looks in each basis", as_json=as_json)
        return
    expected = _expected(place, ran)
    mean = sum(expected) / len(expected) if expected else None
    above = (found.fidelity - CLASSICAL) / found.error
    report |= {
        "fidelity": found.fidelity,
        "fidelity_error": found.error,
        "fidelity_expected": mean,
        "sigmas_above_two_thirds": above,
        "states": [
            {
                "state": one.state.name,
                "looks": list(one.counts),
                "bloch": list(one.bloch),
                "bloch_errors": list(one.bloch_errors),
                "fidelity": one.fidelity,
                "fidelity_error": one.error,
                "fidelity_expected": expected[number] if expected else None,
            }
            for number, one in enumerate(found.states)
        ],
    }
    lines = [
        f"  |{one.state.name}>: F {one.fidelity:.3f} +- {one.error:.3f}"
        + (f" (the World expects {expected[number]:.3f})" if expected else "")
        + ", Bloch "
        + " ".join(f"{value:+.2f}" for value in one.bloch)
        for number, one in enumerate(found.states)
    ]
    told = "" if mean is None else f"; the World expects {mean:.3f}"
    lines.append(
        f"mean F = {found.fidelity:.3f} +- {found.error:.3f}, {above:.1f} standard errors above 2/3{told}"
    )
    trouble = None
    if above < sigmas:
        trouble = f"the mean fidelity is {above:.1f} standard errors above 2/3; {sigmas:g} are needed"
    finish(report, lines, trouble, as_json=as_json)


def _expected(place: Place, ran: "ApplicationRun") -> list[float]:
    """Fidelity of each state over the pairs as the World had them; none: it has told of no pair.

    The World shows a pair at its Bell measurement. What follows is reckoned here: noise of that measurement,
    storage at the destination until its look was told, gates, readout.
    """
    from bellwire.applications.teleportation import STATES, expected_fidelity
    from bellwire.cli.app_runs import memories_of
    from bellwire.core.bell import aged, bsm_noise, decay_rates, xor_convolve

    one, other = memories_of(place.lab, ran.deliveries.request.target_nodes)
    noise = bsm_noise(one.gate_fidelity, one.readout_fidelity, one.phase_flip)
    rates = decay_rates(other.t1_ns, other.t2_ns, other.depolarising_time_ns)
    values: list[list[float]] = [[] for _ in STATES]
    for delivery in ran.deliveries.whole():
        truth = ran.truths.of(delivery)
        if truth is None:
            continue
        pair = xor_convolve(truth.relative_to(delivery.frame), noise)
        stored_ns = delivery.looks[other.node].at_ns - truth.at_ns
        pair = aged(pair, rates, max(0, stored_ns))
        number = (delivery.number - 1) % len(STATES)
        gates = sum(turn != 0 for turn in STATES[number].turns)
        mended = 1 if delivery.outcome else 0
        contrast = (
            one.single_gate_fidelity**gates
            * other.single_gate_fidelity**mended
            * (2.0 * other.readout_fidelity - 1.0)
        )
        values[number].append(expected_fidelity(STATES[number], pair, contrast))
    return [sum(each) / len(each) for each in values] if all(values) else []
