"""Where the time of a request went, and what happened to it last.

Owns the division of a request's life, from its submission to its end or to the end of the record, into what
it was waiting for at each moment: a plan, lanes, heralds, swaps, delivery, or leave to go on (suspended).
Refuses blame: a share says what was missing, not whose fault it was.

At any moment the request waits for the first of these that is missing: a plan in force; living chains that
together reach from the source to the destination, and for these a window on every link of a route, and
heralds; one chain between the two; its delivery. Of several routes the one that is furthest counts.
A state of more than two nodes waits for heralds until every link that it uses has a pair, and then for swaps
(fusions) until it is offered.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final, Literal

import msgspec

from bellwire.core.facts import Born, Fact, Fused, Released, Sacrificed, Swapped
from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.messages import Offer
from bellwire.runtime.history import History, SeenReport
from bellwire.runtime.pair_life import deliveries

Waiting = Literal["plan", "lanes", "heralds", "swaps", "delivery", "suspended"]
WAITING: Final[tuple[Waiting, ...]] = ("plan", "lanes", "heralds", "swaps", "delivery", "suspended")
ENDED: Final = frozenset({"completed", "failed", "cancelled"})


class LastEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The last thing that is known of a request."""

    at_ns: int
    node: NodeId
    text: str


class TimeShares(msgspec.Struct, frozen=True, kw_only=True):
    """The life of a request, divided."""

    request: RequestId
    status: str
    error: str | None  # None: nothing went wrong, or nobody said what
    submitted_ns: int
    ended_ns: int
    ended: bool  # False: the record ends before the request does
    delivered: int
    routes: tuple[tuple[NodeId, ...], ...]
    waited_ns: Mapping[Waiting, int]  # sums up to ended_ns - submitted_ns
    last: LastEvent | None  # None: nothing but its submission is known
    parts: tuple[RequestId, ...]  # of a sequence: requests of their own, which have shares of their own
    missing_links: tuple[LinkId, ...]  # at the end: links of its routes without a window or a living pair

    def shares(self) -> dict[Waiting, float]:
        """Fractions of the whole time, 0 to 1; empty for a request that took no time."""
        whole_ns = self.ended_ns - self.submitted_ns
        return {one: ns / whole_ns for one, ns in self.waited_ns.items()} if whole_ns > 0 else {}


def time_shares(history: History, request: RequestId) -> TimeShares:
    """Divide the life of a request of this run."""
    reports = history.reports.get(request, [])
    births = history.births.get(request, [])
    first = min((seen.now_ns for seen in reports), default=history.first_ns)
    submitted_ns = history.submitted.get(request, (first, ""))[0]
    statuses = [seen for seen in reports if seen.report.name == "request_status"]
    final = next((seen for seen in statuses if seen.report.fields["status"] in ENDED), None)
    ended_ns = history.last_ns if final is None else final.now_ns
    watch = _Watch(history, request)
    waited: dict[Waiting, int] = dict.fromkeys(WAITING, 0)
    at_ns = submitted_ns
    for now_ns, change in _changes(history, request):
        if now_ns >= ended_ns:
            break
        if now_ns > at_ns:
            waited[watch.waiting()] += now_ns - at_ns
            at_ns = now_ns
        watch.take(change)
    state = watch.waiting()
    waited[state] += max(0, ended_ns - at_ns)
    ends = [seen.fact.end for seen in births if isinstance(seen.fact, Born)]
    latest = statuses[-1].report.fields if statuses else {}
    failures = [seen for seen in reports if seen.report.name in ("plan_failed", "request_refused")]
    error = latest.get("error_message") or (failures[-1].report.fields["reason"] if failures else None)
    return TimeShares(
        request=request,
        status=str(latest.get("status", "refused" if failures else "unknown")),
        error=None if error is None else str(error),
        submitted_ns=submitted_ns,
        ended_ns=ended_ns,
        ended=final is not None,
        delivered=len(deliveries(history, request)),
        routes=tuple(watch.routes),
        waited_ns=waited,
        last=_last(history, reports, final, ends),
        parts=tuple(name for name in sorted(history.reports) if name.startswith(f"{request}/")),
        missing_links=() if latest.get("status") == "completed" else watch.missing(),
    )


