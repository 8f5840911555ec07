"""Who holds which resource of a network until when.

Owns bookings: claims on named resources for a stretch of time, each a lease with a fencing token. A resource
(the memories of a node's bank, an emitter, a station's detectors, a switch) has one holder at a time; holders
that want the same setting of a switch may have it together. Refuses to choose times (admission.py) and to
read a clock: every call is told the present time.

Booking, cancelling and extending are atomic: all claims or none. A lease that has run out holds nothing any
more. Tokens only grow, over the whole calendar, so whoever carries out orders can tell a late one from an
older holder by its number alone.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import LinkId, NodeId

Kind = Literal["attempts", "calibration", "guard"]
"""What a stretch of time is for. A guard follows attempts: nothing begins in it."""

BOOKINGS_MAX: Final = 100_000
"""Bookings that a calendar holds at the same time."""


class Claim(NamedTuple):
    """One resource that is wanted. Equal settings of a switch go together; None: for oneself alone."""

    resource: str
    setting: str | None = None


class Wish(NamedTuple):
    """What a booking asks for."""

    holder: str  # a request, or what else the time is for
    claims: tuple[Claim, ...]  # at least one
    from_ns: int
    to_ns: int  # the first moment that is not wanted any more
    expires_ns: int | None = None  # the lease runs out at this time unless extended; None: never
    link: LinkId | None = None
    kind: Kind = "attempts"


class Booking(NamedTuple):
    """A wish that was granted."""

    lease: int
    fence: int
    wish: Wish

    def holds(self, now_ns: int) -> bool:
        """True while the lease has not run out."""
        return self.wish.expires_ns is None or now_ns < self.wish.expires_ns


class Refused(NamedTuple):
    """Why a wish was not granted: who is in its way, until when."""

    resource: str
    holder: str
    lease: int
    until_ns: int  # that booking ends then
    expires_ns: int | None  # or when its lease runs out, None: it does not

    def __str__(self) -> str:
        lease = "" if self.expires_ns is None else f", lease {self.lease} runs out at {self.expires_ns} ns"
        return f"{self.resource} is held by {self.holder} until {self.until_ns} ns{lease}"


class _Entry(NamedTuple):
    from_ns: int
    lease: int


class Calendar:
    """The bookings of one owner. Deterministic: leases and tokens are counted."""

    def __init__(self, owner: NodeId, bookings_max: int = BOOKINGS_MAX) -> None:
        """`owner`: the node that decides, named in every document."""
        self.owner = owner
        self._bookings_max = bookings_max
        self._bookings: dict[int, Booking] = {}
        self._by_resource: dict[str, list[_Entry]] = {}
        self._longest_ns: dict[
            str, int
        ] = {}  # of the bookings that a resource ever had: how far back to look
        self._leases = 0
        self._fences = 0

    def __len__(self) -> int:
        return len(self._bookings)

    def __iter__(self) -> Iterator[Booking]:
        return iter(sorted(self._bookings.values(), key=lambda one: (one.wish.from_ns, one.lease)))

    # ---- questions

    def in_the_way(self, wish: Wish, now_ns: int, *, but: int | None = None) -> Refused | None:
        """The first booking that keeps a wish from being granted, None: it can be. `but`: a lease that does
        not count."""
        for claim in wish.claims:
            for booking in self._overlapping(claim.resource, wish.from_ns, wish.to_ns):
                if booking.lease == but or not booking.holds(now_ns):
                    continue
                taken = next(one for one in booking.wish.claims if one.resource == claim.resource)
                if claim.setting is None or taken.setting != claim.setting:
                    return Refused(
                        claim.resource,
                        booking.wish.holder,
                        booking.lease,
                        booking.wish.to_ns,
                        booking.wish.expires_ns,
                    )
        return None

    def holders(self, resource: str, at_ns: int, now_ns: int) -> tuple[Booking, ...]:
        """Who has a resource at a time: nobody, one, or several with the same setting of a switch."""
        return tuple(one for one in self._overlapping(resource, at_ns, at_ns + 1) if one.holds(now_ns))

    def may_act(self, lease: int, fence: int, resource: str, at_ns: int) -> bool:
        """True when an order under this token is one of the present holder of the resource."""
        booking = self._bookings.get(lease)
        return (
            booking is not None
            and booking.fence == fence
            and booking.holds(at_ns)
            and booking.wish.from_ns <= at_ns < booking.wish.to_ns
            and any(claim.resource == resource for claim in booking.wish.claims)
        )

    # ---- changes

    def book(self, wish: Wish, now_ns: int) -> Booking | Refused:
        """Grant a wish, or say what is in its way and change nothing.

        Raises:
            LocalMisuse: it claims nothing or no time, names a resource twice, or the calendar is full.
        """
        found = self.book_all((wish,), now_ns)
        return found if isinstance(found, Refused) else found[0]

    def book_all(self, wishes: Sequence[Wish], now_ns: int) -> tuple[Booking, ...] | Refused:
        """Grant all of several wishes, or none of them."""
        self.forget_expired(now_ns)
        if len(self._bookings) + len(wishes) > self._bookings_max:
            raise LocalMisuse(f"the calendar of {self.owner} is full: {self._bookings_max} bookings")
        granted: list[Booking] = []
        for wish in wishes:
            _check(wish)
            refused = self.in_the_way(wish, now_ns)
            if refused is not None:
                for booking in granted:
                    self._strike(booking)
                return refused
            self._leases += 1
            granted.append(Booking(self._leases, self._next_fence(), wish))
            self._enter(granted[-1])
        return tuple(granted)

    def cancel(self, lease: int, fence: int) -> bool:
        """Give a booking back. False: the lease is over, or the token is not its newest."""
        booking = self._bookings.get(lease)
        if booking is None or booking.fence != fence:
            return False
        self._strike(booking)
        return True

    def extend(
        self, lease: int, fence: int, now_ns: int, *, to_ns: int | None = None, expires_ns: int | None = None
    ) -> Booking | Refused | None:
        """Lengthen a booking, its lease, or both; the old token is void then. None: the lease has run out, or
        the token is not its newest. Refused: somebody has the time that was asked for, and nothing changes.

        Raises:
            LocalMisuse: the new times are before the old ones.
        """
        booking = self._bookings.get(lease)
        if booking is None or booking.fence != fence or not booking.holds(now_ns):
            return None
        old = booking.wish
        wish = old._replace(
            to_ns=old.to_ns if to_ns is None else to_ns,
            expires_ns=old.expires_ns if expires_ns is None else expires_ns,
        )
        if wish.to_ns < old.to_ns or (wish.expires_ns or 0) < (old.expires_ns or 0):
            raise LocalMisuse(f"lease {lease}: extending makes nothing shorter; cancel it and book anew")
        if old.expires_ns is None and wish.expires_ns is not None:
            raise LocalMisuse(f"lease {lease} never runs out; there is nothing to extend it to")
        refused = self.in_the_way(wish, now_ns, but=lease)
        if refused is not None:
            return refused
        self._strike(booking)
        longer = Booking(lease, self._next_fence(), wish)
        self._enter(longer)
        return longer

    def forget_expired(self, now_ns: int) -> tuple[Booking, ...]:
        """Strike out bookings whose lease has run out, and name them."""
        gone = tuple(one for one in self if not one.holds(now_ns))
        for booking in gone:
            self._strike(booking)
        return gone

    # ---- rows

    def _next_fence(self) -> int:
        self._fences += 1
        return self._fences

    def _enter(self, booking: Booking) -> None:
        self._bookings[booking.lease] = booking
        wish = booking.wish
        for claim in wish.claims:
            insort(self._by_resource.setdefault(claim.resource, []), _Entry(wish.from_ns, booking.lease))
            longest_ns = self._longest_ns.get(claim.resource, 0)
            self._longest_ns[claim.resource] = max(longest_ns, wish.to_ns - wish.from_ns)

    def _strike(self, booking: Booking) -> None:
        del self._bookings[booking.lease]
        for claim in booking.wish.claims:
            self._by_resource[claim.resource].remove(_Entry(booking.wish.from_ns, booking.lease))

    def _overlapping(self, resource: str, from_ns: int, to_ns: int) -> Iterable[Booking]:
        entries = self._by_resource.get(resource, [])
        start = bisect_left(entries, _Entry(from_ns - self._longest_ns.get(resource, 0), 0))
        for entry in entries[start : bisect_left(entries, _Entry(to_ns, 0))]:
            booking = self._bookings[entry.lease]
            if booking.wish.to_ns > from_ns:
                yield booking


def _check(wish: Wish) -> None:
    names = [claim.resource for claim in wish.claims]
    if not names or len(set(names)) != len(names):
        raise LocalMisuse(f"{wish.holder} claims {', '.join(names) or 'nothing'}; name each resource once")
    if wish.from_ns >= wish.to_ns:
        raise LocalMisuse(f"{wish.holder} books no time: from {wish.from_ns} ns to {wish.to_ns} ns")
