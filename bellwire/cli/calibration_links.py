"""Which link a person means, for the commands that measure one.

Owns the choice and its refusals. Refuses procedures.
"""

from typing import TYPE_CHECKING

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    from bellwire.calibration.bench import LinkBench
    from bellwire.labs import Lab


def bench_of(lab: "Lab", link: str | None) -> "LinkBench":
    """What stands around the link; None: the only one that has a calibration section. Raises ConfigError."""
    able = [name for name in lab.network.links if lab.calibration_bench(name) is not None]
    if link is None:
        if len(able) != 1:
            raise ConfigError(
                f"say which link: {', '.join(able) or 'none of them has a calibration section'}"
            )
        (link,) = able
    if link not in lab.network.links:
        raise ConfigError(f'no link is called "{link}"{nearest(link, lab.network.links)}', where=lab.path)
    bench = lab.calibration_bench(link)
    if bench is None:
        raise ConfigError(
            f"{link} has no calibration section, so nothing says how to measure it", where=lab.path
        )
    return bench
