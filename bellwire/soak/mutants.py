"""One-line bugs, each of which some rule must notice: proof that the rules are worth something.

Owns the list and its planting. Refuses the rules. A bug is planted in the source of one module before
anything has imported it, in a process of its own, which plays histories until a rule breaks.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Final

from bellwire.core.errors import ConfigError

HISTORIES_MAX: Final = 300
"""A bug that no rule notices in so many histories counts as not noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A line of a module, and what stands there instead."""

    name: str
    module: str
    right: str
    wrong: str

    @property
    def room(self) -> str:
        """Where it is planted."""
        return self.module.split(".")[1]


MUTANTS: Final[tuple[Mutant, ...]] = tuple(
    Mutant(name=name, module=f"bellwire.{module}", right=right, wrong=wrong)
    for name, module, right, wrong in (
        # ---- ledger
        (
            "a swap forgets its outcome",
            "gem.fold",
            "chain.frame ^= joined.frame ^ fact.outcome",
            "chain.frame ^= joined.frame",
        ),
        (
            "a failed swap joins",
            "gem.fold",
            'if joined.dead or fact.result != "ok":',
            "if joined.dead:",
        ),
        (
            "a released half leaves its chain alive",
            "gem.fold",
            'if fact.reason != "delivered":',
            "if False:",
        ),
        (
            "a correction does not reach the frame",
            "gem.fold",
            "chain.frame ^= fact.pauli",
            "chain.frame ^= 0",
        ),
        (
            "a restart closes nothing",
            "gem.fold",
            "if record.born is not None or existed:",
            "if False:",
        ),
        (
            "facts after a hole are taken at once",
            "gem.streams",
            "if first == expected and not stream.held:",
            "if first >= expected and not stream.held:",
        ),
        (
            "a fact that comes twice is counted twice",
            "gem.streams",
            "if first == expected and not stream.held:",
            "if first <= expected and not stream.held:",
        ),
        (
            "a lost tail is never noticed",
            "gem.update",
            "self._questions.closed(step, event.source, mark.incarnation, mark.last)",
            "pass",
        ),
        (
            "the first missing fact is not sent",
            "gem.broadcast",
            "self._publishing.chunks(event.source, wanted.first)",
            "self._publishing.chunks(event.source, wanted.first + 1)",
        ),
        (
            "a question is asked once",
            "gem.questions",
            "question.again_ns = step.now_ns + self._interval_ns",
            "question.again_ns = step.now_ns + (1 << 60)",
        ),
        (
            "nobody says how far his facts go",
            "gem.broadcast",
            "if not self._digests or self._spoken_ns is None:",
            "if True:",
        ),
        # ---- ledgers that keep to routes
        (
            "readers are told a number too few",
            "gem.reader_streams",
            "stream.last += len(facts)",
            "stream.last += min(len(facts), 1)",
        ),
        (
            "a node of the route is not told",
            "gem.interests",
            "return tuple(dict.fromkeys((*serving, *more))) if more else serving",
            "return serving[1:]",
        ),
        # ---- swapping and corrections
        (
            "an unknown swap counts as done",
            "swapping.protocols",
            'ok = event.ended == "done" and event.outcome is not None',
            "ok = True",
        ),
        (
            "a given up end is not told",
            "swapping.outcomes",
            "step.tell(UpdatePair(fact=Released(end=slot.end, reason=reason, at_ns=step.now_ns)))",
            "pass",
        ),
        (
            "a given up qubit stays in its memory",
            "swapping.outcomes",
            "step.order(ReleaseQubit(slot=slot.index, tag=0))",
            "pass",
        ),
        (
            "cutoffs take qubits that are being measured",
            "swapping.losses",
            'if slot is not None and slot.state == "held":\n                self.give_up(',
            "if slot is not None:\n                self.give_up(",
        ),
        (
            "cutoffs come a second late",
            "swapping.losses",
            "heappush(self.limits, (at_ns, end))",
            "heappush(self.limits, (at_ns + 1_000_000_000, end))",
        ),
        (
            "lost memories are not told",
            "swapping.losses",
            "step.tell(UpdatePair(fact=fact))",
            "pass",
        ),
        # ---- slots
        ("a slot keeps its end", "node.slots", "del self._holding[slot.end]", "pass"),
        # ---- link agreement
        (
            "memories that forgot are used on",
            "link_layer.service",
            "step.tell(MemoryLost(reason=event.reason))",
            "pass",
        ),
        (
            "a herald counts twice",
            "link_layer.births",
            "if run != self._book.run or not self._lanes.first_birth(attempt, lane):",
            "if run != self._book.run:",
        ),
        (
            "a pair that is in doubt is bound",
            "link_layer.births",
            "in_doubt = self._keeper.in_doubt(attempt)",
            "in_doubt = False",
        ),
        (
            "one end forgets which Bell state was heralded",
            "link_layer.births",
            "                estimate.frame,\n",
            "                0,\n",
        ),
        (
            "the older window binds",
            "link_layer.binding",
            "(best is None or window.fence > best.fence)",
            "(best is None or window.fence < best.fence)",
        ),
        # ---- delivery
        (
            "what a source has made void still counts at the tail",
            "transport.tail",
            'amend = before == "settled" and (commit.void or commit.head_end in self._doubtful)',
            "amend = False",
        ),
        (
            "the tail counts a commit of a pair it never had",
            "transport.tail",
            "            pair.void = True\n        pair.void = pair.void or",
            "            pair.void = False\n        pair.void = pair.void or",
        ),
        (
            "the head hands over before it has written",
            "transport.head",
            "self._tokens[self.handover.persist(step, pair.record)] = pair",
            "token = self.handover.persist(step, pair.record)\n"
            "        self._tokens[token] = pair\n"
            "        self.on_persisted(step, token)",
        ),
        (
            "the tail accepts uncorrected",
            "transport.tail",
            "pair.pauli = (pair.frame or 0) if self.handover.settings.correct_frames else 0",
            "pair.pauli = 0",
        ),
        (
            "a request waits for one pair too many",
            "transport.requests",
            "if self.delivered(life.request.request_id) < count:",
            "if self.delivered(life.request.request_id) <= count:",
        ),
        (
            "a request is complete one pair early",
            "transport.requests",
            "if self.delivered(life.request.request_id) < count:",
            "if self.delivered(life.request.request_id) < count - 1:",
        ),
        # ---- monitor
        (
            "there is no cool-down",
            "transport.corrections_window",
            "due_ns = max(due_ns, standing.acted_ns + durations.cooldown)",
            "pass",
        ),
        (
            "one pair is enough to judge by",
            "transport.corrections_window",
            "(0 if len(self._samples) >= rules.samples_min else durations.least)",
            "0",
        ),
        (
            "thresholds have no floor",
            "transport.corrections_terms",
            "self.asked * (1.0 - rules.reduction_max)",
            "0.0",
        ),
        (
            "a threshold is raised beyond what was asked for",
            "transport.corrections_terms",
            "target = min(self.asked, self.now * (1.0 + rules.change))",
            "target = self.now * (1.0 + rules.change)",
        ),
        (
            "steps of a threshold are twice as large",
            "transport.corrections_terms",
            "target = max(self.now * (1.0 - rules.change),",
            "target = max(self.now * (1.0 - 2.0 * rules.change),",
        ),
    )
)


def plant_all(workers: int, tell: Callable[[int], None]) -> dict[str, Any]:
    """Plant each bug in a process of its own; ready for JSON."""
    began_s = time.monotonic()
    found: dict[int, dict[str, Any]] = {}
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(plant_apart, number): number for number in range(len(MUTANTS))}
        for done, future in enumerate(as_completed(running), 1):
            found[running[future]] = future.result()
            tell(done)
    told = [
        {"room": mutant.room, "mutant": mutant.name, **found[number]} for number, mutant in enumerate(MUTANTS)
    ]
    return {
        "mutants": told,
        "violations": sum(one["rule"] is None for one in told),
        "wall_s": round(time.monotonic() - began_s, 1),
        "workers": workers,
    }


def plant_apart(number: int) -> dict[str, Any]:
    """Plant one bug of the list in a process of its own, and say which rule noticed it; None: no rule did."""
    command = [sys.executable, "-m", "bellwire.soak.planted", str(number), str(HISTORIES_MAX)]
    environment = dict(os.environ, PYTHONHASHSEED="0")
    other = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if other.returncode:
        raise ConfigError(f"mutant {MUTANTS[number].name}: {other.stderr.strip()[-400:]}")
    found: dict[str, Any] = json.loads(other.stdout)
    return found
