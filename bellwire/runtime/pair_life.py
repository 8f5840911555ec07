"""The life of one pair: from the windows in which it was heralded to the word that it is settled.

Owns which elementary pairs a delivered one is made of, what happened to them at which node and when, and how
old and how good the pair was at each of these moments. Refuses pictures (cli/trace.py, cli/trace_svg.py).
Fidelities are the Global Entanglement Module's own: the pair's facts are folded in the order of their times.
"""

from collections.abc import Iterable, Iterator

from bellwire.core.effects import FuseQubits, MeasureBell
from bellwire.core.errors import ConfigError
from bellwire.core.facts import Born, Fact, Fused, Released, Sacrificed, Swapped, Verdict, ends_named
from bellwire.core.ids import End, LinkId, NodeId, PairId, RequestId
from bellwire.core.messages import Commit, Offer, OfferAnswer, Settled
from bellwire.gem.fold import Fold
from bellwire.runtime.history import History, SeenFact, SeenReport, SeenWindow
from bellwire.runtime.pair_moments import Holding, Kind, Moment, PairLife, Passage, said

CONSTITUENTS_MAX = 512
"""A pair of more elementary ones is not drawn; none that any planner makes has so many."""


def pair_life(history: History, request: RequestId, number: int) -> PairLife:
    """The life of pair `number` of a request.

    Raises:
        ConfigError: no such pair was delivered.
    """
    head = _delivery(history, request, number)
    told = head.report.fields
    head_end, tail_end = End.from_text(str(told["head_end"])), End.from_text(str(told["tail_end"]))
    ends = constituents(history, head_end)
    return _Telling(history, request, number, head, head_end, tail_end, ends).life()


def deliveries(history: History, request: RequestId) -> list[SeenReport]:
    """The heads' reports of the delivered pairs, by time."""
    return [
        seen
        for seen in history.reports.get(request, ())
        if seen.report.name == "pair_delivered" and seen.report.fields.get("role") == "head"
    ]


def _delivery(history: History, request: RequestId, number: int) -> SeenReport:
    heads = deliveries(history, request)
    for seen in heads:
        if seen.report.fields["number"] == number:
            return seen
    numbers = sorted(int(str(seen.report.fields["number"])) for seen in heads)
    if not numbers:
        raise ConfigError(f"no pair of {request} was delivered; without --pair you see where its time went")
    raise ConfigError(f"{request} has no pair {number}: {numbers[0]} to {numbers[-1]} were delivered")


def constituents(history: History, first: End) -> tuple[End, ...]:
    """All ends that had a part in the pair of this end: joined by it, measured or sacrificed for it."""
    found: dict[End, None] = {first: None}
    waiting = [first]
    while waiting:
        end = waiting.pop()
        near = [end.partner]
        for seen in history.facts.get(end, ()):
            if isinstance(seen.fact, Swapped | Fused | Sacrificed):
                near += ends_named(seen.fact)
        for one in near:
            if one not in found and one in history.facts:
                found[one] = None
                waiting.append(one)
        if len(found) > 2 * CONSTITUENTS_MAX:
            raise ConfigError(f"the pair is made of more than {CONSTITUENTS_MAX} elementary pairs")
    return tuple(found)


