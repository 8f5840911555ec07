"""A table of rows that live (live_table.js)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nicegui.element import Element
from nicegui.events import GenericEventArguments

Columns = Sequence[tuple[str, str]]
"""Name and heading of each, the first one names the row."""
ToldRows = Sequence[Mapping[str, Any]]


class LiveTable(Element, component="live_table.js"):
    """Shows rows; sends to the browser only what has changed since it last did.

    on_order: called with the name of an order and the key of its row; None: the table has no orders.
    """

    def __init__(
        self,
        caption: str,
        columns: Columns,
        empty: str,
        on_order: Callable[[str, str], None] | None = None,
    ) -> None:
        super().__init__()
        self._props["caption"] = caption
        self._props["columns"] = [list(column) for column in columns]
        self._props["rows"] = []
        self._props["empty"] = empty
        self._props["orders"] = False
        if on_order is not None:
            ordered = on_order

            def on(event: GenericEventArguments) -> None:
                told = event.args
                if isinstance(told, dict) and isinstance(told.get("of"), str):
                    ordered(str(told.get("order")), told["of"])

            self.on("order", on)

    @property
    def rows(self) -> ToldRows:
        """What is shown now."""
        rows: ToldRows = self._props["rows"]
        return rows

    def show(self, rows: ToldRows, columns: Columns | None = None, empty: str | None = None) -> None:
        """Show these rows, under other headings where they are given."""
        wanted: dict[str, Any] = {"rows": rows, "orders": any(row["orders"] for row in rows)}
        if columns is not None:
            wanted["columns"] = [list(column) for column in columns]
        if empty is not None:
            wanted["empty"] = empty
        if any(self._props[name] != value for name, value in wanted.items()):
            with self._props.suspend_updates():
                self._props.update(wanted)
            self.update()
