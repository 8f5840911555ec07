"""The switch between light and dark (scheme_switch.js)."""

from collections.abc import Callable

from nicegui.element import Element
from nicegui.events import GenericEventArguments


class SchemeSwitch(Element, component="scheme_switch.js"):
    """`on_scheme` hears `light` or `dark` as often as it changes, and once at the beginning."""

    def __init__(self, on_scheme: Callable[[str], None]) -> None:
        super().__init__()

        def on(event: GenericEventArguments) -> None:
            if event.args in ("light", "dark"):
                on_scheme(str(event.args))

        self.on("scheme", on)
