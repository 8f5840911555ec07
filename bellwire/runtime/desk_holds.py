"""What the console holds of one agent's instruments, and what becomes of them when its leases end without it.

Owns the holds: leases granted together, what was written under them, and the duty that follows: when a lease
runs out, or is abandoned, exactly the instruments that were written under it are brought to their safe state,
or to the values that stood before, confirmed by read-back; until then a lease of the agent keeps everybody
else away. Composites are stopped while a part is held and go on afterwards. Refuses orders without the
token that is in force.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse
from bellwire.core.instrument_messages import OnLoss
from bellwire.core.registry import nearest
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.instrument import Condition
from bellwire.drivers.leases import LEASE_S_MAX, LeaseRefused
from bellwire.drivers.readings import Reading, Value
from bellwire.runtime.equipment import NodeEquipment
from bellwire.runtime.health import Health

FINISH_S: Final = 1.0
"""So long an order that is under way may go on when its lease has ended; then it is abandoned."""
SECURE_S: Final = 60.0
"""One try to secure an instrument; a delay line takes its time."""
SECURE_RETRY_S: Final = 0.5
"""Between tries, without end: an instrument that is away is secured when it is back."""


@dataclass(slots=True, eq=False)
class Hold:
    """Leases that were granted together. `written`: whether an instrument can be restored, in the order of
    the first writes. `before`: value of a parameter before its first write, by instrument and name.
    """

    holder: str
    on_loss: OnLoss
    tokens: dict[str, int]
    ends_at_ns: int
    written: dict[str, bool] = field(default_factory=dict[str, bool])
    before: dict[tuple[str, str], Value] = field(default_factory=dict[tuple[str, str], Value])
    turns: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])
    work: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    streams: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    timer: asyncio.TimerHandle | None = None


class Holds:
    """The holds of one agent. `on_end` is told the tasks of a hold that has ended, and why, before they are
    cancelled.
    """

    def __init__(
        self,
        equipment: NodeEquipment,
        health: Health,
        on_end: Callable[[set[asyncio.Task[None]], str], None],
    ) -> None:
        self._equipment = equipment
        self._health = health
        self._on_end = on_end
        self._short = {driver.name: name for name, driver in equipment.drivers.items()}
        self._held: dict[str, Hold] = {}  # by instrument
        self._securing: set[asyncio.Task[None]] = set()

    # ---- who holds what

    def driver(self, instrument: str) -> Equipment:
        """The driver of that full name. Raises ConfigError with the nearest name."""
        if instrument not in self._short:
            raise ConfigError(f'no equipment is called "{instrument}" here{nearest(instrument, self._short)}')
        return self._equipment.drivers[self._short[instrument]]

    def status(self) -> dict[str, str]:
        """Holders by instrument."""
        return {instrument: hold.holder for instrument, hold in self._held.items()}

    async def grant(
        self, instruments: Sequence[str], holder: str, lease_ns: int, on_loss: OnLoss
    ) -> dict[str, int]:
        """Lease all of them or none; tokens by instrument. Raises LeaseRefused naming the holder."""
        drivers = {instrument: self.driver(instrument) for instrument in instruments}
        self._end_what_ran_out()
        for instrument, driver in drivers.items():
            held = driver.leases.current
            if held is not None:  # under the same name, too: it would take the other one's lease away
                left_s = (held.ends_at_ns - time.monotonic_ns()) / 1e9
                raise LeaseRefused(f"{instrument} is held by {held.holder} for {left_s:.1f} s more")
        if not 0 < lease_ns <= LEASE_S_MAX * 1e9:
            raise LocalMisuse(f"a lease of {lease_ns / 1e9:g} s: it must last up to {LEASE_S_MAX:g} s")
        leases = {name: driver.leases.grant(holder, lease_ns / 1e9) for name, driver in drivers.items()}
        tokens = {name: lease.token for name, lease in leases.items()}
        hold = Hold(holder, on_loss, tokens, max((one.ends_at_ns for one in leases.values()), default=0))
        self._held |= dict.fromkeys(tokens, hold)
        self._set_timer(hold)
        try:
            await self._equipment.yield_to(hold, holder, [self._short[name] for name in tokens])
        except asyncio.CancelledError:  # nobody will ever hear of these tokens
            await self.release(tokens, abandoned=False)
            raise
        return tokens

    def renew(self, tokens: Mapping[str, int], lease_ns: int) -> None:
        """The same leases, longer. Raises LeaseRefused when one of them has ended."""
        holds = {name: self.check(name, token) for name, token in tokens.items()}
        for name, hold in holds.items():
            hold.ends_at_ns = self.driver(name).leases.renew(tokens[name], lease_ns / 1e9).ends_at_ns

    async def release(self, tokens: Mapping[str, int], *, abandoned: bool) -> None:
        """End the holds of these leases in order; those that have ended already stay as they are.

        abandoned: the holder asks to be treated as one that has vanished.
        """
        found = {
            id(hold): hold
            for name, token in tokens.items()
            if (hold := self._held.get(name)) is not None and hold.tokens[name] == token
        }
        for hold in found.values():
            if abandoned:
                self.lose(hold, f"{hold.holder} has given it up")
                continue
            self._forget(hold)
            await self._end_work(hold, f"the lease of {hold.holder} was released")
            for name, token in hold.tokens.items():
                self.driver(name).leases.release(token)
            self._equipment.take_over(hold)

    def check(self, instrument: str, token: int) -> Hold:
        """The hold, if the token is the one in force. Raises LeaseRefused."""
        self.driver(instrument).leases.check(token)
        hold = self._held.get(instrument)
        if hold is None or hold.tokens[instrument] != token:
            raise LeaseRefused(f"{instrument}: token {token} is not the console's")
        return hold

    # ---- orders under a lease

    @contextmanager
    def under(self, instrument: str, token: int, *, stream: bool = False) -> Iterator[Hold]:
        """What the present task does within is work of the hold, and does not outlive it."""
        hold = self.check(instrument, token)
        task = asyncio.current_task()
        assert task is not None
        kept = hold.streams if stream else hold.work
        kept.add(task)
        try:
            yield hold
        finally:
            kept.discard(task)

    async def write(
        self, hold: Hold, instrument: str, parameter: str, value: Value, token: int
    ) -> Reading | None:
        """Set a parameter and read it back; what stood before is kept where it can be restored."""
        driver = self.driver(instrument)
        declared = driver.parameter(parameter)
        async with hold.turns.setdefault(instrument, asyncio.Lock()):
            restorable = hold.on_loss == "restore" and declared.read is not None and declared.repeatable
            if restorable and (instrument, parameter) not in hold.before:
                stood = (await driver.read_parameter(parameter)).value
                if stood == stood:
                    hold.before[instrument, parameter] = stood
                else:  # the instrument does not know it
                    restorable = False
            driver.leases.check(token)
            hold.written[instrument] = hold.written.get(instrument, True) and restorable
            return await driver.write_parameter(parameter, value, token=token)

    async def make_safe(self, instrument: str) -> None:
        """Bring it to its safe state, which then is what becomes of it when the lease is lost."""
        hold = self._held.get(instrument)
        if hold is not None:
            hold.written[instrument] = False
        await self.driver(instrument).safe_state()

    # ---- ends

    def lose(self, hold: Hold, reason: str) -> None:
        """The leases of a hold have ended without their holder."""
        self._forget(hold)
        self._health.tell("lease_lost", holder=hold.holder, reason=reason, instruments=", ".join(hold.tokens))
        keeping: dict[str, int] = {}
        for name, token in hold.tokens.items():
            leases = self.driver(name).leases
            leases.release(token)
            if name not in hold.written:
                continue
            try:
                keeping[name] = leases.grant(
                    f"its agent, which secures it after {hold.holder}", LEASE_S_MAX
                ).token
            except LeaseRefused as other:  # it has a new holder, who moves it as he likes
                self._health.tell("instrument_not_secured", instrument=name, problem=str(other))
        task = asyncio.get_running_loop().create_task(self._secure(hold, keeping, reason))
        self._securing.add(task)
        task.add_done_callback(self._securing.discard)

    def lose_all(self, reason: str) -> None:
        """Every hold has lost its holder."""
        for hold in {id(hold): hold for hold in self._held.values()}.values():
            self.lose(hold, reason)

    async def close(self) -> None:
        """Stop watching; whoever closes brings the instruments to their safe state."""
        for hold in {id(hold): hold for hold in self._held.values()}.values():
            self._forget(hold)
        for task in tuple(self._securing):
            task.cancel()
        await asyncio.gather(*self._securing, return_exceptions=True)

    def _end_what_ran_out(self) -> None:
        now_ns = time.monotonic_ns()
        for hold in {id(hold): hold for hold in self._held.values()}.values():
            if now_ns >= hold.ends_at_ns:
                self.lose(hold, f"the lease of {hold.holder} has run out")

    def _set_timer(self, hold: Hold) -> None:
        wait_s = max(0.0, (hold.ends_at_ns - time.monotonic_ns()) / 1e9)
        hold.timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer, hold)

    def _on_timer(self, hold: Hold) -> None:
        if time.monotonic_ns() >= hold.ends_at_ns:
            self.lose(hold, f"the lease of {hold.holder} has run out")
        else:  # renewed meanwhile
            self._set_timer(hold)

    def _forget(self, hold: Hold) -> None:
        if hold.timer is not None:
            hold.timer.cancel()
        for name in hold.tokens:
            if self._held.get(name) is hold:
                del self._held[name]

    async def _end_work(self, hold: Hold, reason: str) -> None:
        """Nothing that was ordered under the hold is under way when this returns."""
        work, streams = set(hold.work), set(hold.streams)
        self._on_end(work | streams, reason)
        for task in streams:
            task.cancel()
        if work:
            _, late = await asyncio.wait(work, timeout=FINISH_S)
            for task in late:
                task.cancel()
        if work or streams:
            await asyncio.wait(work | streams)

    async def _secure(self, hold: Hold, keeping: Mapping[str, int], reason: str) -> None:
        await self._end_work(hold, reason)
        await asyncio.gather(*(self._secure_one(hold, name, token) for name, token in keeping.items()))
        self._equipment.take_over(hold)

    async def _secure_one(self, hold: Hold, instrument: str, token: int) -> None:
        driver = self.driver(instrument)
        restoring = hold.on_loss == "restore" and hold.written[instrument]
        while True:
            try:
                async with asyncio.timeout(SECURE_S):
                    await driver.wait_for(Condition.READY, SECURE_S)
                    if restoring:
                        await self._restore(hold, instrument, driver, token)
                    else:
                        await driver.safe_state()
                break
            except (DeviceError, LocalMisuse) as refusal:
                self._health.tell("instrument_not_secured", instrument=instrument, problem=str(refusal))
                restoring = False  # it does not take the old values: off is better than anything else
            except (DeviceFault, TimeoutError) as fault:
                self._health.count("instrument_not_secured", instrument=instrument, problem=str(fault))
            await asyncio.sleep(SECURE_RETRY_S)
            driver.leases.renew(token, LEASE_S_MAX)
        driver.leases.release(token)
        self._health.tell(
            "instrument_restored" if restoring else "instrument_made_safe",
            instrument=instrument,
            holder=hold.holder,
        )

    async def _restore(self, hold: Hold, instrument: str, driver: Equipment, token: int) -> None:
        """The values that stood before, the latest write first. Raises DeviceError when one reads else."""
        written = [
            (parameter, value) for (name, parameter), value in hold.before.items() if name == instrument
        ]
        for parameter, value in reversed(written):
            reading = await driver.write_parameter(parameter, value, token=token)
            if reading is None or not driver.parameter(parameter).holds(value, reading.value):
                found = "nothing" if reading is None else reading.value
                raise DeviceError(instrument, f"{parameter} was restored to {value} but reads {found}")
