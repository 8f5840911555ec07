"""Who may move an instrument: leases that expire, with fencing tokens.

Owns one lease at a time and the tokens, which only grow: an order with an old token is refused, whoever sends
it and however late it arrives. Refuses to wait; a holder that is refused learns who holds the instrument and
until when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bellwire.core.errors import DeviceFault, LocalMisuse

LEASE_S_MAX = 3600.0


class LeaseRefused(LocalMisuse):
    """The instrument is held by somebody else, or the token is an old one."""


class LeaseLost(DeviceFault):
    """The lease of whoever asks has ended without him: by time, by its fencing token, or with the agent."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to move an instrument until `ends_at_ns` (the clock of `Leases`)."""

    holder: str
    token: int
    ends_at_ns: int


class Leases:
    """The leases of one instrument; `clock` in ns, never backwards."""

    def __init__(self, instrument: str, clock: Callable[[], int]) -> None:
        self._instrument = instrument
        self._clock = clock
        self._last_token = 0
        self._lease: Lease | None = None

    @property
    def current(self) -> Lease | None:
        """The lease in force; None when there is none, or it has ended."""
        lease = self._lease
        return lease if lease is not None and self._clock() < lease.ends_at_ns else None

    def grant(self, holder: str, for_s: float) -> Lease:
        """A new lease; its token is larger than any before. Raises LeaseRefused naming the holder."""
        if not 0 < for_s <= LEASE_S_MAX:
            raise LocalMisuse(f"a lease of {for_s} s: it must last up to {LEASE_S_MAX:g} s; renew it instead")
        held = self.current
        if held is not None and held.holder != holder:
            left_s = (held.ends_at_ns - self._clock()) / 1e9
            raise LeaseRefused(f"{self._instrument} is held by {held.holder} for {left_s:.1f} s more")
        self._last_token += 1
        self._lease = Lease(holder, self._last_token, self._clock() + int(for_s * 1e9))
        return self._lease

    def renew(self, token: int, for_s: float) -> Lease:
        """The same lease, longer. Raises LeaseRefused when it has ended."""
        held = self.check(token)
        if not 0 < for_s <= LEASE_S_MAX:
            raise LocalMisuse(f"a lease of {for_s} s: it must last up to {LEASE_S_MAX:g} s; renew it again")
        self._lease = Lease(held.holder, token, self._clock() + int(for_s * 1e9))
        return self._lease

    def release(self, token: int) -> None:
        """Give the lease back; an old token changes nothing."""
        if self._lease is not None and self._lease.token == token:
            self._lease = None

    def check(self, token: int | None) -> Lease:
        """The lease in force, if the token is its own. Raises LeaseRefused."""
        held = self.current
        if held is None:
            raise LeaseRefused(f"{self._instrument}: no lease is in force; acquire one first")
        if token != held.token:
            raise LeaseRefused(
                f"{self._instrument} is held by {held.holder} with token {held.token}, not {token}"
            )
        return held
