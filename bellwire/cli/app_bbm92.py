"""`bellwire app bbm92`: a secret key from delivered entanglement, into the key store.

Owns the command. Refuses the steps of the key agreement (applications/key_agreement.py), the store and its
delivery (northbound/key_store.py, key_delivery.py).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.app_runs import Place, SeedOption, SourceOption, TargetOption, VirtualOption, WithinOption
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from bellwire.applications.key_agreement import KeyResult
    from bellwire.study.application_runs import ApplicationRun


def bbm92(
    lab: LabArgument,
    source: SourceOption = None,
    target: TargetOption = None,
    count: Annotated[int, typer.Option("--count", min=8, help="Pairs.")] = 20_000,
    fidelity_min: Annotated[float | None, typer.Option("--fidelity", min=0.25, max=1.0)] = None,
    test_share: Annotated[
        float,
        typer.Option("--test-share", min=0.01, max=0.99, help="Chance of X, the test basis, at each end."),
    ] = 0.5,
    secrecy: Annotated[
        float,
        typer.Option("--secrecy", metavar="EPS", min=1e-30, max=0.1, help="Distance from a secret key."),
    ] = 1e-9,
    correctness: Annotated[
        float,
        typer.Option("--correctness", metavar="EPS", min=1e-30, max=0.1, help="Chance of unequal keys."),
    ] = 1e-12,
    error_max: Annotated[
        float | None,
        typer.Option(
            "--error-max", min=0.0, max=0.5, help="Agreed error rate in X; default: that of the run."
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", help="Folder of the key store; live default: --state."),
    ] = None,
    within_s: WithinOption = 3600.0,
    virtual: VirtualOption = False,
    seed: SeedOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Make secret key (BBM92) from pairs that both ends measure in X or Z by chance."""
    from bellwire.applications.bell_test import Trial
    from bellwire.applications.key_agreement import agree
    from bellwire.applications.key_amplification import Security
    from bellwire.applications.key_sifting import sift
    from bellwire.cli.app_runs import common_report, finish, fresh_name, pair_ends, place_of, run
    from bellwire.core.bases import WEIGHT_WHOLE
    from bellwire.core.link_words import BasisChoice
    from bellwire.core.plans import EntanglementRequest

    place = place_of(lab, virtual=virtual, seed=seed, state=state, within_s=within_s)
    ends = pair_ends(place.lab, source, target)
    choice = BasisChoice(random="XZ", first=round(test_share * WEIGHT_WHOLE))
    request = EntanglementRequest(
        request_id=fresh_name("bbm92"),
        target_nodes=ends,
        count=count,
        fidelity_threshold=fidelity_min,
        consumption="measure",
        bases=(choice, choice),
    )
    ran = run(place, request)
    sifted = sift(
        Trial(one.basis, other.basis, one.bit, other.bit, delivery.frame)
        for delivery in ran.deliveries.whole()
        for one, other in [(delivery.looks[ends[0]], delivery.looks[ends[1]])]
    )
    made = agree(sifted, _chance(place), Security(secrecy, correctness), error_max)
    report = common_report("bbm92", place, ran) | _figures(made, _expected_errors(place, ran))
    report |= {"secrecy": secrecy, "correctness": correctness}
    folder = store if store is not None or virtual else state
    report["stored_bits"] = _put(made, folder, ends, request.request_id)
    trouble = None if made.verdict == "key" else _explained(made)
    finish(report, _lines(report), trouble, as_json=as_json)


def _chance(place: Place) -> "Callable[[int], bytes]":
    """Of the machine; in virtual time, where a key is worth nothing, of the seed."""
    import random
    import secrets

    return random.Random(place.seed).randbytes if place.virtual else secrets.token_bytes