class _Telling:
    """Gathers one life."""

    def __init__(
        self,
        history: History,
        request: RequestId,
        number: int,
        head: SeenReport,
        head_end: End,
        tail_end: End,
        ends: tuple[End, ...],
    ) -> None:
        self._history, self._request, self._number = history, request, number
        self._head, self._head_end, self._tail_end, self._ends = head, head_end, tail_end, ends
        self._pairs = tuple(dict.fromkeys(end.pair for end in ends))
        facts = {id(seen): seen for end in ends for seen in history.facts[end]}
        self._facts = sorted(facts.values(), key=lambda seen: seen.now_ns)

    def life(self) -> PairLife:
        moments = sorted(self._moments(), key=lambda one: one.at_ns)
        born = [seen.fact.since_ns for seen in self._facts if isinstance(seen.fact, Born)]
        fidelity = self._head.report.fields.get("fidelity")
        return PairLife(
            request=self._request,
            number=self._number,
            nodes=self._nodes({one.node for one in moments}),
            moments=tuple(moments),
            holdings=tuple(self._holdings()),
            passages=tuple(sorted(self._passages(), key=lambda one: one.sent_ns)),
            links=tuple(dict.fromkeys(pair.link for pair in self._pairs)),
            heralded_ns=min(born, default=self._head.now_ns),
            delivered_ns=self._head.now_ns,
            settled_ns=next((one.at_ns for one in moments if one.kind == "settled"), None),
            fidelity=float(fidelity) if isinstance(fidelity, int | float) else None,
            void=self._reported("pair_void"),
        )

    def _reported(self, name: str) -> bool:
        return any(
            seen.report.name == name and seen.report.fields.get("number") == self._number
            for seen in self._history.reports[self._request]
        )

    # ---- where

    def _nodes(self, told: set[NodeId]) -> tuple[NodeId, ...]:
        """From the head to the tail along the chain; stations stand between the ends of their links."""
        order: list[NodeId] = []
        owners = self._history.owners
        for end in self._along():
            here, there = owners.get((end.link, end.side)), owners.get((end.link, end.partner.side))
            between = sorted(node for node in self._stations(end.pair) if node not in (here, there))
            order += [node for node in (here, *between, there) if node is not None]
        return tuple(dict.fromkeys((*order, *sorted(told))))

    def _stations(self, pair: PairId) -> set[NodeId]:
        return {seen.node for seen in self._history.heralds.get(pair, ()) if seen.by == "StationHeralded"}

    def _along(self) -> Iterator[End]:
        """The ends through which one enters each elementary pair on the way from the head."""
        seen_ends: set[End] = set()
        waiting = [self._head_end]
        while waiting:
            end = waiting.pop()
            if end in seen_ends:
                continue
            seen_ends |= {end, end.partner}
            yield end
            for one in (end, end.partner):
                for seen in self._history.facts.get(one, ()):
                    if isinstance(seen.fact, Swapped | Fused | Sacrificed):
                        waiting += [other for other in ends_named(seen.fact) if other not in seen_ends]

    # ---- what

    def _moments(self) -> Iterator[Moment]:
        yield from self._windows()
        yield from self._heralds()
        yield from self._folded()
        yield from self._agreed()
        for seen in self._history.reports[self._request]:
            if seen.report.name == "pair_delivered" and seen.report.fields["number"] == self._number:
                yield self._delivered(seen)

    def _delivered(self, seen: SeenReport) -> Moment:
        fields = seen.report.fields
        used = f", {fields['basis']} measured" if fields.get("basis") else ""
        age, fidelity = fields.get("age_ns"), fields.get("fidelity")
        return Moment(
            at_ns=seen.now_ns,
            node=seen.node,
            kind="delivered",
            text=f"delivered at the {fields['role']} as pair {self._number}{used}",
            ends=(str(fields[f"{fields['role']}_end"]),) if f"{fields['role']}_end" in fields else (),
            age_ns=int(age) if isinstance(age, int) else None,
            fidelity=float(fidelity) if isinstance(fidelity, int | float) else None,
        )

    def _windows(self) -> Iterator[Moment]:
        told: set[tuple[NodeId, LinkId, int]] = set()
        for pair in self._pairs:
            for seen in windows_of(self._history, pair):
                window = seen.window
                if (seen.node, pair.link, window.fence) in told:
                    continue
                told.add((seen.node, pair.link, window.fence))
                word = "may attempt" if seen.granted else "is offered"
                yield Moment(
                    at_ns=seen.now_ns,
                    node=seen.node,
                    kind="window",
                    text=f"{pair.link} {word} {window.first} to {window.last} of run {pair.run}",
                )

    def _heralds(self) -> Iterator[Moment]:
        for pair in self._pairs:
            windows = windows_of(self._history, pair)
            number = pair.attempt - windows[-1].window.first + 1 if windows else 0
            since = f", number {number} of its window" if windows else ""
            for seen in self._history.heralds.get(pair, ()):
                words = {
                    "StationHeralded": f"{pair.link} heralds attempt {pair.attempt}{since}, lane {pair.lane}",
                    "QubitHeld": f"memory holds attempt {pair.attempt} of {pair.link}",
                    "Heralded": f"attempt {pair.attempt} of {pair.link} heralded{since}, lane {pair.lane}",
                }[seen.by]
                later_ns = seen.now_ns - seen.at_ns
                told = f"; told {later_ns / 1e6:.4g} ms later" if later_ns > 0 else ""
                yield Moment(at_ns=seen.at_ns, node=seen.node, kind="herald", text=f"{words}{told}")

    def _folded(self) -> Iterator[Moment]:
        """The facts, each with the chain that it left behind."""
        owners = self._history.owners
        fold = Fold(lambda link, side: owners.get((link, side), "?"))
        for seen in self._facts:
            changed = fold.apply(seen.author, seen.incarnation, seen.fact)
            kind, text = said(seen.fact)
            about = ends_named(seen.fact)
            nearby = {*about, *changed}
            rows = fold.rows(max(seen.now_ns, seen.fact.at_ns))
            touched = [row for row in rows if nearby.intersection(row.ends)]
            if isinstance(seen.fact, Swapped | Fused):
                ordered_ns = gate_ordered_ns(self._history, seen)
                if ordered_ns is not None:
                    text = f"{text}, {(seen.fact.at_ns - ordered_ns) / 1e6:.4g} ms after the order"
            row = max(touched, key=lambda one: one.hops, default=None)
            yield Moment(
                at_ns=seen.fact.at_ns if isinstance(seen.fact, Swapped | Fused | Verdict) else seen.now_ns,
                node=seen.author,
                kind=kind,
                text=text,
                ends=tuple(map(str, about)),
                age_ns=None if row is None else row.age_ns,
                fidelity=None if row is None else row.fidelity,
                hops=None if row is None else row.hops,
            )

    def _agreed(self) -> Iterator[Moment]:
        for seen in self._history.deliveries.get(self._head_end, ()):
            match seen.message:
                case Offer():
                    kind: Kind = "offer"
                    text = f"offer for {seen.message.mode} arrives from {seen.sender}"
                case OfferAnswer(accepted=True):
                    kind, text = "accept", f"{seen.sender} accepts"
                case OfferAnswer():
                    kind, text = "accept", f"{seen.sender} declines: {seen.message.reason}"
                case Commit():
                    word = "void" if seen.message.void else f"number {seen.message.number}"
                    kind, text = "commit", f"commit of {seen.sender} arrives, {word}"
                case Settled():
                    kind, text = "settled", f"{seen.sender} has settled"
                case _:
                    continue
            if seen.received_ns is not None:
                yield Moment(at_ns=seen.received_ns, node=seen.receiver, kind=kind, text=text)

    # ---- memories and messages

    def _holdings(self) -> Iterator[Holding]:
        for end in self._ends:
            born: SeenFact | None = None
            until: int | None = None
            for seen in self._history.facts[end]:
                fact = seen.fact
                if isinstance(fact, Born):
                    born = seen
                elif _ended_by(end, fact):
                    until = fact.at_ns
            if born is not None and isinstance(born.fact, Born):
                yield Holding(
                    node=born.author,
                    end=str(end),
                    slot=born.fact.slot,
                    from_ns=born.fact.at_ns,
                    until_ns=until,
                )

    def _passages(self) -> Iterator[Passage]:
        history = self._history
        about = [*history.deliveries.get(self._head_end, ())]
        for pair in self._pairs:
            about += history.herald_reports.get(pair, ())
        for seen in about:
            if seen.sender is not None and seen.sent_ns is not None and seen.received_ns is not None:
                yield Passage(
                    kind=seen.kind,
                    sender=seen.sender,
                    receiver=seen.receiver,
                    sent_ns=seen.sent_ns,
                    received_ns=seen.received_ns,
                )
        for told in self._facts:
            if isinstance(told.fact, Swapped | Fused | Verdict):
                yield from self._word_of(told)

    def _word_of(self, told: SeenFact) -> Iterator[Passage]:
        """How the owners of other ends heard of a gate."""
        holders = {self._history.owners.get((end.link, end.side)) for end in (self._head_end, self._tail_end)}
        heard = [(at, node) for at, node in self._history.heard.get(told.fact, ()) if node in holders]
        if not heard:
            heard = [
                (at, node)
                for end in self._ends
                for at, node, author in self._history.news.get(end, ())
                if author == told.author and at >= told.now_ns
            ]
        first: dict[NodeId, int] = {}
        for at, node in sorted(heard):
            if node != told.author:
                first.setdefault(node, at)
        for node, at in first.items():
            yield Passage(
                kind=type(told.fact).__name__,
                sender=told.author,
                receiver=node,
                sent_ns=told.now_ns,
                received_ns=at,
            )


