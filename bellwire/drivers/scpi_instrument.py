"""Base of the drivers whose instrument speaks SCPI: one line a question, and an error queue after each set.

Owns `SYSTem:ERRor?` as the receipt of silent sets. What earlier owners left in the queue is dropped before
the first set of a connection, not when connecting, so that looking at an instrument takes nothing away.
Refuses to know commands of makes. Replies carry no number; over a stream a late one is recognised by nothing
but the rule that a session out of step is opened anew.
"""

from __future__ import annotations

import re

from bellwire.drivers.faults import DeviceError
from bellwire.drivers.replies import line
from bellwire.drivers.session_instrument import SessionInstrument

ERRORS_POLLED_MAX = 64
ERROR = re.compile(r'\s*(?P<code>[+-]?\d+)\s*,\s*"?(?P<text>[^"]*)"?\s*')


class ScpiInstrument(SessionInstrument):
    """One SCPI instrument. `ending` ends what is sent; replies end with a line feed, with or without CR."""

    ending: bytes = b"\n"
    _errors_are_ours = False

    async def _open(self) -> None:
        self._errors_are_ours = False
        await super()._open()

    async def _identity_fields(self) -> list[str]:
        """The four fields of *IDN?: maker, model, serial number, firmware."""
        reply = await self._ask("*IDN?")
        fields = [field.strip() for field in reply.split(",")]
        if len(fields) != 4:
            raise self._broken(f"*IDN? answered {reply!r}, not four fields")
        return fields

    async def _ask(self, question: str, *, timeout_s: float | None = None) -> str:
        """The reply to a query, without the ends of the line."""
        octets = await self._line().exchange(
            question.encode("ascii") + self.ending, line(), timeout_s=timeout_s
        )
        return octets.decode("ascii", "replace").strip()

    async def _set(self, command: str, *, settle_s: float = 0.0) -> None:
        """Send a command, wait, and look at the error queue. Raises DeviceError with what it says."""
        if not self._errors_are_ours:
            await self._take_errors()
            self._errors_are_ours = True
        await self._line().send(command.encode("ascii") + self.ending)
        if settle_s > 0:
            await self._settle(settle_s)
        errors = await self._take_errors()
        if errors:
            raise DeviceError(self.name, f"{command!r} refused: {'; '.join(errors)}")

    async def _take_errors(self) -> list[str]:
        """Empty the error queue."""
        errors: list[str] = []
        for _ in range(ERRORS_POLLED_MAX):
            reply = await self._ask("SYST:ERR?")
            found = ERROR.fullmatch(reply)
            if found is None:
                raise self._broken(f'SYST:ERR? answered {reply!r}, not CODE,"text"')
            if int(found["code"]) == 0:
                return errors
            errors.append(f"{found['code']} {found['text']}")
        raise self._broken(f"SYST:ERR? gave no 0 in {ERRORS_POLLED_MAX} polls, last {errors[-1]}")

    async def _number(self, question: str, *, timeout_s: float | None = None) -> float:
        reply = await self._ask(question, timeout_s=timeout_s)
        try:
            return float(reply)
        except ValueError:
            raise self._broken(f"{question} answered {reply!r}, not a number") from None

    async def _whole(self, question: str) -> int:
        number = await self._number(question)
        if not number.is_integer():
            raise self._broken(f"{question} answered {number:g}, not a whole number")
        return int(number)

    async def _switch(self, question: str) -> bool:
        number = await self._number(question)
        if number not in (0, 1):
            raise self._broken(f"{question} answered {number:g}, neither 0 nor 1")
        return number == 1
