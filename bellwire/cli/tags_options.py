"""What all commands of `bellwire tags` share: how a file is named and opened, and what is typed as numbers.

Owns the options. Refuses to read.
"""

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.drivers.tag_files.source import TagSource

PS_PER_S: Final = 10**12

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="File of time tags, or a folder of native ones.")
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="FORMAT", help="Take it as this; default: as its content says."),
]
ChannelOption = Annotated[
    int | None, typer.Option("--channel", metavar="N", help="Of all tags, where the format has no channels.")
]
ReferenceOption = Annotated[
    int | None,
    typer.Option("--reference-period-ps", metavar="PS", min=1, help="Of the pulses that tags count from."),
]
UnitOption = Annotated[
    str | None,
    typer.Option("--unit-ps", metavar="PS", help="Unit of time of qutools files, such as 81 or 1."),
]
SalvageOption = Annotated[
    bool, typer.Option("--salvage", help="Take what stands before damage instead of refusing the file.")
]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the result into this file.")
]
ChannelsOption = Annotated[
    str | None, typer.Option("--channels", metavar="A,B", help="Only tags of these; default: all.")
]
EpochOption = Annotated[int | None, typer.Option("--epoch", metavar="N", help="Only tags of this epoch.")]


def opened(
    path: Path,
    format_name: str | None = None,
    *,
    channel: int | None = None,
    reference_period_ps: int | None = None,
    unit_ps: str | None = None,
    salvage: bool = False,
) -> "TagSource":
    """The file as a source of blocks. Raises ConfigError, DeviceFault."""
    from bellwire.drivers.tag_files.description import ReadSettings
    from bellwire.drivers.tag_files.formats import open_tags

    settings = ReadSettings(
        channel=channel,
        reference_period_ps=reference_period_ps,
        resolution_ps=None if unit_ps is None else fraction(unit_ps, "--unit-ps"),
        salvage=salvage,
    )
    return open_tags(path, settings, format_name=format_name)


def fraction(text: str, option: str) -> Fraction:
    """A positive number such as 81, 3.90625 or 125/32. Raises ConfigError."""
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if found <= 0:
        raise ConfigError(f'{option} "{text}" is no positive number of ps, such as 81 or 125/32')
    return found


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Channel numbers, separated by commas. Raises ConfigError."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f'{option} "{text}" is no list of channel numbers such as 1,2') from None
    for number in found:
        channel_number(number, option)
    return found


def channel_number(number: int, option: str) -> int:
    """A number that a channel can have. Raises ConfigError."""
    if not -32_768 <= number <= 32_767:
        raise ConfigError(f"{option}: channel {number} is beyond -32768 to 32767")
    return number


def pairs(texts: list[str] | None, option: str) -> dict[int, int]:
    """Entries such as 3=12. Raises ConfigError."""
    found: dict[int, int] = {}
    for text in texts or []:
        name, _, value = text.partition("=")
        try:
            found[channel_number(int(name), option)] = int(value)
        except ValueError:
            raise ConfigError(f'{option} "{text}" is no pair of whole numbers such as 3=12') from None
    return found


def picoseconds(seconds: float, option: str) -> int:
    """Seconds as ps. Raises ConfigError when they are not a positive time of 1 ps to 10 days."""
    found = round(seconds * PS_PER_S) if 0 < seconds <= 864_000 else 0
    if found <= 0:
        raise ConfigError(f"{option} of {seconds:g} s: 1e-12 to 864000 is possible")
    return found


def salvaged(source: "TagSource") -> list[str]:
    """What the reader had to leave out or to assume; said on stderr too, where people look."""
    for line in source.troubles:
        typer.echo(line, err=True)
    return [*source.description.notes, *source.troubles]
