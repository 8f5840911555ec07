"""Whether a link makes pairs at all: side 0 judges by what both ends have attempted and what came of it.

Owns the verdict "down" with its reason, the words between the ends that it needs, and when an idle link that
was judged down is tried again. Refuses how good pairs are (estimation/) and who is told (service.py,
advertising.py).

Three things take a link down. No herald among attempts of both ends of which MISSED_MAX successes were to be
expected, or MISSED_SEEN by what this end has seen itself: by chance that happens once in exp(MISSED_SEEN)
times. An end cannot know which lanes the other end attempts on, so side 0 asks before it judges. Attempts
count when the station says that they are decided, so that a late process at either end is no silence. A
station that says nothing, run after run. The own memory without its qubits. One herald ends the verdict,
whatever it was given for; so does the memory's return.

What is expected is the larger of two: the lab file's success probability divided by FILE_DOUBT, for a link
that is slower than its file says is slow, not down; and what this end has seen, heralds over its own
attempts, which is too low where the other end did not attempt. A verdict that a herald takes back has doubted
too little.
"""

from collections.abc import Callable, Iterable, Mapping
from math import sqrt
from typing import Final

from bellwire.core.errors import PeerViolation
from bellwire.core.ids import NodeId
from bellwire.core.link_messages import AttemptsTold, AttemptsWanted
from bellwire.core.link_words import LinkCreate
from bellwire.core.machine import Step
from bellwire.core.units import NS_PER_S
from bellwire.link_layer.agreement import QueueKeeper
from bellwire.link_layer.creates import Creates
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.turns import attempts_in_turns
from bellwire.link_layer.uses import LinkHandler

MISSED_MAX: Final = 40.0
"""Successes that were to be expected since the last one by the lab file, doubted: at a link that is five
times slower than its file says, one gap in exp(24) is as long."""

FILE_DOUBT: Final = 3.0
"""A link of which nothing was measured may be so many times slower than its lab file says."""

TAKEN_BACK_NS: Final = 20 * NS_PER_S
"""A herald within such a silence says that the link was slow, and not dark."""

DOUBT_STEP: Final = 4.0
"""The lab file is doubted so many times more after that."""

MISSED_SEEN: Final = 20.0
"""The same where this end knows from heralds of its own what is to be expected: by chance once in exp(20), or
five hundred million, heralds, and what is expected lies three standard errors below what was seen. Where a
link becomes five times slower from one moment to the next, one gap in 200 is called dark, until its end."""

SEEN_LEAST: Final = 20
"""Heralds after which the success probability counts that this end has seen."""

SEEN_MOST: Final = 200
"""With more than so many heralds, the older half is forgotten."""

SILENCE_LEAST_NS: Final = 2 * NS_PER_S
"""No verdict before a silence of this length, nor of a cycle of turns, however fast the link: an order to
attempt that has failed is given again with the next window, half a lease later."""

SILENCE_FIRST_NS: Final = 4 * NS_PER_S
"""The same for a run of which no herald has come yet: instruments are being armed."""

SILENT_RUNS: Final = 2
"""A station that said nothing in so many runs in a row is gone."""

LOOK_NS: Final = NS_PER_S // 4
"""A link without a station has nobody who says which attempts are decided: it looks so often itself. The
other end is asked no more often either."""

TRIAL_NS: Final = 2 * NS_PER_S
"""For so long an idle link that was judged down tries for one pair."""

REST_NS: Final = 8 * NS_PER_S
"""Between two trials."""

TRIAL_ID_LAST: Final = 65_535
"""Id of the CREATE of a trial of a node's first link; the next link has the one before."""


