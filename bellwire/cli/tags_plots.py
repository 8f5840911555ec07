"""Pictures of tags: rates over time, and delay histograms.

Owns the drawing, in files only. Refuses to compute.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bellwire.api.extras import study_extra
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.drivers.tag_files.interval_counts import EpochCounts


def _picture(path: Path) -> tuple[Any, Any]:
    if path.suffix.lower() != ".png":
        raise ConfigError("pictures are drawn as .png", where=str(path))
    with study_extra():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    picture = Figure(figsize=(8.0, 4.0), layout="constrained")
    FigureCanvasAgg(picture)
    return picture, picture.subplots()


def _save(picture: Any, path: Path) -> None:
    try:
        picture.savefig(path, dpi=120)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(path)) from None


def draw_rates(path: Path, title: str, epochs: "Sequence[EpochCounts]", interval_ps: int) -> None:
    """Rates of every channel over time; intervals with losses are gaps in the lines."""
    import numpy as np

    picture, panel = _picture(path)
    colours: dict[int, str] = {}
    for epoch in epochs:
        times_s = (epoch.start_ps + interval_ps * (np.arange(len(epoch.valid)) + 0.5)) * 1e-12
        for channel, counts in epoch.singles.items():
            label = None if channel in colours else f"channel {channel}"
            colour = colours.setdefault(channel, f"C{len(colours) % 10}")
            rates = np.where(epoch.valid, counts / (interval_ps * 1e-12), np.nan)
            panel.plot(times_s, rates, ".-", color=colour, label=label, linewidth=0.8, markersize=3)
    panel.set_xlabel("time of the tagger (s)")
    panel.set_ylabel("counts per second")
    panel.set_title(title, fontsize=10)
    panel.grid(alpha=0.3)
    if colours:
        panel.legend(fontsize=8, frameon=False)
    _save(picture, path)


def draw_histogram(
    path: Path,
    title: str,
    delays_ps: Sequence[float],
    counts: Sequence[float],
    fitted: Sequence[float] | None,
) -> None:
    """Counts by delay, and the curve that was fitted."""
    import numpy as np

    picture, panel = _picture(path)
    delays_ns = np.asarray(delays_ps) * 1e-3
    panel.step(delays_ns, counts, where="mid", linewidth=0.8, label="counts")
    if fitted is not None:
        panel.plot(delays_ns, fitted, linewidth=1.2, label="fit")
        panel.legend(fontsize=8, frameon=False)
    panel.set_xlabel("delay (ns)")
    panel.set_ylabel("pairs per bin")
    panel.set_title(title, fontsize=10)
    panel.grid(alpha=0.3)
    _save(picture, path)