def _expected_errors(place: Place, ran: "ApplicationRun") -> tuple[float, float] | None:
    """Error rates in X and in Z of the pairs as the World had them, None: it has told of none.

    Storage between the two measurements of a pair is not counted.
    """
    from bellwire.applications.bell_test import contrast_of, expected_product
    from bellwire.cli.app_runs import memories_of

    one, other = memories_of(place.lab, ran.deliveries.request.target_nodes)
    contrast = contrast_of((one.readout_fidelity, other.readout_fidelity))
    states = [
        truth.relative_to(delivery.frame)
        for delivery in ran.deliveries.whole()
        if (truth := ran.truths.of(delivery)) is not None
    ]
    if not states:
        return None
    in_x = sum(expected_product("X", "X", state) for state in states) / len(states)
    in_z = sum(expected_product("Z", "Z", state) for state in states) / len(states)
    return (1.0 - contrast * in_x) / 2.0, (1.0 - contrast * in_z) / 2.0


def _figures(made: "KeyResult", expected: tuple[float, float] | None) -> dict[str, Any]:
    from bellwire.applications.key_amplification import asymptotic_share

    def error_of(rate: float, bits: int) -> float | None:
        return (rate * (1.0 - rate) / bits) ** 0.5 if bits else None

    return {
        "verdict": made.verdict,
        "sifted_key_bits": made.key_bits,
        "sifted_test_bits": made.test_bits,
        "error_rate_x": made.test_error_rate,
        "error_rate_x_error": error_of(made.test_error_rate, made.test_bits),
        "error_rate_x_expected": None if expected is None else expected[0],
        "error_rate_z": made.key_error_rate,
        "error_rate_z_error": error_of(made.key_error_rate, made.key_bits),
        "error_rate_z_expected": None if expected is None else expected[1],
        "correction": "cascade",
        "disclosed_bits": made.disclosed,
        "efficiency": made.efficiency,
        "correction_rounds": made.rounds,
        "secret_bits": made.length,
        "secret_bits_per_pair": made.length / made.pairs if made.pairs else 0.0,
        "secret_bits_per_sifted_bit_without_end": asymptotic_share(
            made.key_error_rate, made.test_error_rate, made.efficiency or 1.0
        ),
    }


def _put(made: "KeyResult", folder: Path | None, ends: tuple[str, str], run: str) -> int:
    """Put the key into the store; returns its bits, whole octets only."""
    import numpy as np

    from bellwire.northbound.key_store import KeyStore

    octets = made.length // 8
    if folder is None or octets == 0 or not np.array_equal(made.key_one, made.key_other):
        return 0
    keys = KeyStore(folder)
    try:
        keys.add(*ends, run, np.packbits(made.key_one[: 8 * octets]).tobytes())
    finally:
        keys.close()
    return 8 * octets


def _explained(made: "KeyResult") -> str:
    match made.verdict:
        case "too short":
            return (
                f"no key: {made.key_bits} key bits and {made.test_bits} test bits are too few at an error "
                f"rate of {made.test_error_rate:.3f} in X (finite-key formula); ask for more pairs"
            )
        case "too many errors":
            return f"no key: the error rate {made.test_error_rate:.3f} in X is above the agreed one"
        case _:
            return "no key: the strings still differ after the correction"


def _lines(report: dict[str, Any]) -> list[str]:
    def rate(basis: str) -> str:
        expected = report[f"error_rate_{basis}_expected"]
        told = "" if expected is None else f" (the World expects {expected:.4f})"
        error = report[f"error_rate_{basis}_error"]
        spread = "" if error is None else f" +- {error:.4f}"
        return f"{basis.upper()} {report[f'error_rate_{basis}']:.4f}{spread}{told}"

    efficiency = report["efficiency"]
    return [
        f"  sifted: {report['sifted_key_bits']} key bits (Z), {report['sifted_test_bits']} test bits (X)",
        f"  error rates: {rate('x')}, {rate('z')}",
        f"  cascade: {report['disclosed_bits']} bits told in {report['correction_rounds']} rounds, f = "
        + ("-" if efficiency is None else f"{efficiency:.3f}"),
        f"secret key: {report['secret_bits']} bits ({report['stored_bits']} into the store), "
        f"{report['secret_bits_per_pair']:.3f} per pair; without end "
        f"{report['secret_bits_per_sifted_bit_without_end']:.3f} per sifted bit",
    ]
