"""Links as they are shown: state, heralds, fidelity, visibility, who wants them.

Owns which figure is shown and how old it is. Refuses verdicts (cli/lab_status.py) and estimates: fidelity is
the link end's own, a visibility a calibration's, or, where none was measured, what the fidelity implies for a
Werner state, (4 F - 1) / 3 (Werner, PRA 40, 4277 (1989)), and then it says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bellwire.cli.lab_status import LabStatus, Standing
from bellwire.core.ids import LinkId
from bellwire.core.settings import LinkSettings
from bellwire.page.heard import Heard, Word
from bellwire.page.history import LinkHistory
from bellwire.page.values import NOTHING, Row, Shown, Tone, rate_text

RATE_GOOD_FOR_S: Final = 5.0
STATE_GOOD_FOR_S: Final = 5.0
FIDELITY_GOOD_FOR_S: Final = 120.0

COLUMNS: Final = (
    ("link", "Link"),
    ("state", "State"),
    ("heralds", "Heralds"),
    ("line", "Last minute"),
    ("fidelity", "Fidelity"),
    ("visibility", "Visibility"),
    ("wanted", "In use by"),
)

REMARK: Final = (
    "As modelled: by the lab file, until pairs of the link are tested. Implied: of a Werner state of that "
    "fidelity, until a calibration measures the visibility."
)


@dataclass(frozen=True, slots=True)
class Visibility:
    """As a calibration has measured it."""

    value: float
    sigma: float
    at_ns: int
    good_for_s: float | None


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """The numbers of a link at one look; None: not known now."""

    heralds_hz: float | None
    fidelity: float | None
    visibility: float | None


def tone_of(standing: Standing, *, silent: bool) -> Tone:
    """Of a link or node."""
    if standing.state == "ready":
        return Tone.GOOD
    if standing.state == "starting":
        return Tone.BUSY
    return Tone.OFF if silent else Tone.BAD


def link_row(
    name: LinkId,
    link: LinkSettings,
    status: LabStatus,
    heard: Heard,
    visibility: Visibility | None,
    history: LinkHistory,
) -> tuple[Row, LinkFigures]:
    """The row of a link and its numbers."""
    standing = status.link(name)
    members = [node for node in (*link.nodes, link.station) if node is not None]
    silent = all(node in heard.silent for node in members)
    word = heard.links.get(link.nodes[0])
    rate_hz = status.herald_rate_hz(name) if link.nodes[0] not in heard.silent else None
    told = None if word is None else word.answer["links"].get(name)
    fidelity, value = _fidelity(told, word)
    seen, visible = _visibility(visibility, fidelity, value)
    tone = tone_of(standing, silent=silent)
    wanted = [] if told is None else told["wanted_by"]
    row = Row(
        name,
        {
            "link": Shown(name, title=f"{link.nodes[0]} – {link.nodes[1]}, {link.length_km:g} km"),
            "state": Shown(
                "no word" if silent else standing.state,
                tone,
                heard.at_ns,
                STATE_GOOD_FOR_S,
                title=standing.reason,
            ),
            "heralds": NOTHING
            if rate_hz is None
            else Shown(rate_text(rate_hz), at_ns=heard.at_ns, good_for_s=RATE_GOOD_FOR_S),
            "line": history.line(),
            "fidelity": fidelity,
            "visibility": seen,
            "wanted": Shown(", ".join(wanted) if wanted else "nobody")
            if told is not None and word is not None
            else NOTHING,
        },
        tone=tone,
    )
    return row, LinkFigures(rate_hz, value, visible)


def _fidelity(told: Mapping[str, Any] | None, word: Word | None) -> tuple[Shown, float | None]:
    if told is None or word is None or not told["figures"]:
        return NOTHING, None
    point = told["point"] if told["point"] is not None else 0
    figures = next((one for one in told["figures"] if one["point"] == point), told["figures"][0])
    value = float(figures["fidelity"])
    if not figures["tested"]:
        return Shown(f"{value:.3f} as modelled"), value
    low, high = figures["fidelity_low"], figures["fidelity_high"]
    return (
        Shown(
            f"{value:.3f} ({low:.3f} to {high:.3f})",
            at_ns=figures["at_ns"],
            good_for_s=FIDELITY_GOOD_FOR_S,
            with_age=True,
            title=f"95 % interval from {figures['tested']} tested pairs",
        ),
        value,
    )


def _visibility(
    measured: Visibility | None, fidelity: Shown, value: float | None
) -> tuple[Shown, float | None]:
    if measured is not None:
        return (
            Shown(
                f"{measured.value:.3f} ± {measured.sigma:.3f}",
                at_ns=measured.at_ns,
                good_for_s=measured.good_for_s,
                with_age=True,
                title="measured by a calibration",
            ),
            measured.value,
        )
    if value is None:
        return NOTHING, None
    implied = (4.0 * value - 1.0) / 3.0
    return (
        Shown(
            f"{implied:.3f} implied",
            at_ns=fidelity.at_ns,
            good_for_s=fidelity.good_for_s,
        ),
        implied,
    )
