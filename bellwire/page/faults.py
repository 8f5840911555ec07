"""What is wrong now, why, and what to do: the list that an operator works down, and the verdict above it.

Owns the order (what stops pairs first), the remedies, and the one sentence that says whether all is well.
Refuses detection: it reads what agents, links and requests say of themselves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bellwire.cli.lab_status import LabStatus
from bellwire.core.ids import LinkId, NodeId
from bellwire.page.heard import Heard
from bellwire.page.values import Row, Shown, Tone

SHOWN: Final = 20

COLUMNS: Final = (("what", "What"), ("since", "Since"), ("remedy", "What to do"))


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it should be. `key` stays the same while it lasts."""

    key: str
    tone: Tone
    what: str
    remedy: str


REMEDIES: Final[Mapping[str, str]] = {
    "absent": "Switch it on and check the cable and the address in the lab file; the agent keeps trying.",
    "connecting": "Wait a moment. If it stays so, check power, cable and the address in the lab file.",
    "lost": "Check power and cable. The agent connects again by itself as soon as it answers.",
    "desync": "It has lost its time base: check the 10 MHz and 1 PPS inputs; the agent arms it again.",
    "refused": "Another instrument answers at this address: compare serial numbers with the lab file.",
    "due": "Calibrate the link (button at the link, or `bellwire calibrate LAB LINK --due`).",
}
SILENT: Final = (
    "Look whether its process runs and what its log ends with. `bellwire up` restarts it by itself; on a "
    "computer of its own start `bellwire node` there."
)
DARK: Final = "Is the lab up? Start it with `bellwire up LAB`, with the same --state as this server."
UNHEARD: Final = (
    "Both run but do not reach each other: check the network and the firewall between them, and whether "
    "their keys are trusted (`bellwire keys list`)."
)
FAILED: Final = "Read the reason; ask again with other terms, or mend what it names."
SUSPENDED: Final = "It goes on by itself when the time is over; Resume makes it go on now."
FULL: Final = "Messages pile up, so no new attempts begin: look for a slow or absent peer."


def faults_of(
    heard: Heard, status: LabStatus, requests: Sequence[Row], asked: Iterable[NodeId]
) -> list[Fault]:
    """All that is wrong, the worst first. `requests`: rows that are not over, or have just failed."""
    nodes = list(asked)
    if nodes and all(node in heard.silent for node in nodes):
        return [Fault("dark", Tone.BAD, f"None of the {len(nodes)} agents of this lab answers", DARK)]
    found = [Fault(f"silent {node}", Tone.BAD, f"{node} does not answer", SILENT) for node in heard.silent]
    for node, answer in status.counters().items():
        found += _of_node(node, answer, heard)
    for row in requests:
        word = row.cells["status"]
        assert isinstance(word, Shown)
        if row.tone is Tone.BAD:
            found.append(
                Fault(f"request {row.key}", Tone.WARN, f"{row.key} has failed: {word.title}", FAILED)
            )
        elif word.text == "suspended":
            found.append(Fault(f"request {row.key}", Tone.WARN, f"{row.key} is suspended", SUSPENDED))
    order = (Tone.BAD, Tone.WARN)
    return sorted(found, key=lambda fault: order.index(fault.tone))[:SHOWN]


def _of_node(node: NodeId, answer: Mapping[str, object], heard: Heard) -> list[Fault]:
    found: list[Fault] = []
    instruments = answer.get("instruments")
    if isinstance(instruments, Mapping):
        for name, state in instruments.items():
            condition = state["condition"]
            if condition != "ready":
                why = f": {state['reason']}" if state["reason"] else ""
                tone = Tone.WARN if condition == "connecting" else Tone.BAD
                remedy = REMEDIES.get(condition, REMEDIES["lost"])
                found.append(Fault(f"instrument {name}", tone, f"{name} is {condition}{why}", remedy))
    peers = answer.get("peers")
    if isinstance(peers, Mapping):
        for peer, state in peers.items():
            if state != "up" and peer not in heard.silent:
                found.append(Fault(f"peer {node} {peer}", Tone.BAD, f"{node} does not hear {peer}", UNHEARD))
    if answer.get("congested"):
        found.append(Fault(f"outbox {node}", Tone.WARN, f"the outbox of {node} is full", FULL))
    return found


class Standing:
    """Faults over time: since when each is there."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}

    def rows(self, faults: Sequence[Fault], now_ns: int) -> list[Row]:
        """Rows of the table."""
        self._since = {fault.key: self._since.get(fault.key, now_ns) for fault in faults}
        return [
            Row(
                fault.key,
                {
                    "what": Shown(fault.what, fault.tone),
                    "since": Shown("", at_ns=self._since[fault.key], with_age=True),
                    "remedy": Shown(fault.remedy),
                },
                tone=fault.tone,
            )
            for fault in faults
        ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The one sentence, and what stands below it."""

    tone: Tone
    sentence: str
    details: str


def verdict_of(
    faults: Sequence[Fault],
    links: Mapping[LinkId, Tone],
    running: int,
    rate_hz: float | None,
) -> Verdict:
    """Whether all is well. `running`: requests that are served now; `rate_hz`: pairs delivered to them."""
    ready = sum(1 for tone in links.values() if tone is Tone.GOOD)
    parts = [
        f"{ready} of {len(links)} {'link' if len(links) == 1 else 'links'} ready",
        "no request is running"
        if not running
        else f"{running} {'request' if running == 1 else 'requests'} running",
    ]
    if running and rate_hz is not None:
        rate = f"{rate_hz:,.0f}" if rate_hz >= 100 else f"{rate_hz:.3g}"
        parts.append(f"{rate} pairs per second delivered")
    details = " · ".join(parts)
    bad = [fault for fault in faults if fault.tone is Tone.BAD]
    if faults and faults[0].key == "dark":
        return Verdict(Tone.OFF, "No word from the lab", faults[0].what)
    if bad:
        return Verdict(Tone.BAD, _count(len(bad), "fault"), details)
    if any(tone is Tone.BUSY for tone in links.values()):
        return Verdict(Tone.BUSY, "Starting", details)
    if faults:
        return Verdict(Tone.WARN, f"{_count(len(faults), 'thing')} to look at", details)
    return Verdict(Tone.GOOD, "All is well", details)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
