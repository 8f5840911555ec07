"""Instruments as they are shown: condition, and every reading with its age and quality.

Owns the words. Refuses to read anything from an instrument: readings are the agents' latest.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bellwire.core.ids import NodeId
from bellwire.page.heard import Heard
from bellwire.page.values import Row, Shown, Tone

READINGS_SHOWN: Final = 4
READING_GOOD_FOR_S: Final = 30.0
STATE_GOOD_FOR_S: Final = 5.0

COLUMNS: Final = (
    ("instrument", "Instrument"),
    ("node", "At"),
    ("state", "State"),
    ("readings", "Values"),
)
TONES: Final[Mapping[str, Tone]] = {
    "ready": Tone.GOOD,
    "connecting": Tone.BUSY,
    "due": Tone.WARN,
    "desync": Tone.WARN,
}


def instrument_rows(heard: Heard) -> list[Row]:
    """One row for each instrument that has values or is in trouble, the latter first, and one row for all
    others: they are ready, and there is nothing else to say of them."""
    rows: list[Row] = []
    quiet: dict[str, list[NodeId]] = {}
    quiet_ns: list[int] = []
    for node, word in heard.status.items():
        devices = heard.devices.get(node)
        described = {} if devices is None else {one["full_name"]: one for one in devices.answer}
        for name, state in word.answer.get("instruments", {}).items():
            told = described.get(name)
            if state["condition"] == "ready" and (told is None or not told["readings"]):
                quiet.setdefault(name.removeprefix(f"{node}-"), []).append(node)
                quiet_ns.append(word.at_ns)
            else:
                rows.append(_row(heard, node, name, state, word.at_ns, told))
    rows.sort(key=lambda row: row.tone is Tone.GOOD)
    return [*rows, _others(quiet, quiet_ns, "All others" if rows else "All")] if quiet else rows


def _others(quiet: Mapping[str, Sequence[NodeId]], at_ns: Sequence[int], who: str) -> Row:
    """Those of which one word is enough; it is as old as the oldest that was heard."""
    return Row(
        "others",
        {
            "instrument": Shown(who),
            "node": Shown(f"{len({node for nodes in quiet.values() for node in nodes})} places"),
            "state": Shown("ready", Tone.GOOD, min(at_ns), STATE_GOOD_FOR_S),
            "readings": Shown("; ".join(f"{name} at {', '.join(nodes)}" for name, nodes in quiet.items())),
        },
        tone=Tone.GOOD,
    )


def _row(
    heard: Heard,
    node: NodeId,
    name: str,
    state: Mapping[str, str],
    at_ns: int,
    described: Mapping[str, Any] | None,
) -> Row:
    condition = state["condition"]
    tone = TONES.get(condition, Tone.BAD)
    readings = [] if described is None else [_reading(heard, one) for one in described["readings"]]
    hidden = len(readings) - READINGS_SHOWN
    if hidden > 0:
        readings = [*readings[:READINGS_SHOWN], Shown(f"and {hidden} more")]
    return Row(
        name,
        {
            "instrument": Shown(
                name.removeprefix(f"{node}-"), title="" if described is None else described["model"]
            ),
            "node": Shown(node),
            "state": Shown(
                condition,
                tone,
                at_ns,
                STATE_GOOD_FOR_S,
                title=state["reason"] if condition != "ready" else "",
            ),
            "readings": readings or "",
        },
        tone=tone,
    )


def _reading(heard: Heard, told: Mapping[str, Any]) -> Shown:
    value = told["value"]
    words = "unknown" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)
    return Shown(
        f"{told['parameter'].replace('_', ' ')} {words} {told['unit']}".rstrip(),
        at_ns=heard.unix_ns(told["taken_at_ns"]),
        good_for_s=READING_GOOD_FOR_S,
        suspect=told["quality"] != "good" or value is None,
        with_age=True,
    )
