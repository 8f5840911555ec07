"""A view in the form in which browsers get it, made once for all of them.

Owns that sharing: rows that are the same for everybody are turned into words for the browser when the first
one wants them, and then handed to all.
"""

from functools import cached_property
from typing import Any

from bellwire.northbound.tokens import Principal
from bellwire.page.values import Row
from bellwire.page.view import LabModel, LabView, happening_rows

Told = list[dict[str, Any]]


class ToldView:
    """One view."""

    def __init__(self, model: LabModel, view: LabView) -> None:
        self.view = view
        self._model = model
        self._by_person: dict[tuple[str, str], tuple[Told, Told]] = {}

    @cached_property
    def faults(self) -> Told:
        return _told(self.view.faults)

    @cached_property
    def map_rows(self) -> Told:
        return _told(self.view.map_rows)

    @cached_property
    def ledger_kinds(self) -> Told:
        return _told(self.view.ledger.kinds)

    @cached_property
    def ledger_oldest(self) -> Told:
        return _told(self.view.ledger.oldest)

    @cached_property
    def schedule(self) -> Told:
        return _told(self.view.schedule.rows)

    @cached_property
    def instruments(self) -> Told:
        return _told(self.view.instruments)

    @cached_property
    def calibrations(self) -> Told:
        return _told(self.view.calibrations)

    @cached_property
    def happenings(self) -> Told:
        return happening_rows(self.view.happenings)

    def requests(self, who: Principal) -> Told:
        """With what this person may order."""
        return self._of(who)[0]

    def links(self, who: Principal) -> Told:
        """With what this person may order."""
        return self._of(who)[1]

    def _of(self, who: Principal) -> tuple[Told, Told]:
        key = (who.name, who.role)
        if key not in self._by_person:
            requests, links = self.view.rows_for(who), self._model.links_for(self.view, who)
            self._by_person[key] = (_told(requests), _told(links))
        return self._by_person[key]


def _told(rows: tuple[Row, ...] | list[Row]) -> Told:
    return [row.told() for row in rows]
