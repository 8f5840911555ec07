"""The map of links as tables: what each is, its operating points, what was measured of it.

Owns the looks of `bellwire links`. Refuses to compute: it is given the command's document.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bellwire.cli import show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bellwire.cli.show import Cell

Links = Mapping[str, Mapping[str, Any]]

DRIFTS_SHOWN = 5
"""Of each link, the latest ones."""


def show_links(document: Mapping[str, Any]) -> "list[RenderableType]":
    """All tables and lines of a document, in order."""
    links: Links = document["links"]
    parts: list[RenderableType] = [_links(document["lab"], links), _points(links)]
    if document["live"]:
        parts += [_measured(links), _counters(links), *_drifts(links), *_obstacles(links)]
    return parts


def show_document(document: Mapping[str, Any]) -> None:
    """Print a document."""
    show.write(*show_links(document))


def _links(lab: str, links: Links) -> "RenderableType":
    return show.table(
        f"Links of {lab}",
        [
            "link",
            "between",
            "station",
            "architecture",
            "km",
            "lanes",
            "period us",
            "scheduler",
            "memory",
            "tests",
        ],
        [
            [
                name,
                " ".join(one["nodes"]),
                one["station"],
                one["architecture"].replace("_", " "),
                one["length_km"],
                one["lanes"],
                one["attempt_period_us"],
                one["scheduler"].replace("_", " "),
                memory_in_words(one),
                f"{one['test_share']:.1%}" if one["test_share"] else None,
            ]
            for name, one in links.items()
        ],
    )


def memory_in_words(one: Mapping[str, Any]) -> str:
    """Whose memories a link uses: its own, or a bank that it shares, with turns where there are any."""
    if not one["shared_at"]:
        return "own"
    turns = "" if one["turn_ms"] is None else f", {one['turns']} turns of {one['turn_ms']:g} ms"
    return f"shared at {' and '.join(one['shared_at'])}{turns}"


def _points(links: Links) -> "RenderableType":
    return show.table(
        "Operating points, as the lab file says (all lanes free)",
        ["link", "point", "settings", "success per attempt", "pairs/s", "fidelity"],
        [
            [
                name,
                point["name"],
                ", ".join(f"{key} {value:g}" for key, value in point["settings"].items()) or None,
                point["success_probability"],
                point["rate_hz"],
                show.fidelity(point["fidelity"]),
            ]
            for name, one in links.items()
            for point in one["points"]
        ],
    )


def _obstacles(links: Links) -> Iterator[str]:
    for name, one in links.items():
        for obstacle in one["obstacles"] or ():
            yield f"{name} heralds nothing: {obstacle}"


def _measured(links: Links) -> "RenderableType":
    rows: list[list[Cell]] = []
    for name, one in links.items():
        measured = one["measured"]
        if measured is None:
            rows.append([name, "does not answer", *[None] * 8])
            continue
        for figures in measured["figures"]:
            in_force = measured["point"] == figures["point"]
            rows.append(
                [
                    name,
                    figures["name"],
                    "yes" if in_force else "no",
                    _success(figures),
                    figures["measured"],
                    _interval(figures),
                    figures["tested"],
                    None if figures["age_s"] is None else f"{figures['age_s']:.1f}",
                    f"{measured['duty']:.0%}",
                    " ".join(measured["wanted_by"]) or None,
                ]
            )
    return show.table(
        "Measured (fidelity with its 95 % interval; what was not measured is as modelled)",
        [
            "link",
            "point",
            "in force",
            "success",
            "heralds",
            "fidelity",
            "tests",
            "age s",
            "of the time",
            "for",
        ],
        rows,
    )


def figures_table(links: Mapping[str, Sequence[Mapping[str, Any]]]) -> "RenderableType | None":
    """What a simulation's links have measured; None when none has."""
    rows: list[list[Cell]] = [
        [name, one["name"], _success(one), one["measured"], _interval(one), one["tested"]]
        for name, figures in links.items()
        for one in figures
        if one["measured"] or one["tested"]
    ]
    columns = ["link", "point", "success", "heralds", "fidelity", "tests"]
    return show.table("Measured by the links themselves", columns, rows) if rows else None


def _success(figures: Mapping[str, Any]) -> str:
    if not figures["measured"] and not figures["success_error"]:
        return f"{figures['success_probability']:.3g} (modelled)"
    return f"{figures['success_probability']:.3g} ± {figures['success_error']:.1g}"


def _interval(figures: Mapping[str, Any]) -> str:
    if not figures["tested"]:
        return f"{figures['fidelity']:.3f} (modelled)"
    return f"{figures['fidelity']:.3f} in {figures['fidelity_low']:.3f} to {figures['fidelity_high']:.3f}"


def _counters(links: Links) -> "RenderableType":
    return show.link_table(
        {name: one["measured"]["counters"] for name, one in links.items() if one["measured"] is not None}
    )


def _drifts(links: Links) -> Iterator[str]:
    for name, one in links.items():
        if one["measured"] is None:
            continue
        for drift in one["measured"]["drifts"][-DRIFTS_SHOWN:]:
            point = one["points"][drift["point"]]["name"]
            yield (
                f"{name} drifted at operating point {point}, {drift['age_s']:.0f} s ago: "
                f"fidelity {drift['fidelity_before']:.3f}, then {drift['fidelity_after']:.3f} "
                f"({drift['fidelity_low']:.3f} to {drift['fidelity_high']:.3f}, {drift['tests']} tests)"
            )
