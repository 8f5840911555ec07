"""Decoders of what others have written: no crash, no hang, and only the errors that are foreseen.

Cases are bytes that never were a word, and real words with a few bytes changed, cut or repeated. Seeds are
fixed, so the cases are always the same.
"""

from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bellwire.core.codec import MESSAGE_BYTES_MAX, decode_message, encode
from bellwire.core.errors import ConfigError, PeerViolation
from bellwire.core.facts import Began, Born, Released
from bellwire.core.ids import End
from bellwire.core.messages import EndNews, FactBatch, FactsWanted, Watermark
from bellwire.labs import load_lab
from bellwire.runtime.control import ControlServer
from bellwire.runtime.envelope import MESSAGE, Frame, decode_frame, encode_frame
from tests.fuzzing import damaged, fuzzed

CASES = 20_000
END = End("a-b", 1 << 20, 7, 0, 1)
FACTS = (
    Began(incarnation=3, survivors=(END,), at_ns=5),
    Born(
        end=END,
        slot=0,
        generation=1,
        request="r",
        tree=0,
        frame=2,
        signs=0,
        cost=(1, 2, 3),
        rates=(1, 1, 1),
        at_ns=9,
        sigma_ns=1,
    ),
    Released(end=END, reason="dead", at_ns=11),
)
WORDS = [
    encode(FactBatch(incarnation=3, first=1, facts=FACTS)),
    encode(FactsWanted(incarnation=3, first=4)),
    encode(Watermark(incarnation=1, last=99)),
    encode(EndNews(end=END, author="a", incarnation=1, number=3)),
]
FRAMES = [encode_frame(Frame("a", 1, 6, 1, MESSAGE, 5, 4, word)) for word in WORDS]


def test_frames() -> None:
    """A name that was no UTF-8 once passed every check as an unforeseen exception, and ended the agent."""
    read = fuzzed(decode_frame, FRAMES, (msgspec.DecodeError,), CASES)
    assert 0 < read < CASES


def test_messages() -> None:
    read = fuzzed(lambda octets: decode_message("a", octets), WORDS, (PeerViolation,), CASES)
    assert 0 < read < CASES


def test_a_message_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(PeerViolation):
        decode_message("a", bytes(MESSAGE_BYTES_MAX + 1))


LINES = [
    b'{"do": "status"}',
    b'{"do": "submit", "request": {"request_id": "r"}}',
    b'{"do": ["status"], "x": 1.5e3}',
]


async def test_lines_on_the_control_socket() -> None:
    """A command whose name is a list, and lists within lists, once ended the agent."""

    async def status(fields: dict[str, Any]) -> str:
        return "here"

    control = ControlServer(Path("unused"), {"status": status})
    chance = Random(5)
    answered = 0
    for _ in range(CASES):
        answer = await control._answer(damaged(chance, LINES))
        answered += answer["ok"]
    assert (await control._answer(LINES[2]))["error"].startswith("unknown command")
    assert (await control._answer(b"[" * 100_000))["error"].startswith("not JSON")
    assert answered > 10


def test_lab_files(tmp_path: Path) -> None:
    """Two files, 400 damaged forms each: an error that names the file, or a lab that is one after all."""
    refused = 0
    chance = Random(7)
    for name in ("two_node_link", "three_node_repeater"):
        text = Path(f"lab_configs/{name}.yaml").read_bytes()
        for number in range(400):
            path = tmp_path / f"{name}.yaml"
            octets = bytearray(text)
            for _ in range(chance.randint(1, 3)):
                place = chance.randrange(len(octets))
                octets[place : place + chance.randint(0, 12)] = chance.randbytes(chance.randint(0, 6))
            path.write_bytes(bytes(octets))
            problem = ""
            try:
                load_lab(path)
            except ConfigError as error:
                problem = str(error)
                refused += 1
            assert not problem or path.name in problem, f"case {number}"
    assert refused > 400


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lab: " + "[" * 5000, "lists within lists"),
        ("lab: a\x07b", "the character U+0007"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{two}: &{two} [{', '.join([f'*{one}'] * 10)}]\n" for one, two in pairwise("abcdefgh")
            ),
            "do aliases repeat aliases",
        ),
    ],
    ids=["deep", "unprintable", "aliases of aliases"],
)
def test_lab_files_that_are_meant_to_harm(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=problem.replace("+", "[+]")):
        load_lab(path)
