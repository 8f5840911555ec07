"""Everything that the page shows of a lab at one moment, made once for all who look.

Owns the order of making it: looks come in, one `LabView` comes out. Refuses asking (watch.py) and browsers;
what differs from person to person (orders on requests) is added for each by `rows_for`.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bellwire.cli.lab_status import LabStatus
from bellwire.core.ids import LinkId
from bellwire.northbound.requests import FINAL_STATES
from bellwire.northbound.store import KeptNotification, KeptRequest
from bellwire.northbound.tokens import Principal
from bellwire.page import map_drawing
from bellwire.page.calibrations import Calibrated, calibration_rows, expiry_sentence, visibility_in
from bellwire.page.faults import Fault, Standing, Verdict, faults_of, verdict_of
from bellwire.page.heard import Heard, Look
from bellwire.page.history import LinkHistory
from bellwire.page.instruments import instrument_rows
from bellwire.page.ledger import LedgerView, ledger_view
from bellwire.page.links import LinkFigures, link_row, tone_of
from bellwire.page.map_drawing import LinkMark, NodeMark
from bellwire.page.places import places_of
from bellwire.page.requests import Happening, RequestNews, ordered, orders_for, request_row
from bellwire.page.schedule import ScheduleView, Slot, schedule_view, slots_of, slots_of_cycle
from bellwire.page.values import Order, Row, Shown, Tone

if TYPE_CHECKING:
    from bellwire.labs import Lab

FAILED_LATELY_NS: Final = 600_000_000_000
"""A request that failed is a thing to look at for so long."""
RATE_WINDOW: Final = 5
"""Looks over which delivered pairs are counted for the rate of the whole lab."""
REQUEST_GOOD_FOR_S: Final = 6.0


@dataclass(frozen=True, slots=True)
class LabView:
    """One moment. `revision` counts views."""

    revision: int
    at_ns: int
    verdict: Verdict
    faults: tuple[Row, ...]
    map_wide: str
    map_tall: str
    map_rows: tuple[Row, ...]
    requests: tuple[KeptRequest, ...]
    request_rows: tuple[Row, ...]
    links: tuple[Row, ...]
    ledger: LedgerView
    schedule: ScheduleView
    instruments: tuple[Row, ...]
    calibrations: tuple[Row, ...]
    calibration_sentence: str
    happenings: tuple[Happening, ...]

    def rows_for(self, who: Principal) -> list[Row]:
        """Requests with the orders that this person may give."""
        return [
            Row(row.key, row.cells, orders_for(one, who), row.tone)
            for row, one in zip(self.request_rows, self.requests, strict=True)
        ]


class LabModel:
    """What is known of one lab while its page is served."""

    def __init__(self, lab: "Lab") -> None:
        self.lab = lab
        self.heard = Heard()
        self.news = RequestNews()
        self.histories = {name: LinkHistory() for name in lab.network.links}
        self.calibrated: Mapping[LinkId, Calibrated] = {}
        self._status = LabStatus(lab)
        self._places = places_of(lab.network, lab.document)
        self._standing = Standing()
        self._figures: dict[LinkId, LinkFigures] = {}
        self._delivered: deque[tuple[int, Mapping[str, int]]] = deque(maxlen=RATE_WINDOW)
        self._revision = 0

    def take(
        self,
        look: Look,
        requests: Sequence[KeptRequest],
        told: Sequence[KeptNotification],
        calibrated: Mapping[LinkId, Calibrated] | None = None,
    ) -> LabView:
        """One look at the lab; `calibrated` None: not looked at this time."""
        self.heard.take(look)
        self.news.take(told)
        if calibrated is not None:
            self.calibrated = calibrated
        self._status.look(look.monotonic_ns, look.status, started=True)
        kept = tuple(ordered(requests))
        request_rows = tuple(self._request_row(one) for one in kept)
        links = tuple(self._link(name, look.at_ns) for name in self.lab.network.links)
        nodes, ways = self._marks(links)
        faults = self._faults(kept, request_rows, look.at_ns)
        self._revision += 1
        running = [one for one in kept if one.standing["state"] == "in_progress"]
        return LabView(
            revision=self._revision,
            at_ns=look.at_ns,
            verdict=verdict_of(
                faults,
                {row.key: row.tone or Tone.OFF for row in links},
                len(running),
                self._rate_hz(look.at_ns, kept),
            ),
            faults=tuple(self._standing.rows(faults, look.at_ns)),
            map_wide=map_drawing.draw(self._places, nodes, ways, tall=False),
            map_tall=map_drawing.draw(self._places, nodes, ways, tall=True),
            map_rows=tuple(map_drawing.map_rows(nodes, ways)),
            requests=kept,
            request_rows=request_rows,
            links=links,
            ledger=ledger_view(self.heard),
            schedule=schedule_view(self._slots(look.at_ns), self.lab.network.links, look.at_ns),
            instruments=tuple(instrument_rows(self.heard)),
            calibrations=tuple(calibration_rows(self.calibrated)),
            calibration_sentence=expiry_sentence(self.calibrated),
            happenings=tuple(reversed(self.news.events)),
        )

    def links_for(self, view: LabView, who: Principal) -> list[Row]:
        """Links with the orders that this person may give."""
        if self.lab.console is None or not who.may("admin"):
            return list(view.links)
        return [
            Row(row.key, row.cells, (Order("calibrate", "Calibrate", f"Calibrate link {row.key}"),), row.tone)
            for row in view.links
        ]

    def _slots(self, now_ns: int) -> list[Slot] | None:
        """What agents have told, else the schedule of the lab file, which all of them follow."""
        told = slots_of(self.heard)
        if told is None and self.lab.schedule is not None:
            return slots_of_cycle(self.lab.schedule, now_ns)
        return told

    def _request_row(self, one: KeptRequest) -> Row:
        word = self.heard.status.get(one.source)
        silent = one.source in self.heard.silent
        heard_ns = one.heard_ns if silent or word is None else max(one.heard_ns, word.at_ns)
        return request_row(one, self.news, heard_ns, REQUEST_GOOD_FOR_S)

    def _link(self, name: LinkId, now_ns: int) -> Row:
        calibrated = self.calibrated.get(name)
        visibility = None if calibrated is None else visibility_in(calibrated)
        history = self.histories[name]
        row, figures = link_row(
            name, self.lab.network.links[name], self._status, self.heard, visibility, history
        )
        history.add(
            now_ns,
            heralds_hz=figures.heralds_hz,
            fidelity=figures.fidelity,
            visibility=figures.visibility,
        )
        return row

    def _marks(self, links: Sequence[Row]) -> tuple[list[NodeMark], list[LinkMark]]:
        network = self.lab.network
        nodes = []
        for name, node in network.nodes.items():
            verdict, silent = self._status.node(name), name in self.heard.silent
            tone = tone_of(verdict, silent=silent)
            state = "no word" if silent else verdict.state
            nodes.append(NodeMark(name, node.role, tone, state, verdict.reason))
        ways: list[LinkMark] = []
        for row in links:
            standing, heralds = row.cells["state"], row.cells["heralds"]
            assert isinstance(standing, Shown)
            assert isinstance(heralds, Shown)
            ways.append(
                LinkMark(
                    row.key,
                    network.links[row.key].nodes,
                    standing.tone or Tone.OFF,
                    standing.text or "",
                    heralds.text or "",
                    standing.title,
                )
            )
        return nodes, ways

    def _faults(self, kept: Sequence[KeptRequest], rows: Sequence[Row], now_ns: int) -> list[Fault]:
        ended = {event.about: event.at_ns for event in self.news.events}
        alive = [
            row
            for row, one in zip(rows, kept, strict=True)
            if one.standing["state"] not in FINAL_STATES
            or now_ns - ended.get(one.request_id, 0) < FAILED_LATELY_NS
        ]
        return faults_of(self.heard, self._status, alive, self.lab.addresses)

    def _rate_hz(self, now_ns: int, kept: Sequence[KeptRequest]) -> float | None:
        """Pairs delivered per second to all requests together, to each since it was first seen; None before
        two looks."""
        counts = {one.request_id: int(one.standing["delivered"]) for one in kept}
        self._delivered.append((now_ns, counts))
        then_ns, _ = self._delivered[0]
        if now_ns <= then_ns:
            return None
        first: dict[str, int] = {}
        for _, seen in self._delivered:
            first = dict(seen) | first
        fresh = sum(max(0, count - first[name]) for name, count in counts.items())
        return fresh * 1e9 / (now_ns - then_ns)


def happening_rows(happenings: Sequence[Happening], shown: int = 12) -> list[dict[str, Any]]:
    """What was reported of late, for the browser, the newest first."""
    return [
        Row(
            f"{one.at_ns} {one.about}",
            {
                "when": Shown("", at_ns=one.at_ns, with_age=True),
                "about": Shown(one.about),
                "what": Shown(one.text, one.tone),
            },
        ).told()
        for one in happenings[:shown]
    ]
