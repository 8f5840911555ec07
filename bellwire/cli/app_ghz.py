"""`bellwire app ghz`: are delivered GHZ states what they are called?

Owns the command. Refuses the statistics (applications/ghz_witness.py).
"""

from typing import TYPE_CHECKING, Annotated

import typer

from bellwire.cli.app_runs import SIGMAS, Place, SeedOption, VirtualOption, WithinOption
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.labs import Lab
    from bellwire.study.application_runs import ApplicationRun


def ghz(
    lab: LabArgument,
    members: Annotated[
        str | None,
        typer.Option("--members", metavar="A,B,C", help="Default: those of the lab's first GHZ request."),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=16, help="States.")] = 1000,
    mode: Annotated[
        str | None, typer.Option("--mode", help="How states are fused: docs/policies.md.")
    ] = None,
    sigmas: Annotated[
        float, typer.Option("--sigmas", min=0.0, help="Standard errors above 1/2 that F must have.")
    ] = SIGMAS,
    within_s: WithinOption = 600.0,
    virtual: VirtualOption = False,
    seed: SeedOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Measure stabilisers of GHZ states: their fidelity, and whether all members are entangled."""
    from bellwire.applications.ghz_witness import Trial, settings_of, witness
    from bellwire.cli.app_runs import common_report, finish, fresh_name, place_of, run
    from bellwire.cli.asking_terms import DEFAULT_MODE
    from bellwire.core.plans import EntanglementRequest
    from bellwire.core.qubit_uses import MeasureUse

    place = place_of(lab, virtual=virtual, seed=seed, state=state, within_s=within_s)
    names, usual = _members(place.lab, members)
    request = EntanglementRequest(
        request_id=fresh_name("ghz"),
        target_nodes=names,
        entanglement_type="ghz",
        generation_mode=mode or usual or DEFAULT_MODE,
        count=count,
        use=MeasureUse(settings=settings_of(len(names))),
    )
    ran = run(place, request)
    found = witness(
        (
            Trial(
                tuple(one.looks[name].basis for name in names),
                tuple(one.looks[name].bit for name in names),
                tuple(one.frames[name] for name in names),
            )
            for one in ran.deliveries.whole()
        ),
        len(names),
    )
    report = common_report("ghz", place, ran)
    if found is None:
        finish(report, [], "too few states: every setting needs two at least", as_json=as_json)
        return
    expected = _expected(place, ran)
    report |= {
        "fidelity": found.fidelity,
        "fidelity_error": found.error,
        "fidelity_expected": expected,
        "witness": found.value,
        "sigmas_above_half": found.sigmas,
        "agreement": found.agreement,
        "agreement_states": found.agreement_states,
        "coherence": found.coherence,
        "products": [
            {"bases": "".join(setting), "states": states, "value": value}
            for setting, (states, value) in found.products.items()
        ],
    }
    told = "" if expected is None else f"; the World expects {expected:.3f}"
    lines = [
        f"  all agree in Z: {found.agreement:.3f} ({found.agreement_states} states)",
        *(
            f"  {''.join(setting)}: {value:+.3f} ({states} states)"
            for setting, (states, value) in found.products.items()
        ),
        f"F = {found.fidelity:.3f} +- {found.error:.3f}, witness {found.value:+.3f}, {found.sigmas:.1f} "
        f"standard errors{told}",
    ]
    trouble = None
    if found.sigmas < sigmas:
        trouble = f"F is {found.sigmas:.1f} standard errors above 1/2; {sigmas:g} are needed"
    finish(report, lines, trouble, as_json=as_json)


def _members(lab: "Lab", names: str | None) -> tuple[tuple[str, ...], str | None]:
    """Who is to share the states, and how the lab's own request makes them, if it is hers."""
    if names is not None:
        return tuple(name.strip() for name in names.split(",")), None
    for request in lab.requests:
        if request.entanglement_type == "ghz":
            return request.target_nodes, request.generation_mode
    raise ConfigError("the lab file has no GHZ request to take the members from: give --members A,B,C")


def _expected(place: Place, ran: "ApplicationRun") -> float | None:
    """Fidelity that the measurements should find of the states as the World had them, None: it told of none.

    Storage between the first and the last measurement of a state is not counted.
    """
    from bellwire.applications.ghz_witness import expected_fidelity
    from bellwire.cli.app_runs import memories_of

    readouts = {
        one.node: one.readout_fidelity for one in memories_of(place.lab, ran.deliveries.request.target_nodes)
    }
    corrected = place.lab.network.correct_frames  # else the states are not the plain ones
    values = [
        expected_fidelity(truth.density, [readouts[node] for node in truth.nodes])
        for delivery in ran.deliveries.whole()
        if corrected and (truth := ran.truths.groups.get(delivery.head_end)) is not None
    ]
    return sum(values) / len(values) if values else None
