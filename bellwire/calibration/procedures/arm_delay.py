"""The delay between both arms of an analyser by arrival times, before any interference is looked for
(procedure 2, steps 1 to 3).

Each arm alone is lit by one photon of the alignment pairs; when it clicks within the pulse period tells how
long the arm is, and how long the cables of the detectors are. The line is moved a little to learn whose arm
it is in, then to where both arms are alike, and looked at once more. The arms that this is about begin at
the switch of the station: fibres of the nodes are not seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from bellwire.calibration.bench import AlignmentSource, LinkBench, Receiver
from bellwire.calibration.estimates.counting import weighted_sum
from bellwire.calibration.estimates.pulse_phase import PulsePhase, common, later, pulse_phase
from bellwire.calibration.listening import Listening
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.procedures import alignment_light, pictures
from bellwire.calibration.procedures.clicks import Clicks, heard_clicks
from bellwire.calibration.procedures.delay_line import approach, range_of
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work

Phases = Mapping[str, PulsePhase]
"""By detector."""

SLOPE_OFF_MAX = 0.1
"""The delay between the arms must follow the line, up to this share."""
RESIDUAL_MAX_PS = 10.0


@dataclass(frozen=True, slots=True)
class _Look:
    """Both arms with the line at `line_ps`. `late`: how much later the second arm is."""

    line_ps: float
    first: Phases
    late: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmDelay:
    """`look_s`: of tags of one arm at one place of the line. `step_ps`: to learn whose arm the line is in."""

    look_s: float = 0.5
    step_ps: float = 40.0
    name: str = "arm_delay"
    meaning: str = "delay between the arms of the analyser, and between its detectors, by arrival times"
    needs: tuple[str, ...] = ("darks",)
    valid_for_s: float = 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if (why := no_arrival_times(bench)) is not None:
            return why
        return None if bench.delay is not None else "no delay line is named"

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        assert bench.delay is not None
        return unique(
            *alignment_light.source_instruments(bench),
            bench.delay.instrument,
            *(one.tagger for one in bench.receivers),
        )

    async def run(self, work: Work) -> Finding:
        knob, (receiver,) = work.bench.delay, work.bench.receivers
        assert knob is not None
        low, high = range_of(knob)
        await alignment_light.bring_source(work)
        async with work.listen([receiver]) as heard:
            start = min(max(await work.read_number(knob), low), high)
            looks = [await self._look(work, heard, receiver, start)]
            onwards = self.step_ps if start + self.step_ps <= high else -self.step_ps
            looks.append(await self._look(work, heard, receiver, start + onwards))
            sign, slope = _sign(looks[0], looks[1])
            goal = looks[1].line_ps - sign * looks[1].late.value
            work.tell("arms are found", 0.6, late_ps=looks[1].late.value, goal_ps=goal)
            if not low <= goal <= high:
                raise Unfit(
                    f"the line had to stand at {goal:.0f} ps, outside {low:.0f} to {high:.0f} ps: change the "
                    "length of a fibre in front of the splitter"
                )
            looks.append(await self._look(work, heard, receiver, goal))
        last = looks[-1]
        place = weighted_sum([(-sign, last.late)], last.line_ps, "ps")
        return Finding(
            quantities={"place_ps": place, "late_at_first_ps": looks[0].late}
            | _corrections(work, receiver, last.first),
            checks=(
                Check(
                    "delay of the arms over that of the line",
                    abs(slope),
                    1.0 - SLOPE_OFF_MAX,
                    1.0 + SLOPE_OFF_MAX,
                ),
                Check("residual delay of the arms", abs(last.late.value), None, RESIDUAL_MAX_PS, "ps"),
                Check("place in the range of the line", (place.value - low) / (high - low), 0.05, 0.95),
            ),
            settings={knob: round(place.value, 3)},
            draw=pictures.curves(
                {label: one.peak.curve for label, one in last.first.items()},
                title=f"Arrival at {receiver.name} within a pulse period, one arm lit",
            ),
        )

    async def _look(self, work: Work, heard: Listening, receiver: Receiver, line_ps: float) -> _Look:
        knob, source = work.bench.delay, alignment_light.source_of(work.bench)
        assert knob is not None
        assert source is not None
        stands_ps = await approach(work, knob, line_ps)
        arms: list[Phases] = []
        for lit in (0, 1):
            await alignment_light.light_one(work, lit)
            clicks = await heard_clicks(work, heard, receiver, self.look_s)
            arms.append(await asyncio.to_thread(_phases, clicks, source))
        work.tell("looking at arrival times", None, line_ps=stands_ps)
        first, second = arms
        return _Look(stands_ps, first, common([later(second[label], first[label]) for label in first]))


def no_arrival_times(bench: LinkBench) -> str | None:
    """Why arrival times within a pulse period cannot be told, one arm lit, or None."""
    if (why := alignment_light.cannot_meet(bench)) is not None:
        return why
    source = alignment_light.source_of(bench)
    assert source is not None
    if len(source.routes) != 2:
        return "the alignment light has no two ways of a switch, to light one arm at a time"
    if source.period_ps is None:
        return "the alignment light has no pulses that arrival times could be told by"
    if bench.receivers[0].clock != "locked":
        return f"the clock of {bench.receivers[0].tagger} is not locked to that of the pulses"
    return None


def _phases(clicks: Clicks, source: AlignmentSource) -> Phases:
    """Of every detector. Raises NoEstimate for one without light."""
    assert source.period_ps is not None
    return {label: pulse_phase(times, source.period_ps) for label, times in clicks.times.items()}


def _sign(one: _Look, other: _Look) -> tuple[float, float]:
    """1 when the line is in the second arm, -1 when in the first; and how well the delay follows the line."""
    slope = (other.late.value - one.late.value) / (other.line_ps - one.line_ps)
    if abs(abs(slope) - 1.0) > 3 * SLOPE_OFF_MAX:
        raise Unfit(
            f"the delay between the arms changes by {slope:.2f} ps for each ps of the line, 1 or -1 is "
            "expected: the line is in neither arm, or does not move"
        )
    return (1.0 if slope > 0.0 else -1.0), slope


def _corrections(work: Work, receiver: Receiver, phases: Phases) -> dict[str, Quantity]:
    """What is to be added to the tags of each detector so that all show one time, as of the first one."""
    reference, found = receiver.labels[0], {}
    for label in receiver.labels:
        name = f"correction_ps.{receiver.name}.{label}"
        before = work.quantity("arm_delay", name)
        known = 0.0 if before is None else round(before.value)
        if label == reference:
            found[name] = Quantity(known, 0.0, "ps")
        else:
            found[name] = weighted_sum([(-1.0, later(phases[label], phases[reference]))], known, "ps")
    return found
