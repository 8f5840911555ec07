"""What a detector makes of photons in time: dead time, afterpulses, jitter, latching.

Owns one realisation that goes on from block to block. Refuses efficiency and dark counts, which thin and add
light before it comes here.

Times are float64 ps from the start of a block; the caller says how long the block was, and what is left over
is moved to the next.
"""

from __future__ import annotations

from math import ceil, log, sqrt
from typing import Final, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bellwire.simulator_backend.photons.sinks import Detector

Floats: TypeAlias = NDArray[np.float64]

FWHM_PER_SIGMA: Final = 2.0 * sqrt(2.0 * log(2.0))

JITTER_MAX_SIGMA: Final = 8.0
"""Jitter is cut here (1e-15 of all clicks), so that a tag has a latest time."""


class ClickTrain:
    """One detector, block after block."""

    def __init__(self, detector: Detector, generator: Generator) -> None:
        self._detector = detector
        self._generator = generator
        self._sigma_ps = detector.jitter_fwhm_ps / FWHM_PER_SIGMA
        self._window_clicks = ceil(detector.latch_rate_hz * detector.latch_window_ps * 1e-12)
        self._last_ps = -np.inf
        self._due: Floats = np.empty(0)
        self._recent: Floats = np.empty(0)
        self.latched = False

    @property
    def reach_ps(self) -> float:
        """A tag may stand this much before its click."""
        return JITTER_MAX_SIGMA * self._sigma_ps

    def reset(self) -> None:
        """The bias was taken away: no longer latched, nothing remembered of the rate."""
        self.latched = False
        self._recent = np.empty(0)

    def forget(self) -> None:
        """Start anew after a time in which nobody looked."""
        self._last_ps = -np.inf
        self._due = self._recent = np.empty(0)

    def take(self, arrivals: Floats, length_ps: float) -> Floats:
        """Tag times of the clicks of a block, sorted, from its start; a few may lie outside it by jitter.

        arrivals: photons and darks that would click, unsorted, at or after the block's start.
        """
        candidates = np.concatenate((self._due, arrivals)) if len(self._due) else arrivals
        later = candidates >= length_ps
        if later.any():
            self._due, candidates = candidates[later] - length_ps, candidates[~later]
        else:
            self._due = np.empty(0)
        if len(candidates) > 1 and np.any(candidates[1:] < candidates[:-1]):
            candidates = np.sort(candidates)
        if self.latched:
            clicks = candidates[:0]
        elif self._detector.afterpulsing > 0.0:
            clicks = self._with_afterpulses(candidates, length_ps)
        else:
            clicks = candidates[kept_by_dead_time(candidates, self._detector.dead_ps, self._last_ps)]
        clicks = self._watch_rate(clicks, length_ps)
        if len(clicks):
            self._last_ps = float(clicks[-1])
        self._last_ps -= length_ps
        return self._tagged(clicks)

    def _tagged(self, clicks: Floats) -> Floats:
        tags = clicks + self._detector.latency_ps
        if self._sigma_ps > 0.0 and len(clicks):
            noise = self._generator.standard_normal(len(clicks))
            noise *= self._sigma_ps
            np.clip(noise, -self.reach_ps, self.reach_ps, out=noise)
            tags += noise
            if np.any(tags[1:] < tags[:-1]):
                tags.sort()
        return tags

    def _with_afterpulses(self, candidates: Floats, length_ps: float) -> Floats:
        """Clicks with those that they set off. Every candidate draws beforehand what it would set off if it
        clicked; which candidates click is then found from the front, until nothing changes."""
        times, parent = self._draw_descendants(candidates)
        order = np.argsort(times, kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        parent = np.where(parent[order] < 0, -1, place[parent[order]])
        times = times[order]
        inside = times < length_ps
        active = parent < 0
        while True:
            chosen = np.flatnonzero(active & inside)
            clicked = np.zeros(len(times), dtype=np.bool_)
            clicked[chosen[kept_by_dead_time(times[chosen], self._detector.dead_ps, self._last_ps)]] = True
            again = (parent < 0) | clicked[parent]
            if np.array_equal(again, active):
                break
            active = again
        # A child of the next block is alive if its parent clicked; its own children are drawn there.
        coming = active & ~inside & np.where(parent >= 0, inside[parent], False)
        self._due = np.concatenate((self._due, times[coming] - length_ps))
        return times[clicked]

    def _draw_descendants(self, candidates: Floats) -> tuple[Floats, NDArray[np.int64]]:
        detector = self._detector
        times, parents = [candidates], [np.full(len(candidates), -1, dtype=np.int64)]
        first, generation = 0, candidates
        while len(generation):
            chosen = np.flatnonzero(self._generator.random(len(generation)) < detector.afterpulsing)
            delays = self._generator.exponential(detector.afterpulse_ps, len(chosen))
            children = generation[chosen] + detector.dead_ps + delays
            times.append(children)
            parents.append(chosen + first)
            first, generation = first + len(generation), children
        return np.concatenate(times), np.concatenate(parents)

    def _watch_rate(self, clicks: Floats, length_ps: float) -> Floats:
        """Clicks up to the one at which the detector latches, if it does."""
        n, window = self._window_clicks, self._detector.latch_window_ps
        watched = np.concatenate((self._recent, clicks)) if len(self._recent) else clicks
        if len(watched) >= n:
            fast = np.flatnonzero(watched[n - 1 :] - watched[: len(watched) - n + 1] < window)
            if len(fast):
                self.latched = True
                last = int(fast[0]) + n - 1 - (len(watched) - len(clicks))
                clicks = clicks[: last + 1]
        self._recent = watched[watched > length_ps - window] - length_ps
        if self.latched:
            self._recent = np.empty(0)
        return clicks


def kept_by_dead_time(times: Floats, dead_ps: float, last_ps: float) -> NDArray[np.intp]:
    """Indices of the sorted times that click, when each click blinds for `dead_ps` (not prolonged).

    last_ps: the click before. Only runs of close neighbours are walked, all of them at once.
    """
    if len(times) == 0:
        return np.empty(0, dtype=np.intp)
    free = np.empty(len(times), dtype=np.bool_)
    free[0] = times[0] - last_ps >= dead_ps
    np.greater_equal(times[1:] - times[:-1], dead_ps, out=free[1:])
    if free.all():
        return np.arange(len(times), dtype=np.intp)
    # A time that is far from its neighbour is free whatever came before. The others follow a click in their
    # run: from it, the next click is the first time at or after the end of the blindness.
    kept = free.copy()
    starts = np.flatnonzero(free)
    run_ends = np.append(starts[1:], len(times))
    crowded = run_ends - starts > 1
    anchor_ends, anchor_times = run_ends[crowded], times[starts[crowded]]
    if not free[0]:  # the first run follows the click before
        stop = int(starts[0]) if len(starts) else len(times)
        anchor_ends = np.concatenate(([stop], anchor_ends))
        anchor_times = np.concatenate(([last_ps], anchor_times))
    while len(anchor_times):
        following = np.searchsorted(times, anchor_times + dead_ps, side="left")
        found = following < anchor_ends
        following, anchor_ends = following[found], anchor_ends[found]
        kept[following] = True
        anchor_times = times[following]
    return np.flatnonzero(kept)
