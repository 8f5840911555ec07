"""Instruments of an experiment: held under leases, set with read-back, restored and confirmed at the end.

Owns the order: lease, value before, note of it on disk, then the first write; at the end the value before,
read back, then the lease. Refuses to let an interruption or an error pass before that was tried. The note on
disk (`restore.json`) outlives the process: whoever was killed has it restored by the same command.
"""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bellwire.core.errors import ConfigError
from bellwire.drivers.readings import Value
from bellwire.runtime.control import ask
from bellwire.runtime.store import write_synced
from bellwire.study.lab_experiments import DeviceScan

HOLDER: Final = "bellwire experiment"
"""Beginning of the holder's name; the process follows, so that two experiments cannot share a lease."""
LEASE_S: Final = 30.0
RENEW_S: Final = 10.0
WRITE_S: Final = 120.0
"""A delay line or an oven's controller may take its time before it reads back what was set."""
RESTORE_S: Final = 60.0
"""So long an instrument that does not take its value back is tried again."""
RETRY_S: Final = 1.0
NOTE: Final = "restore.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """One parameter at the end. confirmed: it reads as it did before the experiment."""

    key: str
    before: Value
    found: Value | None  # None: it cannot be read any more
    confirmed: bool
    problem: str | None


class HeldInstruments:
    """The instruments that are scanned, as an asynchronous context manager; `restored` says how it ended."""

    def __init__(self, state: Path, scans: Sequence[DeviceScan], note: Path | None) -> None:
        """note: where the values before are written down, None: the instruments go with the lab."""
        self.restored: list[Restored] = []
        self.before: dict[str, Value] = {}
        self._state = state
        self._scans = tuple(scans)
        self._note = note
        self._tokens: dict[tuple[str, str], int] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "HeldInstruments":
        try:
            for scan in self._scans:
                await self._acquire_patiently(scan)
            noted = self._noted()
            for scan in self._scans:
                known = scan.key in noted
                self.before[scan.key] = noted[scan.key] if known else await self._present(scan)
            if self._note is not None and self._scans:
                write_synced(self._note, json.dumps(self.before).encode())
        except BaseException:
            await self._release()
            raise
        if self._scans:
            self._renewing = asyncio.get_running_loop().create_task(self._renew())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            self.restored = [await self._restore(scan) for scan in reversed(self._scans)]
        finally:
            if self._renewing is not None:
                self._renewing.cancel()
                await asyncio.gather(self._renewing, return_exceptions=True)
            await self._release()
        if self._note is not None and all(one.confirmed for one in self.restored):
            self._note.unlink(missing_ok=True)

    # ---- during the experiment

    async def set(self, values: Sequence[Value]) -> None:
        """Bring every scanned parameter to its value; those that have it are left alone.

        Raises:
            ConfigError: an instrument refuses, or reads back something else.
        """
        for scan, value in zip(self._scans, values, strict=True):
            if scan.parameter.holds(value, await self._read(scan)):
                continue
            found = await self._write(scan, value)
            if not scan.parameter.holds(value, found):
                raise ConfigError(f"{scan.key} was set to {value} and reads {found}")

    async def lost(self, values: Sequence[Value]) -> str | None:
        """What does not hold any more of what was set; None: all of it holds."""
        for scan, value in zip(self._scans, values, strict=True):
            try:
                found = await self._read(scan)
            except ConfigError as problem:
                return str(problem)
            if not scan.parameter.holds(value, found):
                return f"{scan.key} was set to {value} and is {found} now: somebody else moves it"
        return None

    # ---- at the end

    async def _restore(self, scan: DeviceScan) -> Restored:
        before = self.before[scan.key]
        until_s = time.monotonic() + RESTORE_S
        found: Value | None = None
        while True:
            problem: str | None = None
            try:
                found = await self._read(scan)
                if not scan.parameter.holds(before, found):
                    found = await self._write(scan, before)
            except ConfigError as refused:
                found, problem = None, str(refused)
            confirmed = found is not None and scan.parameter.holds(before, found)
            if confirmed or time.monotonic() > until_s:
                return Restored(
                    key=scan.key, before=before, found=found, confirmed=confirmed, problem=problem
                )
            await asyncio.sleep(RETRY_S)
            with suppress(ConfigError):
                await self._acquire(scan)  # an agent that was restarted has forgotten the lease

    # ---- words with the agents

    def _noted(self) -> dict[str, Value]:
        """Values before an earlier sitting that was killed."""
        if self._note is None or not self._note.exists():
            return {}
        noted: dict[str, Value] = json.loads(self._note.read_bytes())
        return noted

    async def _present(self, scan: DeviceScan) -> Value:
        found = await self._ask(scan, "device_read", parameter=scan.parameter.name)
        if found["value"] is None or found["quality"] != "good":
            raise ConfigError(
                f"{scan.key} reads {found['value']} ({found['quality']}), so it could not be restored: bring "
                "the instrument to a known state first"
            )
        present: Value = found["value"]
        return present

    async def _read(self, scan: DeviceScan) -> Value:
        found = await self._ask(scan, "device_read", parameter=scan.parameter.name)
        return float("nan") if found["value"] is None else found["value"]

    async def _write(self, scan: DeviceScan, value: Value) -> Value:
        told = await self._ask(
            scan,
            "device_write",
            parameter=scan.parameter.name,
            value=value,
            token=self._tokens[scan.owner, scan.name],
        )
        return await self._read(scan) if told is None or told["value"] is None else told["value"]

    async def _acquire_patiently(self, scan: DeviceScan) -> None:
        """The lease of an experiment that was killed outlives it for a while; a living one renews its own."""
        until_s = time.monotonic() + LEASE_S + RENEW_S
        while True:
            try:
                await self._acquire(scan)
                return
            except ConfigError as refused:
                if HOLDER not in str(refused) or time.monotonic() > until_s:
                    raise
            await asyncio.sleep(RETRY_S)

    async def _acquire(self, scan: DeviceScan) -> None:
        holder = f"{HOLDER} (process {os.getpid()})"
        granted = await self._ask(scan, "device_acquire", holder=holder, for_s=LEASE_S)
        self._tokens[scan.owner, scan.name] = granted["token"]

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            for (owner, name), token in tuple(self._tokens.items()):
                with suppress(ConfigError):  # a write under a lost lease is refused, with the reason
                    await ask(self._state, owner, "device_renew", device=name, token=token, for_s=LEASE_S)

    async def _release(self) -> None:
        for (owner, name), token in self._tokens.items():
            with suppress(ConfigError):  # the lease ends by itself
                await ask(self._state, owner, "device_release", device=name, token=token)
        self._tokens.clear()

    async def _ask(self, scan: DeviceScan, do: str, **fields: Any) -> Any:
        return await ask(self._state, scan.owner, do, within_s=WRITE_S, device=scan.name, **fields)