def _last(
    history: History, reports: Iterable[SeenReport], final: SeenReport | None, ends: Iterable[End]
) -> LastEvent | None:
    """Of all that was told about the request or its qubits, the verdict itself left out."""
    told = [
        LastEvent(at_ns=seen.now_ns, node=seen.node, text=_report_text(seen))
        for seen in reports
        if seen is not final and (final is None or seen.now_ns <= final.now_ns)
    ]
    told += [
        LastEvent(at_ns=seen.now_ns, node=seen.author, text=_fact_text(seen.fact))
        for end in ends
        for seen in history.facts.get(end, ())
        if final is None or seen.now_ns < final.now_ns
    ]
    return max(told, key=lambda one: one.at_ns, default=None)


def _report_text(seen: SeenReport) -> str:
    fields = seen.report.fields
    told = ", ".join(f"{key} {value}" for key, value in fields.items() if value not in (None, ""))
    return f"{seen.report.name.replace('_', ' ')} ({told})" if told else seen.report.name.replace("_", " ")


def _fact_text(fact: Fact) -> str:
    match fact:
        case Born():
            return f"half of {fact.end.link} {fact.end.attempt}.{fact.end.lane} born"
        case Swapped():
            return f"swap of {fact.left.link} and {fact.right.link}: {fact.result}"
        case Released():
            return f"qubit of {fact.end.link} {fact.end.attempt}.{fact.end.lane} released: {fact.reason}"
        case other:
            return type(other).__name__.lower()


Change = Fact | SeenReport | Offer | LinkId
"""A fact about a pair, a report about the request, an offer of a state of many nodes, or the first window of
a link."""


def _changes(history: History, request: RequestId) -> Iterator[tuple[int, Change]]:
    """What can change the answer, by time. Ends are followed through all that happened to them."""
    found: list[tuple[int, Change]] = [(seen.now_ns, seen) for seen in history.reports.get(request, ())]
    ends: dict[End, None] = {}
    for birth in history.births.get(request, ()):
        assert isinstance(birth.fact, Born)
        ends[birth.fact.end] = ends[birth.fact.end.partner] = None
    facts = {id(seen): seen for end in ends for seen in history.facts.get(end, ())}
    found += [(seen.now_ns, seen.fact) for seen in facts.values()]
    if len(history.members.get(request, ())) > 2:
        offers = (seen for told in history.deliveries.values() for seen in told)
        found += [
            (seen.sent_ns, seen.message)
            for seen in offers
            if isinstance(seen.message, Offer) and seen.message.request == request and seen.sent_ns
        ]
    for link, windows in history.windows.items():
        for window in windows:
            entries = (*window.window.schedule, *window.window.owners)
            if any(entry.request == request for entry in entries):
                found.append((window.now_ns, link))
                break
    return iter(sorted(found, key=lambda one: one[0]))


