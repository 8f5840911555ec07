"""One of several things, chosen from a list (choice.js)."""

from collections.abc import Callable, Sequence

from nicegui.element import Element
from nicegui.events import GenericEventArguments


class Choice(Element, component="choice.js"):
    """`options`: values and texts; `on_choose` gets a value that is among them."""

    def __init__(
        self, name: str, label: str, options: Sequence[tuple[str, str]], on_choose: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._props["name"] = name
        self._props["label"] = label
        self._props["options"] = [list(option) for option in options]
        self._props["chosen"] = options[0][0]
        values = frozenset(value for value, _ in options)

        def on(event: GenericEventArguments) -> None:
            if event.args in values:
                self._props["chosen"] = event.args
                on_choose(event.args)

        self.on("choose", on)

    @property
    def chosen(self) -> str:
        """What is chosen now."""
        return str(self._props["chosen"])
