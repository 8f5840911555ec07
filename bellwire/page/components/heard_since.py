"""The age of what is shown (heard_since.js)."""

import time

from nicegui.element import Element

from bellwire.page.values import MS


class HeardSince(Element, component="heard_since.js"):
    """Tells the browser when the shown values were true, by the clock of the server."""

    def __init__(self) -> None:
        super().__init__()
        self._props["at"] = time.time_ns() // MS
        self._props["server"] = time.time_ns() // MS

    def show(self, at_ns: int) -> None:
        """The values that are sent with this were true then (unix time)."""
        with self._props.suspend_updates():
            self._props["at"] = at_ns // MS
            self._props["server"] = time.time_ns() // MS
        self.update()
