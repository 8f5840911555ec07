"""A dialog with a form whose answer is definite (form_dialog.js).

Owns that it stays open, with the reason, while an order is refused, and closes when it is done.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from nicegui.element import Element
from nicegui.events import GenericEventArguments

from bellwire.page.orders import Outcome

FIELDS_MAX: Final = 12
VALUE_MAX: Final = 300

Send = Callable[[Mapping[str, Any]], Awaitable[Outcome]]


class FormDialog(Element, component="form_dialog.js"):
    """One dialog of a page, used for one form after another. `on_outcome` hears how each ended."""

    def __init__(self, on_outcome: Callable[[Outcome], None]) -> None:
        super().__init__()
        self._props |= {"open": False, "opening": 0, "form": None, "refusal": "", "busy": False}
        self._on_outcome = on_outcome
        self._send: Send | None = None
        self.on("send", self._on_send)
        self.on("shut", self._on_shut)

    @property
    def form(self) -> Mapping[str, Any] | None:
        """The form that is open; None: none is."""
        return self._props["form"] if self._props["open"] else None

    @property
    def refusal(self) -> str:
        """Why the last try was refused."""
        return str(self._props["refusal"])

    def ask(self, form: Mapping[str, Any], send: Send) -> None:
        """Open with this form; `send` gets its fields.

        form: `title`, `intro`, `fields` (`name`, `label`, and what an input has), `send`, `danger`.
        """
        self._send = send
        self._set(open=True, opening=self._props["opening"] + 1, form=dict(form), refusal="", busy=False)

    async def _on_send(self, event: GenericEventArguments) -> None:
        send, told = self._send, event.args
        if send is None or self._props["busy"] or not self._props["open"] or not isinstance(told, dict):
            return
        fields = {str(name): str(value)[:VALUE_MAX] for name, value in list(told.items())[:FIELDS_MAX]}
        self._set(busy=True, refusal="")
        try:
            outcome = await send(fields)
        except BaseException:
            self._set(busy=False, refusal="The server failed; its log says how.")
            raise
        if outcome.done:
            self._send = None
            self._set(open=False, busy=False)
        else:
            self._set(busy=False, refusal=f"Refused: {outcome.text}")
        self._on_outcome(outcome)

    def _on_shut(self) -> None:
        if self._props["open"]:
            self._send = None
            self._set(open=False, busy=False)

    def _set(self, **values: Any) -> None:
        with self._props.suspend_updates():
            self._props.update(values)
        self.update()
