"""`bellwire ping`: can two neighbours entangle at the stated fidelity now?

Owns the command and its words. Refuses the test and its course (link_layer/quantum_ping.py, runtime/pings.py,
simulator_backend/pings.py).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.create import joining
from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bellwire.core.topology_messages import LinkVerification
    from bellwire.labs import Lab
    from bellwire.link_layer.quantum_ping import QuantumPing

CREATE_IDS = 1 << 16
ROUND_PAIRS_MAX = 12


def ping(
    lab: LabArgument,
    source: Annotated[str | None, typer.Argument(metavar="A", help="Node that asks.")] = None,
    target: Annotated[
        str | None, typer.Argument(metavar="B", help="Its neighbour at the other end of a link.")
    ] = None,
    all_links: Annotated[bool, typer.Option("--all", help="Every link, one after the other.")] = False,
    count: Annotated[int, typer.Option("--count", help="Pairs at most.")] = 240,
    fidelity: Annotated[
        float | None, typer.Option("--fidelity", help="Wanted; default: as stated, less the error of that.")
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", help="A link worse by so much is to be told from a good one.")
    ] = 0.15,
    false_no: Annotated[float, typer.Option("--false-no", help='Chance to say "no" of a good link.')] = 0.05,
    false_yes: Annotated[
        float, typer.Option("--false-yes", help='Chance to say "yes" of one worse by the margin.')
    ] = 0.05,
    within_s: Annotated[
        float, typer.Option("--within-s", metavar="SECONDS", help="Time for each link.")
    ] = 20.0,
    virtual: Annotated[bool, typer.Option("--virtual", help="In virtual time; no lab need run.")] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of the bases and, in virtual time, of all.")
    ] = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Measure a few pairs of a link: does it entangle at the stated fidelity now?"""
    import secrets

    from bellwire.labs import load_lab
    from bellwire.link_layer.estimation.ping import FIDELITY_RANGE, PingTest
    from bellwire.link_layer.quantum_ping import QuantumPing, readout_contrast, stated_fidelity
    from bellwire.planner.advertised import FILE_FIDELITY_ERROR

    if not 0.0 < within_s < float("inf"):
        raise ConfigError(f"--within-s {within_s:g}: give a number of seconds above 0")
    if all_links != (source is None) or (source is None) != (target is None):
        raise ConfigError("give two neighbours, or --all for every link")
    loaded = load_lab(find_lab(lab), live=not virtual)
    network = loaded.network
    if source is None or target is None:
        ways = [(link.nodes[0], name) for name, link in network.links.items()]
    else:
        ways = [(source, joining(network, source, target, where=lab))]
    chosen = secrets.randbits(32) if seed is None else seed
    asked: list[QuantumPing] = []
    for number, (origin, name) in enumerate(ways):
        link = network.links[name]
        wanted = fidelity
        if wanted is None:
            # A link that misses its stated fidelity by the error that the statement has itself is as stated.
            error = FILE_FIDELITY_ERROR if link.fidelity_error is None else link.fidelity_error
            wanted = min(stated_fidelity(link) - error, FIDELITY_RANGE[1])
        test = PingTest(
            fidelity=wanted,
            margin=margin,
            false_no=false_no,
            false_yes=false_yes,
            pairs_max=count,
            round_pairs=min(count, ROUND_PAIRS_MAX),
            contrast=readout_contrast(network, link),
        )
        first = (chosen + 3 * number) % (CREATE_IDS - 3)
        asked.append(QuantumPing(network=network, link=link, origin=origin, test=test, first_create=first))
    run = _virtually if virtual else _live
    documents: list[dict[str, Any]] = []
    for one, found in run(loaded, asked, state, chosen, within_s):
        documents.append(_document(one, found, chosen))
        if not as_json:
            typer.echo(_words(documents[-1]))
    if as_json:
        typer.echo(json.dumps({"lab": loaded.name, "links": documents} if all_links else documents[0]))
    if any(document["verdict"] != "yes" for document in documents):
        raise typer.Exit(UNSUCCESSFUL)


def _bases(seed: int) -> "Iterator[int]":
    """Bases without end, with equal chances."""
    from random import Random

    chance = Random(seed)
    while True:
        yield chance.randrange(3)


def _live(
    _lab: "Lab", asked: "list[QuantumPing]", state: Path, seed: int, within_s: float
) -> "Iterator[tuple[QuantumPing, LinkVerification]]":
    import asyncio

    from bellwire.runtime.pings import ping as ping_live

    bases = _bases(seed)
    for one in asked:
        yield one, asyncio.run(ping_live(state, one, bases, within_s))


def _virtually(
    lab: "Lab", asked: "list[QuantumPing]", _state: Path, seed: int, within_s: float
) -> "Iterator[tuple[QuantumPing, LinkVerification]]":
    from functools import partial

    from bellwire.core.units import ns_from_s
    from bellwire.planner.plans import compute_plan
    from bellwire.simulator_backend.host import VirtualHost
    from bellwire.simulator_backend.pings import ping as ping_virtually

    host = VirtualHost(lab, seed, partial(compute_plan, lab.network))
    host.start()
    bases = _bases(seed)
    for one in asked:
        yield one, ping_virtually(host, one, bases, ns_from_s(within_s))


def _document(asked: "QuantumPing", found: "LinkVerification", seed: int) -> dict[str, Any]:
    from bellwire.link_layer.estimation.counts import BASES

    test = asked.test
    good, bad = test.chances(test.fidelity), test.chances(test.fidelity_bad)
    return {
        "link": asked.link.link,
        "from": asked.origin,
        "to": asked.partner,
        "verdict": found.verdict,
        "reason": asked.reason or None,
        "pairs": found.pairs,
        "fidelity": found.fidelity if found.pairs else None,
        "fidelity_low": found.fidelity_low,
        "fidelity_high": found.fidelity_high,
        "qber": {
            basis: {
                "pairs": one.tests,
                "errors": one.errors,
                "qber": one.errors / one.tests if one.tests else None,
            }
            for basis, one in zip(BASES, asked.counts.bases, strict=True)
        },
        "test": {
            "fidelity_wanted": test.fidelity,
            "fidelity_bad": test.fidelity_bad,
            "pairs_max": test.pairs_max,
            "round_pairs": test.round_pairs,
            "readout_contrast": test.contrast,
            "false_no": good.no,
            "undecided_if_good": good.undecided,
            "pairs_expected_if_good": good.pairs,
            "false_yes": bad.yes,
            "undecided_if_bad": bad.undecided,
            "pairs_expected_if_bad": bad.pairs,
        },
        "seed": seed,
    }


def _words(document: dict[str, Any]) -> str:
    test = document["test"]
    lines = [
        f"{document['link']} ({document['from']} - {document['to']}): {document['verdict']}, fidelity "
        f"{test['fidelity_wanted']:.3f} wanted"
    ]
    if document["pairs"]:
        qbers = "  ".join(
            f"{basis} {one['errors']}/{one['pairs']}" for basis, one in document["qber"].items()
        )
        lines.append(
            f"  {document['pairs']} pairs, errors {qbers}; fidelity {document['fidelity']:.3f}, "
            f"95 % interval {document['fidelity_low']:.3f} .. {document['fidelity_high']:.3f}"
        )
    if document["reason"]:
        lines.append(f"  {document['reason']}")
    lines.append(
        f"  this test says no of a link of {test['fidelity_wanted']:.3f} with a chance of "
        f"{test['false_no']:.3f}, and yes of one of {test['fidelity_bad']:.3f} with {test['false_yes']:.3f}"
    )
    return "\n".join(lines)
