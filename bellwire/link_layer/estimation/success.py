"""Success probability of an attempt, from how many attempts the lanes made until each test pair.

Owns the estimate of one operating point and its error. Refuses to know why a lane began when it did.

A test pair carries the first attempt of its lane's lease at both ends; from the later of the two on, both
ends took part. The number of attempts up to the herald is geometric, whatever is done with the pair
afterwards. Of m such waits with N attempts in sum, (m - 1)/(N - 1) is the unbiased estimate of the success
probability p (Haldane 1945), with standard error near p sqrt((1 - p)/m). Waits that end without a herald (a
lease that lapses, a request that is withdrawn) do not count, which lets p seem too large by about the share
of waits that end so.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final

WAITS_KEPT_MAX: Final = 16_384
"""Beyond this the older half is forgotten, so that the estimate follows the hardware."""

WAITS_MIN: Final = 8
"""Fewer waits say too little to be told."""


@dataclass(slots=True)
class SuccessCount:
    """Waits of one operating point."""

    waits: int = 0
    attempts: int = 0

    def add(self, attempts: int) -> None:
        """One herald at the `attempts`-th attempt, counted from one."""
        self.waits += 1
        self.attempts += attempts
        if self.waits >= WAITS_KEPT_MAX:
            self.waits //= 2
            self.attempts //= 2

    def estimate(self) -> tuple[float, float] | None:
        """Success probability and its standard error; None: too few waits."""
        if self.waits < WAITS_MIN or self.attempts <= self.waits:
            return None
        probability = (self.waits - 1) / (self.attempts - 1)
        return probability, probability * sqrt((1.0 - probability) / self.waits)