def _ended_by(end: End, fact: Fact) -> bool:
    match fact:
        case Swapped() | Released():
            return True
        case Sacrificed():
            return fact.end == end
        case Fused():
            return fact.measured == end or fact.result != "ok"
        case _:
            return False


def windows_of(history: History, pair: PairId) -> list[SeenWindow]:
    """The windows in force when the pair's attempt was made, as each node was told: of the highest fence
    that covers it."""
    covering = [
        seen
        for seen in history.windows.get(pair.link, ())
        if seen.window.run == pair.run and seen.window.first <= pair.attempt <= seen.window.last
    ]
    latest = max((seen.window.fence for seen in covering), default=0)
    return [seen for seen in covering if seen.window.fence == latest]


def gate_ordered_ns(history: History, seen: SeenFact) -> int | None:
    """When the gate of a swap or fusion was ordered; None: the record does not tell."""
    slots = _slots(history, ends_named(seen.fact))
    for order in reversed(history.orders.get(seen.author, ())):
        if order.now_ns > seen.now_ns:
            continue
        match order.order:
            case MeasureBell():
                taken = {order.order.left_slot, order.order.right_slot}
            case FuseQubits():
                taken = {order.order.kept_slot, order.order.measured_slot}
            case _:
                continue
        if taken == slots:
            return order.now_ns
    return None


def _slots(history: History, ends: Iterable[End]) -> set[int]:
    return {
        seen.fact.slot for end in ends for seen in history.facts.get(end, ()) if isinstance(seen.fact, Born)
    }