class LinkWatch:
    """Of one link end; side 1 only answers. Satisfies uses.Timed."""

    def __init__(
        self,
        ground: Ground,
        keeper: QueueKeeper,
        lanes: Lanes,
        creates: Creates,
        told: Callable[[Step, str], None],
        trial_id: int,
    ) -> None:
        """`told`: takes the new reason, "" when the link is no longer down. `trial_id`: id of the CREATE of a
        trial, of no other link of the node."""
        self.down = ""  # why no pair can be had, as side 0 judges; "": as far as is known, pairs can
        self._ground = ground
        self._keeper = keeper
        self._lanes = lanes
        self._creates = creates
        self._told = told
        self._trial_id = trial_id
        ground.begin_counters("downs", "trials")
        self._doubt = FILE_DOUBT
        self._called_dark = False  # the verdict rests on missing heralds, and on nothing that was told
        self._decided = -1  # attempts of the run up to this one are decided
        self._herald = -1  # attempt of the last herald of the run
        self._heralds = 0.0  # that this end has seen
        self._tried = 0.0  # its attempts up to the last of them
        self._since = 0  # its attempts since then
        self._silent_since_ns = 0
        self._ask_ns = 0  # the other end is not asked before
        self._due_ns: int | None = None

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return {AttemptsWanted: self._attempts_wanted, AttemptsTold: self._attempts_told}

    # ---- what happens at the link

    def run_begun(self, step: Step) -> None:
        """Attempts are numbered anew."""
        self._decided = self._herald = -1
        self._silent_since_ns = step.now_ns
        if self._ground.side == 0 and self._ground.link.station is None:
            self._due_ns = step.now_ns + LOOK_NS

    def heralded(self, step: Step, run: int, attempt: int, first: int | None) -> None:
        """The link makes pairs, or made one in a run before. first: of the lane's attempts, None: it did not
        attempt here."""
        if run != self._ground.book.run:
            return
        if first is not None:
            self._tried += self._since + max(1, self._made(max(self._decided + 1, first), attempt))
            self._since = 0
            self._heralds += 1
            if self._heralds >= SEEN_LEAST and self._heralds / self._tried >= self._usual() / FILE_DOUBT:
                self._doubt = FILE_DOUBT  # it is as fast as its file says, or nearly
            if self._heralds > SEEN_MOST:
                self._tried, self._heralds = self._tried / 2, self._heralds / 2
        self._herald = max(self._herald, attempt)
        self._works(step)

    def decided(self, step: Step, attempt: int) -> None:
        """All attempts of the run up to this one have ended, and their heralds are here."""
        if self._ground.side != 0:
            return
        if not self.down:
            self._since += sum(
                self._made(max(self._decided + 1, first), attempt)
                for first in self._own_leases()
                if first is not None
            )
        self._decided = max(self._decided, attempt)
        if self.down or step.now_ns < self._ask_ns:
            return
        if not self._silent_for_long(step.now_ns):
            return
        run = self._ground.book.run
        if run is not None and self._too_many(self._attempts(self._own_leases())):
            self._ask_ns = step.now_ns + LOOK_NS
            step.send(self._ground.peer, AttemptsWanted(link=self._ground.link.link, run=run))

    def station_gave_up(self, step: Step) -> None:
        """A run has ended because the station said nothing."""
        if self._ground.side == 0 and not self.down and self._keeper.silent_runs >= SILENT_RUNS:
            self._judge(step, f"station {self._ground.link.station} says nothing")

    def memory_changed(self, step: Step, *, ready: bool) -> None:
        """The memory of this node is gone, or back."""
        if self._ground.side != 0:
            return
        if ready:
            self._works(step)  # nothing is known against it any more
        elif not self.down:
            self._judge(step, f"the memory of {self._ground.node} does not work")

    # ---- words between the ends

    def _attempts_wanted(self, step: Step, source: NodeId, message: AttemptsWanted) -> None:
        """Raises PeerViolation when we are the side that judges."""
        if self._ground.side == 0:
            raise PeerViolation(source, f"{message.link}: asks for attempts, which only side 0 does")
        if message.run == self._ground.book.run:
            word = AttemptsTold(link=message.link, run=message.run, leases=tuple(self._own_leases()))
            step.send(source, word)

    def _attempts_told(self, step: Step, source: NodeId, message: AttemptsTold) -> None:
        """Raises PeerViolation when the other end does not answer by lane, or was not to answer."""
        lanes = self._ground.link.lanes
        if self._ground.side != 0 or len(message.leases) != lanes:
            raise PeerViolation(source, f"{message.link}: tells attempts of {len(message.leases)} lanes")
        if message.run != self._ground.book.run or self.down:
            return
        common = [
            None if one is None or other is None else max(one, other)
            for one, other in zip(self._own_leases(), message.leases, strict=True)
        ]
        attempts = self._attempts(common)
        if self._too_many(attempts) and self._silent_for_long(step.now_ns):
            expected = self._expected(attempts)
            text = f"no herald in {attempts} attempts, of which {expected:.0f} should have succeeded"
            self._called_dark = True
            self._judge(step, text)

    def _own_leases(self) -> list[int | None]:
        """By lane the first attempt since which it attempts without a break; None: it does not attempt."""
        return [self._lanes.attempting_from(lane) for lane in range(self._ground.link.lanes)]

    # ---- the verdict

    def _silent_for_long(self, now_ns: int) -> bool:
        least_ns = SILENCE_FIRST_NS if self._herald < 0 else SILENCE_LEAST_NS
        least_ns = max(least_ns, self._ground.link.turn_ns * self._ground.link.turns)
        return now_ns - self._silent_since_ns >= least_ns

    def _attempts(self, leases: Iterable[int | None]) -> int:
        """Attempts of these leases that are decided, since the last herald."""
        return sum(
            self._made(max(first, self._herald + 1), self._decided) for first in leases if first is not None
        )

    def _made(self, first: int, last: int) -> int:
        """Attempts of a lane from `first` to `last` that lie in the turns of the link."""
        book = self._ground.book
        granted = book.windows[-1].granted if book.windows else ()
        return attempts_in_turns(self._ground.link, granted, book.epoch_ns, first, last)

    def _expected(self, attempts: int) -> float:
        """Successes among so many attempts, were all as usual."""
        return attempts * max(self._usual() / self._doubt, self._seen())

    def _seen(self) -> float:
        """The least success probability that the heralds of this end allow, 0.0 before there are enough."""
        if self._heralds < SEEN_LEAST:
            return 0.0
        return self._heralds / self._tried * (1.0 - 3.0 / sqrt(self._heralds))

    def _too_many(self, attempts: int) -> bool:
        """Whether so many attempts without a herald are no chance."""
        by_file = attempts * self._usual() / self._doubt
        return by_file >= MISSED_MAX or attempts * self._seen() >= MISSED_SEEN

    def _usual(self) -> float:
        """The success probability by the lab file, at the operating point in force."""
        windows = self._ground.book.windows
        return self._ground.link.point(windows[-1].point if windows else 0).success_probability

    def _works(self, step: Step) -> None:
        silent_ns, self._silent_since_ns = step.now_ns - self._silent_since_ns, step.now_ns
        if self.down:
            if self._called_dark and silent_ns < TAKEN_BACK_NS:
                self._doubt *= DOUBT_STEP
                self._heralds = self._tried = 0.0  # whether it was slow or mended, the next heralds tell
            self._judge(step, "")

    def _judge(self, step: Step, reason: str) -> None:
        self.down = reason
        if not reason:
            self._called_dark = False
        if reason:
            self._ground.counters["downs"] += 1
            self._due_ns = step.now_ns + REST_NS
        else:
            self._due_ns = None if self._ground.link.station is not None else step.now_ns + LOOK_NS
        self._told(step, reason)

    # ---- time

    def deadline_ns(self) -> int | None:
        """The next look at a link without a station, or the next trial of one that is down."""
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        """Look, or try for a pair if nobody else does."""
        assert self._due_ns is not None
        book, wanted = self._ground.book, bool(self._ground.requests)
        if self._ground.link.station is None and wanted and book.run is not None:
            self._due_ns = step.now_ns + LOOK_NS
            link = self._ground.link
            flight_ns = link.click_delay_ns + max(link.herald_delay_ns)
            self.decided(step, book.attempt_at(step.now_ns - flight_ns) - 1)
        elif self.down and not wanted:
            self._due_ns = step.now_ns + REST_NS
            self._try(step)
        elif self.down:
            self._due_ns = step.now_ns + REST_NS  # whoever wants it tries it
        else:
            self._due_ns = None

    def _try(self, step: Step) -> None:
        if self._creates.queue.uses(self._trial_id):
            return  # a user has chosen this very id
        self._ground.counters["trials"] += 1
        trial = LinkCreate(
            create=self._trial_id, partner=self._ground.peer, kind="measure", count=1, within_ns=TRIAL_NS
        )
        self._creates.submit(step, trial)
