"""The maps of a running lab as tables: one map where all agree, and beside it where they do not.

Owns the looks of `bellwire topology`. Refuses to compute: it is given the command's document.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bellwire.cli import show

if TYPE_CHECKING:
    from rich.console import RenderableType

Document = Mapping[str, Any]


def show_maps(document: Document) -> None:
    """Print a document."""
    from rich.text import Text

    maps: Mapping[str, Document] = document["maps"]
    first = next(iter(maps.values()))
    parts: list[RenderableType] = [
        _nodes(document["lab"], first),
        _links(document["lab"], first),
    ]
    if document["agree"]:
        said = f"all {len(maps)} agents agree (map {first['digest']}); as seen by {first['seen_by']}"
    else:
        said = f"as seen by {first['seen_by']}; the agents disagree:"
    parts.append(Text(said))
    parts += [Text(f"  {one}") for one in document["disagreements"]]
    parts += [Text(f"{name} does not answer") for name in document["silent"]]
    show.write(*parts)


def _nodes(lab: str, seen: Document) -> "RenderableType":
    return show.table(
        f"Nodes of {lab}",
        ["node", "state", "for s", "role", "links", "slots", "software", "announced", "reason"],
        [
            [
                name,
                one["state"],
                one["since_s"],
                one["role"],
                len(one["links"]),
                None if one["memory"] is None else one["memory"]["slots"],
                one["software"],
                None if one["announcement"] is None else f"{one['incarnation']}.{one['announcement']}",
                one["reason"] or None,
            ]
            for name, one in seen["nodes"].items()
        ],
    )


def _links(lab: str, seen: Document) -> "RenderableType":
    rows: list[list[show.Cell]] = []
    for name, one in seen["links"].items():
        claims = list(one["claims"].values())
        found = one["verification"]
        rows.append(
            [
                name,
                None if one["nodes"] is None else " ".join(one["nodes"]),
                one["state"],
                one["since_s"],
                _rate_hz(claims[0]) if claims else None,
                show.fidelity(claims[0]["points"][0]["fidelity"]) if claims else None,
                None if found is None else f"{found['verdict']} {show.fidelity(found['fidelity'])}",
                None if found is None else found["age_s"],
                one["reason"] or None,
            ]
        )
    return show.table(
        f"Links of {lab}",
        ["link", "between", "state", "for s", "Hz", "fidelity", "ping", "age s", "reason"],
        rows,
    )


def _rate_hz(claim: Document) -> float:
    """Heralds per second of all lanes at the dimmest operating point, as announced."""
    attempts_hz: float = claim["lanes"] * 1e9 / claim["period_ns"]
    success_probability: float = claim["points"][0]["success_probability"]
    return attempts_hz * success_probability
