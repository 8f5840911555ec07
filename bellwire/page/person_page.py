"""The page of one person: its parts in their order, what they show at each view, and what the buttons do.

Owns the arrangement, from the verdict downwards: what an operator must see first stands first, on a phone as
well. Refuses rows (view.py), orders (orders.py) and looks (style.css).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from nicegui import ui
from nicegui.element import Element

from bellwire.northbound.tokens import Principal
from bellwire.page import calibrations, faults, instruments, ledger, links, map_drawing, requests, schedule
from bellwire.page.calibrating import Calibrating
from bellwire.page.components.form_dialog import FormDialog
from bellwire.page.components.heard_since import HeardSince
from bellwire.page.components.history_charts import HistoryCharts
from bellwire.page.components.live_table import LiveTable
from bellwire.page.components.scheme_switch import SchemeSwitch
from bellwire.page.forms import calibrate_form, cancel_form, resume_form, start_form, suspend_form
from bellwire.page.orders import Orders, Outcome
from bellwire.page.told import ToldView
from bellwire.page.values import Tone, duration_text
from bellwire.page.view import LabModel

HAPPENED: Final = (("when", "When"), ("about", "About"), ("what", "What"))
SIGNS: Final[Mapping[Tone, str]] = {
    Tone.GOOD: "✓",
    Tone.BUSY: "…",
    Tone.WARN: "!",
    Tone.BAD: "×",
    Tone.OFF: "?",
}
NO_TOKEN: Final = "open to everybody on this computer"


class PersonPage:
    """One browser window. `who` tells who sits there now; None: nobody any more."""

    def __init__(
        self,
        model: LabModel,
        orders: Orders,
        calibrating: Calibrating,
        who: Callable[[], Principal | None],
    ) -> None:
        self._model = model
        self._orders = orders
        self._calibrating = calibrating
        self._who = who
        self._scheme = "light"
        self._tone: Tone | None = None
        self._build()

    # ---- arrangement

    def _build(self) -> None:
        lab, who = self._model.lab, self._who()
        with ui.context.client.layout:
            header = ui.element("header").classes("top").props('role="banner"')
            header.move(target_index=0)
            with header:
                with ui.element("a").classes("skip").props('href="#verdict"'):
                    ui.label("Skip to the state of the lab").classes("plain")
                with ui.element("div").classes("top__name"):
                    with ui.element("h1"):
                        ui.label(lab.name.replace("_", " ")).classes("plain")
                    ui.label(lab.description).classes("top__what")
                with ui.element("div").classes("top__tools"):
                    self._heard = HeardSince()
                    SchemeSwitch(self._on_scheme)
                    self._who_label(who)
        with ui.element("div").classes("sheet"):
            self._verdict_part()
            with ui.element("div").classes("grid"):
                self._fault_part()
                self._map_part()
                self._request_part(who)
                self._link_part()
                self._history_part()
                self._ledger_part()
                self._schedule_part()
                self._instrument_part()
                self._calibration_part()
                self._happened_part()
        self._dialog = FormDialog(self._on_outcome)

    def _who_label(self, who: Principal | None) -> None:
        if who is None or who.token_id is None:
            ui.label(NO_TOKEN).classes("top__who")
            return
        ui.label(f"{who.name}, {who.role}").classes("top__who")
        button = '<button class="button" type="submit">Sign out</button>'
        ui.html(f'<form method="post" action="/sign-out">{button}</form>', sanitize=False)

    def _verdict_part(self) -> None:
        with (
            ui.element("section")
            .classes("verdict")
            .props('id="verdict" aria-labelledby="verdict-title"') as part
        ):
            self._verdict = part
            self._verdict_sign = ui.label("…").classes("verdict__sign").props('aria-hidden="true"')
            words = ui.element("div").classes("verdict__words").props('role="status" aria-live="polite"')
            with words, ui.element("h2").props('id="verdict-title"'):
                self._verdict_sentence = ui.label("Looking at the lab").classes("plain")
            self._verdict_details = ui.label("").classes("verdict__details")
        self._outcome = ui.label("").classes("outcome").props('role="status" aria-live="polite"')

    def _fault_part(self) -> None:
        with _part("Faults", "faults") as part:
            self._fault_card = part
            self._faults = LiveTable("Faults and what to do", faults.COLUMNS, "Nothing is wrong.")
        part.set_visibility(False)

    def _map_part(self) -> None:
        with _part("Network", "map"):
            with ui.element("figure").classes("map-frame"):
                self._map_wide = ui.html("", sanitize=False)
                self._map_tall = ui.html("", sanitize=False)
            with ui.element("details").classes("as-table"):
                with ui.element("summary"):
                    ui.label("The network as a table").classes("plain")
                self._map_table = LiveTable(
                    "Nodes and links of the network", map_drawing.COLUMNS, "The lab has no nodes."
                )

    def _request_part(self, who: Principal | None) -> None:
        with _part("Requests", "requests", self._start_button if self._may_start(who) else None):
            self._requests = LiveTable(
                "Requests", requests.COLUMNS, "Nobody asks for pairs.", self._on_request
            )

    def _link_part(self) -> None:
        with _part("Links", "links"):
            self._links = LiveTable("Links", links.COLUMNS, "The lab has no links.", self._on_link)
            ui.label(links.REMARK).classes("remark")

    def _history_part(self) -> None:
        with _part("History of a link", "history"):
            self._history = HistoryCharts(self._model.histories)

    def _ledger_part(self) -> None:
        with _part("Ledger", "ledger"):
            self._ledger_sentence = ui.label("").classes("sentence")
            self._kinds = LiveTable("Chains of pairs in memory", ledger.KIND_COLUMNS, "")
            with ui.element("details").classes("as-table") as one_by_one:
                self._one_by_one = one_by_one
                with ui.element("summary"):
                    ui.label("The oldest pairs, one by one").classes("plain")
                self._oldest = LiveTable("The oldest pairs", ledger.PAIR_COLUMNS, "No pair is in memory now.")

    def _schedule_part(self) -> None:
        with _part("Schedule", "schedule"):
            self._schedule_sentence = ui.label("").classes("sentence")
            self._strip = ui.html("", sanitize=False)
            with ui.element("details").classes("as-table") as more:
                self._schedule_more = more
                with ui.element("summary"):
                    ui.label("As a table").classes("plain")
                self._schedule = LiveTable("Schedule", schedule.COLUMNS, "Nothing is granted.")

    def _instrument_part(self) -> None:
        with _part("Instruments", "instruments"):
            self._instruments = LiveTable(
                "Instruments", instruments.COLUMNS, "No agent has told of an instrument yet."
            )

    def _calibration_part(self) -> None:
        with _part("Calibrations", "calibrations"):
            self._calibration_sentence = ui.label("").classes("sentence")
            self._calibration_run = ui.label("").classes("sentence").props('role="status" aria-live="polite"')
            self._calibrations = LiveTable("Calibrations", calibrations.COLUMNS, "")

    def _happened_part(self) -> None:
        with _part("What happened", "happened"):
            self._happened = LiveTable(
                "What happened to requests, the newest first", HAPPENED, "Nothing has been reported yet."
            )

    def _start_button(self) -> None:
        button = ui.element("button").classes("button button--main").props('type="button"').mark("start")
        with button:
            ui.label("Start a request").classes("plain")
        button.on("click", self._on_start)

    # ---- views

    def show(self, told: ToldView) -> bool:
        """Show a view; False: nobody sits here any more, and nothing is shown."""
        who = self._who()
        if who is None:
            return False
        view = told.view
        self._heard.show(view.at_ns)
        verdict = view.verdict
        if verdict.tone is not self._tone:
            self._verdict.classes(remove=f"verdict--{self._tone}", add=f"verdict--{verdict.tone}")
            self._verdict_sign.set_text(SIGNS[verdict.tone])
            self._tone = verdict.tone
        self._verdict_sentence.set_text(verdict.sentence)
        self._verdict_details.set_text(verdict.details)
        self._fault_card.set_visibility(bool(view.faults))
        self._faults.show(told.faults)
        self._map_wide.set_content(view.map_wide)
        self._map_tall.set_content(view.map_tall)
        self._map_table.show(told.map_rows)
        self._requests.show(told.requests(who))
        self._links.show(told.links(who))
        self._history.show()
        self._ledger_sentence.set_text(view.ledger.sentence)
        self._kinds.show(told.ledger_kinds)
        self._one_by_one.set_visibility(bool(view.ledger.oldest))
        self._oldest.show(told.ledger_oldest)
        self._schedule_sentence.set_text(view.schedule.sentence)
        self._strip.set_content(view.schedule.strip)
        self._schedule_more.set_visibility(bool(view.schedule.rows))
        self._schedule.show(told.schedule, view.schedule.columns)
        self._instruments.show(told.instruments)
        self._calibration_sentence.set_text(view.calibration_sentence)
        self._calibration_run.set_text(self._calibrating_words())
        self._calibrations.show(told.calibrations)
        self._happened.show(told.happenings)
        return True

    def _calibrating_words(self) -> str:
        run = self._calibrating.run
        if run is None:
            return ""
        if run.ended_ns is None:
            return f"{run.link} is being calibrated for {run.operator}."
        took = duration_text((run.ended_ns - run.begun_ns) / 1e9)
        return f"Calibration of {run.link} {'done' if run.done else 'failed'} after {took}: {run.text}."

    def _on_scheme(self, scheme: str) -> None:
        self._history.scheme(scheme)

    # ---- orders

    def _may_start(self, who: Principal | None) -> bool:
        return who is not None and who.may("operator") and len(self._ends()) > 1

    def _ends(self) -> list[str]:
        return [name for name, node in self._model.lab.network.nodes.items() if node.role == "end"]

    def _on_start(self) -> None:
        self._dialog.ask(start_form(self._ends()), self._sender("start", {}))

    def _on_request(self, order: str, request_id: str) -> None:
        forms = {"suspend": suspend_form, "resume": resume_form, "cancel": cancel_form}
        if order in forms:
            self._dialog.ask(forms[order](request_id), self._sender(order, {"name": request_id}))

    def _on_link(self, order: str, link: str) -> None:
        if order == "calibrate":
            self._dialog.ask(calibrate_form(link), self._sender(order, {"name": link}))

    def _sender(self, order: str, fixed: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Any]:
        async def send(fields: Mapping[str, Any]) -> Outcome:
            told = {**fields, **fixed, "all": fields.get("which") == "all"}
            return await self._orders.carry_out(order, told, self._who())

        return send

    def _on_outcome(self, outcome: Outcome) -> None:
        self._outcome.set_text(f"{'Done' if outcome.done else 'Refused'}: {outcome.text}.")
        self._outcome.classes(
            remove="outcome--done outcome--refused",
            add="outcome--done" if outcome.done else "outcome--refused",
        )


@contextmanager
def _part(title: str, name: str, beside: Callable[[], None] | None = None) -> Iterator[Element]:
    """A card with its heading; `beside` puts something to the right of it."""
    with ui.element("section").classes(f"card card--{name}").props(f'aria-labelledby="{name}-title"') as part:
        with ui.element("div").classes("card__head"):
            with ui.element("h2").props(f'id="{name}-title"'):
                ui.label(title).classes("plain")
            if beside is not None:
                beside()
        yield part
