"""`bellwire tune`: the best swapping policy for a route, found offline in the model of the route.

Owns the command, its choice of route, and what it prints. Refuses the search (study/tuning.py) and the file
(labs/tunings.py).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bellwire.api.extras import study_extra
from bellwire.cli.places import JsonOption, find_lab
from bellwire.cli.plan_progress import Told, worked

if TYPE_CHECKING:
    from bellwire.labs.lab import Lab
    from bellwire.labs.tunings import Tuning


def tune(
    lab: Annotated[
        str | None,
        typer.Argument(metavar="[LAB]", help="Lab file (YAML), or the name of one in lab_configs."),
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", metavar="FILE", help="The same as LAB, for scripts.")
    ] = None,
    route: Annotated[
        str | None, typer.Option("--route", metavar="A,B,C", help="Nodes of the route, ends included.")
    ] = None,
    request: Annotated[
        str | None, typer.Option("--request", metavar="ID", help="The request whose route is tuned.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Chance of the search.")] = 1,
    deliveries: Annotated[
        int, typer.Option("--deliveries", min=1, metavar="N", help="Simulated in the race of settings.")
    ] = 24_000,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write a tuning file, which a request names by `tuning:`."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Calibrate the score-based policy for a route, and say what it gains over fixed trees.

    Without --route or --request the lab's only request is taken.
    """
    from bellwire.core.errors import ConfigError
    from bellwire.labs import load_lab
    from bellwire.labs.tunings import write_tuning

    if (lab is None) == (network is None):
        raise ConfigError("name one lab file: bellwire tune LAB, or --network FILE")
    loaded = load_lab(find_lab(lab or network or ""))
    nodes = _route(loaded, route, request)

    def search(told: Told) -> "Tuning":
        with study_extra():
            from bellwire.study.route_model_numbers import route_of
            from bellwire.study.tuning import tune as tuned
        return tuned(route_of(loaded.network, nodes), seed=seed, deliveries=deliveries, told=told)

    found = worked("compiling the model of a route", search)
    if out is not None:
        write_tuning(found, out)
    if as_json:
        typer.echo(json.dumps(_document(found)))
    else:
        _show(found, out)


def _route(lab: "Lab", route: str | None, request: str | None) -> tuple[str, ...]:
    from bellwire.core.errors import ConfigError
    from bellwire.core.registry import nearest
    from bellwire.planner.routes import candidate_routes
    from bellwire.planner.usable import usable_network

    if route is not None and request is not None:
        raise ConfigError("--route and --request name the same thing; give one")
    if route is not None:
        nodes = tuple(name.strip() for name in route.split(","))
        for name in nodes:
            if name not in lab.network.nodes:
                raise ConfigError(f'no node "{name}" in the lab{nearest(name, lab.network.nodes)}')
        return nodes
    known = {one.request_id: one for one in lab.requests}
    if request is None and len(known) != 1:
        raise ConfigError(f"the lab has {len(known)} requests: say which by --request, or give --route")
    name = next(iter(known)) if request is None else request
    if name not in known:
        raise ConfigError(f'no request "{name}" in the lab{nearest(name, known)}')
    found = candidate_routes(usable_network(lab.network), known[name])
    if isinstance(found, str):
        raise ConfigError(found)
    return found[0].nodes


def _document(found: "Tuning") -> dict[str, object]:
    import msgspec

    document: dict[str, object] = msgspec.to_builtins(found)
    return document | {"gain_over_strongest_tree": found.gain, "gain_over_matched_tree": _ratio(found)}


def _ratio(found: "Tuning") -> float:
    return found.rate_hz / found.matched_rate_hz


def _show(found: "Tuning", out: Path | None) -> None:
    lines = [
        ("policy", found.mode),
        ("default tree", found.tree),
        ("predicted rate", _rate(found.rate_hz, found.rate_error_hz)),
        ("strongest fixed tree", _rate(found.tree_rate_hz, found.tree_rate_error_hz)),
        ("rate-matched tree", _rate(found.matched_rate_hz, found.matched_rate_error_hz)),
        ("bound of any policy", f"{found.bound_hz:.4g} /s"),
    ]
    gains = (
        ("gain over strongest", found.gain, found.tree_rate_error_hz / found.tree_rate_hz),
        ("gain over matched", _ratio(found), found.matched_rate_error_hz / found.matched_rate_hz),
    )
    for name, ratio, error in gains:
        both = ratio * ((found.rate_error_hz / found.rate_hz) ** 2 + error**2) ** 0.5
        lines.append((name, "1, the tree itself" if ratio == 1.0 else f"{ratio:.3f} +- {both:.3f}"))
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        typer.echo(f"{name:<{width}}  {text}")
    if out is not None:
        typer.echo(f"{'written to':<{width}}  {out}")


def _rate(rate_hz: float, error_hz: float) -> str:
    return f"{rate_hz:.4g} +- {error_hz:.2g} /s"