class _Watch:
    """What a request has at a moment."""

    def __init__(self, history: History, request: RequestId) -> None:
        self._request = request
        self._ends = {frozenset(nodes): link for link, nodes in _links(history).items()}
        self._owners = history.owners
        self._planned = False
        self._suspended = False
        self._windows: set[LinkId] = set()
        self._far: dict[End, End] = {}  # living ends, both halves born
        self._half: set[End] = set()
        self._grouped = len(history.members.get(request, ())) > 2
        births = history.births.get(request, ())
        self._needed = {seen.fact.end.link for seen in births if isinstance(seen.fact, Born)}
        self._alive: set[End] = set()  # of a state of many nodes: ends that are still somewhere
        self._offered: set[End] = set()  # heads of states that are being delivered
        self.routes: list[tuple[NodeId, ...]] = []

    def take(self, change: Change) -> None:
        """Something has changed."""
        if self._grouped:
            self._take_grouped(change)
        match change:
            case str():
                self._windows.add(change)
            case SeenReport():
                self._reported(change)
            case Born():
                end = change.end
                if end.partner in self._half:
                    self._half.discard(end.partner)
                    self._far[end], self._far[end.partner] = end.partner, end
                else:
                    self._half.add(end)
            case Swapped():
                x, y = self._far.pop(change.left, None), self._far.pop(change.right, None)
                if x is None or y is None or change.result != "ok":
                    self._drop(x)
                    self._drop(y)
                else:
                    self._far[x], self._far[y] = y, x
            case Fused():
                self._drop(self._far.pop(change.measured, None))
            case Released() | Sacrificed():
                self._half.discard(change.end)
                self._drop(self._far.pop(change.end, None))
            case _:
                pass

    def waiting(self) -> Waiting:
        if self._suspended:
            return "suspended"
        if not self._planned:
            return "plan"
        if self._grouped:
            return self._waiting_grouped()
        chains = {frozenset((self._owner(x), self._owner(y))) for x, y in self._far.items()}
        states: list[Waiting] = [self._on(route, chains) for route in self.routes]
        if not states:
            return "heralds" if self._windows else "lanes"
        return max(states, key=WAITING.index)

    def _take_grouped(self, change: Change) -> None:
        match change:
            case Born():
                self._alive.add(change.end)
            case Offer():
                self._offered.add(change.head_end)
            case Released() | Sacrificed():
                self._alive.discard(change.end)
                self._offered.discard(change.end)
            case Fused():
                self._alive.discard(change.measured)
            case Swapped():
                self._alive -= {change.left, change.right}
            case _:
                pass

    def _waiting_grouped(self) -> Waiting:
        if self._offered:
            return "delivery"
        if not self._windows:
            return "lanes"
        return "swaps" if self._needed and self._needed <= {end.link for end in self._alive} else "heralds"

    def missing(self) -> tuple[LinkId, ...]:
        """Links of the routes without a window, or, when all have one, without a living pair."""
        links = [link for route in self.routes for link in self._along(route)]
        if self._grouped:
            links = sorted(self._needed - {end.link for end in self._alive})
        dark = [link for link in links if link not in self._windows]
        if not dark:
            living = {end.link for end in self._far}
            dark = [link for link in links if link not in living]
        return tuple(dict.fromkeys(dark))

    def _on(self, route: tuple[NodeId, ...], chains: set[frozenset[NodeId]]) -> Waiting:
        if frozenset((route[0], route[-1])) in chains:
            return "delivery"
        reached = {0}
        for place in range(len(route)):
            if place in reached:
                reached |= {
                    further
                    for further in range(place + 1, len(route))
                    if frozenset((route[place], route[further])) in chains
                }
        if len(route) - 1 in reached:
            return "swaps"
        return "heralds" if self._windows.issuperset(self._along(route)) else "lanes"

    def _along(self, route: tuple[NodeId, ...]) -> list[LinkId]:
        """The links between neighbours; one of which nobody has ever spoken goes by its two nodes."""
        return [self._ends.get(frozenset(hop), "-".join(hop)) for hop in pairwise(route)]

    def _reported(self, seen: SeenReport) -> None:
        fields = seen.report.fields
        match seen.report.name:
            case "plan_active":
                self._planned, self._suspended = True, False
            case "plan_installed" if fields.get("role") == "source":
                route = tuple(str(fields["route"]).split())
                if route not in self.routes:
                    self.routes.append(route)
            case "plan_expired":
                self._planned = False
            case "request_status" if fields["status"] == "suspended":
                self._suspended = True
            case "request_status":
                self._suspended = False
            case _:
                pass

    def _owner(self, end: End) -> NodeId:
        return self._owners.get((end.link, end.side), "")

    def _drop(self, end: End | None) -> None:
        if end is not None:
            self._far.pop(end, None)


def _links(history: History) -> dict[LinkId, frozenset[NodeId]]:
    """Which nodes each link joins, as far as anybody had a qubit of it or was offered a window."""
    joined: dict[LinkId, set[NodeId]] = {}
    for (link, _), node in history.owners.items():
        joined.setdefault(link, set()).add(node)
    for link, windows in history.windows.items():
        joined.setdefault(link, set()).update(seen.node for seen in windows if not seen.granted)
    return {link: frozenset(nodes) for link, nodes in joined.items() if len(nodes) == 2}
