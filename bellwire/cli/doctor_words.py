"""What a look finds: a finding with its severity, how it is known, and the remedy.

Owns these words and the limits. Refuses to look.
"""

from dataclasses import asdict, dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: Final = ("error", "warning", "note")
"""error: something does not work; warning: it soon will not, or works worse; note: worth to know."""

GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    severity: Severity
    what: str
    known_by: str
    remedy: str  # an exact command, or what to do before one

    def told(self) -> dict[str, str]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a quantity is worth a finding."""

    disk_free_bytes: int
    runs_bytes: int
    look_s: float  # longest wait for heralds of a link that is wanted
