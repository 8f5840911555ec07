"""`bellwire app chsh`: does delivered entanglement violate Bell's inequality?

Owns the command. Refuses the statistics (applications/bell_test.py).
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

if TYPE_CHECKING:
    from bellwire.applications.bell_test import BellTest
    from bellwire.study.application_runs import ApplicationRun


def chsh(
    lab: LabArgument,
    source: SourceOption = None,
    target: TargetOption = None,
    count: Annotated[int, typer.Option("--count", min=8, help="Pairs.")] = 2000,
    fidelity_min: Annotated[float | None, typer.Option("--fidelity", min=0.25, max=1.0)] = None,
    sigmas: Annotated[
        float, typer.Option("--sigmas", min=0.0, help="Standard errors above 2 that S must have.")
    ] = SIGMAS,
    within_s: WithinOption = 600.0,
    virtual: VirtualOption = False,
    seed: SeedOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Test Bell's inequality (CHSH) on pairs that both ends measure in bases by chance."""
    from bellwire.applications.bell_test import LOCAL_BOUND, Trial, bell_test
    from bellwire.cli.app_runs import common_report, finish, fresh_name, pair_ends, place_of, run
    from bellwire.core.link_words import BasisChoice
    from bellwire.core.plans import EntanglementRequest

    place = place_of(lab, virtual=virtual, seed=seed, state=state, within_s=within_s)
    ends = pair_ends(place.lab, source, target)
    request = EntanglementRequest(
        request_id=fresh_name("chsh"),
        target_nodes=ends,
        count=count,
        fidelity_threshold=fidelity_min,
        consumption="measure",
        bases=(BasisChoice(random="XZ", first=128), BasisChoice(random="CHSH", first=128)),
    )
    ran = run(place, request)
    found = bell_test(
        Trial(one.looks[ends[0]].basis, one.looks[ends[1]].basis, one.looks[ends[0]].bit,
              one.looks[ends[1]].bit, one.frame)
        for one in ran.deliveries.whole()
    )  # fmt: skip
    report = common_report("chsh", place, ran)
    if found is None:
        finish(report, [], "too few pairs: every pair of bases needs two at least", as_json=as_json)
        return
    expected = _expected(place, ran)
    report |= {
        "S": found.value,
        "S_error": found.error,
        "sigmas_above_2": found.sigmas,
        "S_expected": expected,
        "correlations": [
            {"bases": list(bases), **one._asdict()} for bases, one in found.correlations.items()
        ],
    }
    trouble = None
    if found.sigmas < sigmas:
        trouble = (
            f"S = {found.value:.3f} +- {found.error:.3f} is {found.sigmas:.1f} standard errors above "
            f"{LOCAL_BOUND:g}; {sigmas:g} are needed"
        )
    finish(report, _lines(found, expected), trouble, as_json=as_json)


def _expected(place: Place, ran: "ApplicationRun") -> float | None:
    """S of the pairs as the World had them, None: it has told of none.

    Storage between the two measurements of a pair is not counted.
    """
    from bellwire.applications.bell_test import contrast_of, expected_value
    from bellwire.cli.app_runs import memories_of

    one, other = memories_of(place.lab, ran.deliveries.request.target_nodes)
    contrast = contrast_of(
        (one.readout_fidelity, other.readout_fidelity), other_gate=other.single_gate_fidelity
    )
    values = [
        expected_value(truth.relative_to(delivery.frame), contrast=contrast)
        for delivery in ran.deliveries.whole()
        if (truth := ran.truths.of(delivery)) is not None
    ]
    return sum(values) / len(values) if values else None


def _lines(found: "BellTest", expected: float | None) -> list[str]:
    lines = [
        f"  {bases[0]:>2} with {bases[1]}: {one.value:+.3f} +- {one.error:.3f} ({one.pairs} pairs)"
        for bases, one in found.correlations.items()
    ]
    told = "" if expected is None else f"; the World expects {expected:.3f}"
    lines.append(
        f"S = {found.value:.3f} +- {found.error:.3f}, {found.sigmas:.1f} standard errors above 2{told}"
    )
    return lines
