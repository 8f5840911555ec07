"""What is said at the end of `bellwire demo` and `up`: for people as text, for programs as one document.

Owns both forms and the alarms. Refuses to gather: requests come from the picture, links and swaps from the
replayed machines where there was a replay, from the last status answers otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bellwire.cli.lab_status import LabStatus, fusion_counts, link_counts, swap_counts
from bellwire.cli.picture import LabPicture, RequestPicture

if TYPE_CHECKING:
    from bellwire.labs import Lab


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    lab: "Lab"
    run_dir: Path
    interrupted: bool  # by a signal, before or after its requests had ended
    restarts: Mapping[str, int]  # processes that ended by themselves and were started again
    replayed: Mapping[str, Any] | None  # None: no replay
    remark: str  # why there was no replay


def report(picture: LabPicture, status: LabStatus, ended: Ended) -> dict[str, Any]:
    """The summary, ready for JSON."""
    counters = _counters(status, ended)
    return {
        "lab": ended.lab.name,
        "run": str(ended.run_dir),
        "interrupted": ended.interrupted,
        "requests": picture.rows(),
        "swaps": swap_counts(counters),
        "fusions": fusion_counts(counters),
        "links": _links(picture, status, ended),
        "frame_errors": picture.frame_errors,
        "restarts": dict(ended.restarts),
        "replay": ended.replayed,
    }


def alarms(picture: LabPicture, ended: Ended) -> list[str]:
    """What must never be, one line each, for stderr."""
    lines = [
        f"WRONG FRAMES: {seen.frame_errors} of {len(seen.true_fidelities)} checked {seen.what} of request "
        f"{name} are in another {'Bell' if seen.what == 'pairs' else 'GHZ'} state than was reported"
        for name, seen in picture.requests.items()
        if seen.frame_errors
    ]
    if ended.replayed is not None and not ended.replayed["same"]:
        lines.append(f"REPLAY DIFFERS from what was recorded in {ended.run_dir}")
    return lines


def _counters(status: LabStatus, ended: Ended) -> Mapping[str, Mapping[str, Any]]:
    """Replayed machines count to the very end; a status answer is up to a second old."""
    if ended.replayed is not None and ended.replayed["same"]:
        found: Mapping[str, Mapping[str, Any]] = ended.replayed["counters"]
        return found
    return status.counters()


def _links(picture: LabPicture, status: LabStatus, ended: Ended) -> dict[str, dict[str, Any]]:
    active_s = _active_s(picture)
    return {
        name: {
            "station": ended.lab.network.links[name].station,
            **counts,
            "herald_rate_hz": counts["heralds"] / active_s if active_s else None,
        }
        for name, counts in link_counts(ended.lab, _counters(status, ended)).items()
    }


def _active_s(picture: LabPicture) -> float | None:
    """From the first delivery of any request to the last; None for fewer than two."""
    times = [at_ns for seen in picture.requests.values() for at_ns in seen.delivered_ns.values()]
    return (max(times) - min(times)) / 1e9 if len(times) > 1 else None


# --- for people ------------------------------------------------------------------------------------------


def show(picture: LabPicture, status: LabStatus, ended: Ended) -> None:
    """Print the summary."""
    from rich.text import Text

    from bellwire.cli import show as shown
    from bellwire.cli.places import near

    counters = _counters(status, ended)
    swaps, fusions = swap_counts(counters), fusion_counts(counters)
    closing: list[tuple[str, str]] = [
        ("swaps", _counted(swaps)),
        *([("fusions", _counted(fusions))] if fusions["tried"] else []),
        *[("restarted", f"{name} {count} times") for name, count in ended.restarts.items()],
        ("recorded in", near(ended.run_dir)),
        ("replay", _replay(ended)),
    ]
    alarm = [Text(line, style="bold red") for line in alarms(picture, ended)]
    shown.write(
        *(_paragraph(_title(seen), _lines(seen)) for seen in picture.requests.values()),
        shown.table(
            "Links",
            ["link", "station", "heralds", "heralds/s", "unusable halves", "unknown lanes"],
            [
                [
                    name,
                    one["station"],
                    one["heralds"],
                    _one(one["herald_rate_hz"]),
                    one["unusable"],
                    one["unknown"],
                ]
                for name, one in _links(picture, status, ended).items()
            ],
        ),
        _paragraph("Run", closing),
        *alarm,
    )


def _counted(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())


def _paragraph(title: str, lines: list[tuple[str, str]]) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for name, text in lines:
        grid.add_row(Text(name, no_wrap=True), Text(text))
    return Group(Text(title, style="bold"), grid)


def _title(seen: RequestPicture) -> str:
    why = f": {seen.error}" if seen.error else ""
    return f"Request {seen.request.request_id} {seen.status.replace('_', ' ')}{why}"


def _lines(seen: RequestPicture) -> list[tuple[str, str]]:
    row = seen.row()
    latency: dict[str, float | None] = row["latency_s"]
    asked = f" of {seen.request.count}" if seen.request.count is not None else ""
    earlier = f", {seen.earlier} more by earlier runs with this state folder" if seen.earlier else ""
    taken_back = f", {row['voided']} taken back" if row["voided"] else ""
    lines = [("mode", seen.request.generation_mode)]
    if seen.what != "pairs":
        lines.append(("members", ", ".join(seen.request.target_nodes)))
    lines.append((seen.what, f"{seen.delivered}{asked} delivered{earlier}{taken_back}"))
    if seen.corrections:
        lines.append(("corrected", _corrections(seen)))
    if not seen.delivered_ns:
        return lines
    plan_hz = row["predicted_rate_hz"]
    share = f" ({row['rate_hz'] / plan_hz:.0%} of it)" if plan_hz and row["rate_hz"] else ""
    measured = f", by measured figures of {', '.join(seen.measured_links)}" if seen.measured_links else ""
    lines += [
        (
            "rate",
            f"{_one(row['rate_hz'])} {seen.what}/s from the first one on, "
            f"{_one(row['rate_from_submission_hz'])} from submission; plan {_one(plan_hz)}{share}{measured}",
        ),
        (
            "fidelity",
            f"{_spread(row['fidelity_mean'], row['fidelity_standard_error'])} as the network estimated, "
            f"{_truth(row)}; plan {_three(row['fidelity_predicted'])}",
        ),
        (
            "latency",
            ", ".join(f"{name} {_milliseconds(value)}" for name, value in latency.items())
            + f" between {seen.what}; the first {_milliseconds(row['first_pair_s'])} after submission",
        ),
        ("frames", _frames(row)),
    ]
    return lines


def _corrections(seen: RequestPicture) -> str:
    names = [one["action"].replace("_", " ") for one in seen.corrections]
    return f"{', '.join(names)}; the last because {seen.corrections[-1]['reason']}"


def _truth(row: Mapping[str, Any]) -> str:
    if not row["frames_checked"]:
        return "truth not known (only emulated instruments tell it)"
    truth = _spread(row["fidelity_true_mean"], row["fidelity_true_standard_error"])
    return f"{truth} as the emulated world knows"


def _frames(row: Mapping[str, Any]) -> str:
    if not row["frames_checked"]:
        return "not checked (only emulated instruments can)"
    return f"{row['frame_errors']} wrong of {row['frames_checked']} checked against the emulated world"


def _replay(ended: Ended) -> str:
    found = ended.replayed
    if found is None:
        return ended.remark
    what = f"{found['steps']} steps of {len(found['machines'])} machines, {len(found['ledgers'])} ledgers"
    return f"{what}: {'all the same' if found['same'] else 'NOT THE SAME'}"


def _spread(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" + ("" if error is None else f" ± {error:.4f}")


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _one(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _milliseconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s * 1e3:.1f} ms"
