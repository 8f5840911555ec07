"""How often an attempt of the memories heralds a pair: heralds over attempts, by the analyser's own rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates.counting import poisson_rate, share
from bellwire.calibration.estimates.herald_counts import (
    HeraldCounts,
    herald_counts,
    summed,
    window_opening,
)
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import alignment_light, light, pictures
from bellwire.calibration.procedures.clicks import detectors_of_bsm, heard_clicks, no_analyser
from bellwire.calibration.records import Check
from bellwire.calibration.standing import SUCCESS_PROBABILITY
from bellwire.calibration.work import Work

PIECE_S = 2.0
"""The opening of the windows is found anew in pieces of so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeraldRate:
    """`memories_s`: of tags; `heralds_min`: with fewer, the probability is worth no more than a guess."""

    memories_s: float = 60.0
    heralds_min: int = 100
    name: str = "herald_rate"
    meaning: str = "heralds of each Bell state per attempt of the memories"
    needs: tuple[str, ...] = ("arm_delay",)
    valid_for_s: float = 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if (why := alignment_light.does_not_meet(bench)) is not None:
            return why
        if (why := no_analyser(bench)) is not None:
            return why
        if bench.attempts is None:
            return "nothing says when photons of the memories come"
        (receiver,) = bench.receivers
        if receiver.clock != "locked":
            return f"the time of {receiver.tagger} is not locked to the attempts ({receiver.clock})"
        return None

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        pumps = [
            knob.instrument for arm in bench.arms if arm.converter for knob in arm.converter.pump.emission
        ]
        return unique(*light.instruments_of(bench), *pumps, *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        (receiver,) = work.bench.receivers
        attempts = work.bench.attempts
        assert attempts is not None
        await light.lighten(work)
        for arm in work.bench.arms:
            if arm.converter is not None:
                await work.emit(arm.converter.pump, True)
        names = detectors_of_bsm(receiver)
        pieces: list[HeraldCounts] = []
        heard_s = 0.0
        async with work.listen([receiver]) as heard:
            while heard_s < 0.99 * self.memories_s:
                clicks = await heard_clicks(work, heard, receiver, min(PIECE_S, self.memories_s - heard_s))
                times = {names[label]: each for label, each in clicks.times.items()}
                opening_ps = window_opening(
                    np.concatenate(list(times.values())), attempts.period_ps, attempts.window_ps
                )
                pieces.append(
                    herald_counts(
                        times, clicks.duration_s, attempts.period_ps, attempts.window_ps, opening_ps
                    )
                )
                heard_s += clicks.duration_s
                work.tell("counting heralds", heard_s / self.memories_s)
        found = summed(pieces)
        states = {"psi_plus": found.psi_plus, "psi_minus": found.psi_minus}
        return Finding(
            quantities={
                SUCCESS_PROBABILITY: found.success_probability,
                "heralds_hz": poisson_rate(found.heralds, heard_s),
                **{f"{name}_share": share(count, found.attempts) for name, count in states.items()},
                "discarded_share": share(found.discarded, found.attempts),
            },
            checks=(Check("heralds counted", float(found.heralds), float(self.heralds_min)),),
            arrays={
                "by_piece": np.array(
                    [[one.attempts, one.psi_plus, one.psi_minus, one.discarded] for one in pieces], np.int64
                )
            },
            draw=pictures.bars(
                {name: share(count, found.attempts) for name, count in states.items()},
                title=f"Heralds of {work.bench.link}",
                label="share of attempts",
            ),
        )
