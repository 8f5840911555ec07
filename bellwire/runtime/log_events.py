"""What every log line of an agent carries, what it never carries, and how many lines one event may write.

Owns the processors that structlog passes each line through. Refuses levels and places (log_lines.py). A line
is dropped only because its event writes too many of them, and the next line of that event says how many were.
"""

import re
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

Event = MutableMapping[str, Any]

LINES_PER_S: Final = 50.0
LINES_AT_ONCE: Final = 500
"""Of one event name, over a longer time and in one burst. A request at 30 pairs per second writes 60 lines of
`pair_delivered` and `pair_settled` each second, so ordinary work stays below."""
EVENT_NAMES_MAX: Final = 1_000
"""Names whose lines are counted apart; further ones share one count."""
NEVER_DROPPED: Final = frozenset({"error", "critical"})

REMOVED: Final = "[removed]"
SECRET_NAMES: Final = re.compile(r"(?i)secret|password|token|private_?key|authorization|credential")
_Z85: Final = r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]"
SECRET_TEXTS: Final = re.compile(
    r"bw_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"  # tokens of the northbound API
    # CURVE keys, public ones among them: 40 letters of Z85. One in 20,000 has none of the signs that no name
    # of a node, link or pair has; such a one is left to the name of its field.
    rf"|(?<!{_Z85})(?={_Z85}*[+=^!*?&<>()\[\]{{}}@%$#]){_Z85}{{40}}(?!{_Z85})"
    r"|(?i:bearer)\s+\S+"
)


class Stamped:
    """Puts the time and where a line comes from on it, and the pair that it is about."""

    def __init__(self, lab: str, version: str, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._lab = lab
        self._version = version
        self._now_ns = now_ns

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        at_ns = self._now_ns()
        seconds, rest_ns = divmod(at_ns, 1_000_000_000)
        when = datetime.fromtimestamp(seconds, UTC)
        event["timestamp"] = f"{when:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1_000:06d}Z"
        event["at_ns"] = _own(event, "at_ns", at_ns)
        event["lab"] = self._lab
        event["version"] = _own(event, "version", self._version)
        if "head_end" in event:
            event.setdefault("pair", event["head_end"])
        return event


def _own(event: Event, name: str, value: Any) -> Any:
    """The value of a name that belongs to the line; what a report meant by it moves behind an underscore."""
    if name in event:
        event[f"_{name}"] = event[name]
    return value


class Limited:
    """Drops lines of an event name that writes too many: a bucket of `at_once`, filled with `per_s`."""

    def __init__(
        self,
        per_s: float = LINES_PER_S,
        at_once: int = LINES_AT_ONCE,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._per_s = per_s
        self._at_once = at_once
        self._now_ns = now_ns
        self._buckets: dict[str, tuple[float, int]] = {}  # name -> lines that it may write, as of when
        self._dropped: dict[str, int] = {}
        self.dropped = 0  # of this process

    def __call__(self, _logger: Any, method: str, event: Event) -> Event:
        name = str(event.get("event"))
        if name not in self._buckets and len(self._buckets) >= EVENT_NAMES_MAX:
            name = ""
        now_ns = self._now_ns()
        full, since_ns = self._buckets.get(name, (float(self._at_once), now_ns))
        full = min(float(self._at_once), full + (now_ns - since_ns) * 1e-9 * self._per_s)
        kept = full >= 1.0 or method in NEVER_DROPPED
        self._buckets[name] = (max(0.0, full - 1.0) if kept else full, now_ns)
        if not kept:
            self._dropped[name] = self._dropped.get(name, 0) + 1
            self.dropped += 1
            raise structlog.DropEvent
        if name in self._dropped:
            event["lines_dropped"] = self._dropped.pop(name)
        return event


def without_secrets(_logger: Any, _method: str, event: Event) -> Event:
    """Takes keys and tokens out of a line, by the names of fields and by their looks."""
    for name, value in event.items():
        if isinstance(value, str) and name != "event":
            event[name] = REMOVED if SECRET_NAMES.search(name) else SECRET_TEXTS.sub(REMOVED, value)
        elif isinstance(value, dict | list | tuple):
            event[name] = _clean(value)
    return event


def _clean(value: Any) -> Any:
    match value:
        case str():
            return SECRET_TEXTS.sub(REMOVED, value)
        case dict():
            return {
                key: REMOVED if isinstance(one, str) and SECRET_NAMES.search(str(key)) else _clean(one)
                for key, one in value.items()
            }
        case list() | tuple():
            return [_clean(one) for one in value]
        case _:
            return value


def line_processors(lab: str, version: str) -> list[Any]:
    """What a line of an agent passes through, down to its JSON."""
    return [
        structlog.processors.add_log_level,
        Limited(),
        Stamped(lab, version),
        without_secrets,
        structlog.processors.JSONRenderer(default=str),
    ]
