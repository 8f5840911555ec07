"""The commands of `bellwire tags` in this process, and files of tags for them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from bellwire.cli import tags
from bellwire.cli.exits import Commands
from bellwire.drivers.tag_files.description import Description
from bellwire.drivers.tag_files.formats import FORMATS
from bellwire.drivers.tag_files.writing import TagWriter
from bellwire.drivers.time_tags import TagBlock

PNG = b"\x89PNG\r\n\x1a\n"
root = typer.Typer(cls=Commands, pretty_exceptions_enable=False)
root.add_typer(tags.app, name="tags")


@root.callback()
def _options() -> None:
    pass


def run(*arguments: object) -> Result:
    return CliRunner().invoke(root, ["tags", *map(str, arguments)])


def told(*arguments: object) -> Any:
    """The one JSON document on stdout."""
    ran = run(*arguments, "--json")
    assert ran.exit_code == 0, ran.stderr
    return json.loads(ran.stdout)


def refused(*arguments: object) -> str:
    """The one line on stderr of wrong input."""
    ran = run(*arguments)
    assert ran.exit_code == 2, (ran.stdout, ran.stderr)
    assert ran.stdout == ""
    assert ran.stderr.count("\n") == 1
    return ran.stderr


def wrote(path: Path, *blocks: TagBlock, name: str = "parquet") -> Path:
    with TagWriter(path, FORMATS[name], Description(format="made up", device="a tagger")) as writer:
        for one in blocks:
            writer.put(one)
    return path


def stream(
    times: NDArray[np.int64], channels: NDArray[np.int16], lost: tuple[tuple[int, int], ...] = ()
) -> TagBlock:
    order = np.argsort(times, kind="stable")
    start, stop = min(0, int(times.min())), int(times.max()) + 1
    return TagBlock(0, start, stop, times[order], channels[order], lost)


def pairs_in(folder: Path) -> Path:
    """20,000 pairs in a second on channels 1 and 2, 2500 ps apart with a jitter of 300 ps, and 20,000 tags of
    each channel without a partner."""
    chance = np.random.default_rng(20)
    emitted = np.sort(chance.integers(0, 10**12, 20_000))
    seconds = emitted + 2500 + np.rint(chance.normal(0, 300, 20_000)).astype(np.int64)
    noise = chance.integers(0, 10**12, 40_000)
    channels = np.concatenate([np.repeat([1, 2], 20_000), np.repeat([1, 2], 20_000)]).astype(np.int16)
    return wrote(folder / "pairs.parquet", stream(np.concatenate([emitted, seconds, noise]), channels))
