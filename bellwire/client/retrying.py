"""Which failures are worth another try, and after how long. The loop is stamina's.

Owns the verdict. What was refused because of a limit has done nothing, so it may always be sent again; what
got no answer only if sending it twice is sending it once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import stamina

from bellwire.client.errors import KeyInProgress, NotAnswered, RateLimited, Unavailable


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how long one call is tried."""

    attempts: int = 5
    within_s: float = 30.0
    wait_first_s: float = 0.1
    wait_longest_s: float = 5.0

    def caller(self) -> stamina.RetryingCaller:
        """Tries a function until it returns."""
        return stamina.RetryingCaller(
            attempts=self.attempts,
            timeout=self.within_s,
            wait_initial=self.wait_first_s,
            wait_max=self.wait_longest_s,
            wait_jitter=self.wait_first_s,
        )

    def awaiting_caller(self) -> stamina.AsyncRetryingCaller:
        """The same for what is awaited."""
        return stamina.AsyncRetryingCaller(
            attempts=self.attempts,
            timeout=self.within_s,
            wait_initial=self.wait_first_s,
            wait_max=self.wait_longest_s,
            wait_jitter=self.wait_first_s,
        )


def worth_it(repeatable: bool) -> Callable[[Exception], bool | float]:
    """Says of a failure whether to try again; a number: after so many seconds."""

    def verdict(failure: Exception) -> bool | float:
        match failure:
            case RateLimited():
                return failure.retry_after_s or True
            case KeyInProgress():
                return failure.retry_after_s or True
            case Unavailable() if repeatable or failure.kind == "overloaded":
                return failure.retry_after_s or True
            case NotAnswered():
                return repeatable
            case _:
                return False

    return verdict
