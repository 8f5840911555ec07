"""A quantum ping of one link: which CREATEs it sends, and what their answers say.

Owns one ping from its first round to its verdict. Refuses clocks, chance and sockets: bases are drawn by who
asks, answers are handed in, and whoever asks says when the time is over.

A round asks for a few pairs by up to three CREATEs with measurement, one a basis. How many fall on each basis
is drawn, so that every pair is in a basis by chance (estimation/ping.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import exp
from typing import Final, Literal

from bellwire.core.bell import Walsh, fidelity_of
from bellwire.core.ids import End, NodeId
from bellwire.core.link_words import (
    Basis,
    BasisChoice,
    LinkAck,
    LinkAnswer,
    LinkCreate,
    LinkDone,
    LinkErr,
    LinkOkKeep,
    LinkOkMeasure,
    LinkVerdict,
)
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.topology_messages import LinkVerification
from bellwire.link_layer.estimation.counts import BASES, Counts, expected_parity
from bellwire.link_layer.estimation.ping import PingTest

PingBasis = Literal["X", "Z", "Y"]

CHOICES: Final[dict[PingBasis, BasisChoice]] = {
    "X": BasisChoice(random="XZ", first=255, second=0),
    "Z": BasisChoice(random="none"),
    "Y": BasisChoice(random="XYZ", first=0, second=255),
}
"""A fixed X or Y is a random choice that always falls on it."""

CREATES_A_ROUND: Final = len(BASES)

SLOWEST: Final = 0.1
"""A link that gives pairs at less than this share of its stated rate counts as one that gives none."""


@dataclass(slots=True)
class Round:
    """The CREATEs of one round by their id, and which of them still run."""

    running: set[int]
    asked: int  # pairs


@dataclass(slots=True)
class QuantumPing:
    """One ping by a user at `origin`. `first_create`: the first of CREATES_A_ROUND ids that no other CREATE
    of this node has."""

    network: NetworkSettings
    link: LinkSettings
    origin: NodeId
    test: PingTest
    first_create: int = 0
    verdict: LinkVerdict = "undecided"
    reason: str = ""
    counts: Counts = field(default_factory=Counts)
    last_ns: int = 0  # when the last pair was told
    rounds: int = 0
    _round: Round | None = None
    _here: dict[End, LinkOkMeasure] = field(default_factory=dict[End, LinkOkMeasure])
    _there: dict[End, LinkOkMeasure] = field(default_factory=dict[End, LinkOkMeasure])

    @property
    def partner(self) -> NodeId:
        """The node at the other end."""
        return next(node for node in self.link.nodes if node != self.origin)

    @property
    def errors(self) -> int:
        """Pairs whose bits do not fit."""
        return sum(one.errors for one in self.counts.bases)

    # ---- rounds

    def next_round(self, bases: Iterable[int], within_ns: int) -> list[LinkCreate]:
        """The CREATEs of the next round; none: all pairs are measured. `bases`: 0, 1 or 2 for each pair of
        it, drawn with equal chances."""
        sizes = self.test.rounds()
        if self.rounds >= len(sizes):
            return []
        drawn = [basis for _, basis in zip(range(sizes[self.rounds]), bases, strict=False)]
        creates = [
            LinkCreate(
                create=self.first_create + number,
                partner=self.partner,
                kind="measure",
                count=drawn.count(number),
                within_ns=within_ns,
                local=CHOICES[basis],
                remote=CHOICES[basis],
            )
            for number, basis in enumerate(BASES)
            if number in drawn
        ]
        self.rounds += 1
        self._round = Round({one.create for one in creates}, len(drawn))
        self._here, self._there = {}, {}
        return creates

    def take(self, node: NodeId, at_ns: int, answer: LinkAnswer) -> None:
        """An answer that a user at either end was given. Those to other CREATEs are none of ours."""
        running = self._round
        if running is None or not 0 <= answer.create - self.first_create < CREATES_A_ROUND:
            return
        match answer:
            case LinkAck() | LinkOkKeep():
                return
            case LinkOkMeasure():
                if answer.origin == self.origin and answer.link == self.link.link:
                    side = self._here if node == self.origin else self._there
                    side[answer.end] = answer
                    self.last_ns = max(self.last_ns, at_ns)
            case LinkDone():
                if answer.origin == self.origin and node == self.origin:
                    running.running.discard(answer.create)
            case LinkErr(code="EXPIRE"):
                for end in answer.ends:
                    self._here.pop(end, None)
                    self._there.pop(end, None)
            case LinkErr():
                if answer.origin == self.origin and node == self.origin:
                    running.running.discard(answer.create)
                    self.reason = f"{answer.code}: {answer.reason}"

    def round_is_over(self) -> bool:
        """Every CREATE of the round has ended, and both ends were told of every pair."""
        running = self._round
        return running is not None and not running.running and len(self._joined()) == len(self._here)

    def judge(self) -> bool:
        """Count the pairs of the round; True when the ping is over."""
        joined, asked = self._joined(), 0 if self._round is None else self._round.asked
        self._round = None
        for here, there in joined:
            basis = _basis(here.basis)
            if here.basis != there.basis or here.frame != there.frame or basis is None:
                continue  # an old partner that measures as it likes; such a pair says nothing
            wrong = here.bit ^ there.bit ^ expected_parity(here.frame, basis)
            self.counts.add(basis, bool(wrong), self.test.contrast)
        pairs = self.counts.tests
        if pairs:
            self.verdict = self.test.verdict(self.errors, pairs)
        if self.verdict != "undecided":
            self.reason = ""
            return True
        return len(joined) < asked or self.rounds >= len(self.test.rounds())

    def out_of_time(self, waited_ns: int) -> None:
        """The time that the ping was given is over. A link that gave nothing where it should have given many
        is none that entangles."""
        if self.verdict != "undecided":
            return
        pairs, waited_s = self.counts.tests, waited_ns / 1e9
        due = stated_rate_hz(self.link) * SLOWEST * waited_s
        self.reason = f"{pairs} pairs in {waited_s:g} s, at least {due:.1f} should have come"
        if not pairs and exp(-due) <= self.test.false_no:
            self.verdict = "no"

    # ---- what came of it

    def found(self, at_ns: int | None = None) -> LinkVerification:
        """The result as the map keeps it. `at_ns`: when no pair came at all."""
        pairs = self.counts.tests
        low, high = self.test.interval(self.errors, pairs) if pairs else (0.0, 1.0)
        best = self.test.fidelity_of(self.errors, pairs) if pairs else 0.0
        return LinkVerification(
            verdict=self.verdict,
            fidelity_wanted=self.test.fidelity,
            pairs=pairs,
            fidelity=min(high, max(low, best)),
            fidelity_low=low,
            fidelity_high=high,
            at_ns=self.last_ns if at_ns is None or pairs else at_ns,
        )

    def _joined(self) -> list[tuple[LinkOkMeasure, LinkOkMeasure]]:
        partners = {ok.end.partner: ok for ok in self._there.values()}
        return [(ok, partners[end]) for end, ok in self._here.items() if end in partners]


def stated_rate_hz(link: LinkSettings) -> float:
    """Pairs per second that the lab file promises at the slowest operating point, nobody else asking."""
    points = [link.point(index) for index in range(max(1, len(link.points)))]
    slowest = min(point.success_probability for point in points)
    return slowest * link.lanes * 1e9 / link.period_ns / max(1, link.turns)


def stated_fidelity(link: LinkSettings) -> float:
    """Fidelity that the lab file promises at the point that serves where nobody asks for one."""
    heralds = link.point(0).heralds
    return sum(fidelity_of(Walsh(one.signs, one.cost)) for one in heralds) / len(heralds)


def readout_contrast(network: NetworkSettings, link: LinkSettings) -> float:
    """What the readout of both ends leaves of a correlation, as the lab believes."""
    left = 1.0
    for node in link.nodes:
        memory = network.nodes[node].memory
        left *= 1.0 if memory is None else 2.0 * memory.readout_fidelity - 1.0
    return left


def _basis(basis: Basis) -> int | None:
    return BASES.index(basis) if basis in BASES else None
