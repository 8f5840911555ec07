"""CREATEs: how soon they are acknowledged and served, from stock and afresh; many stories of a bad channel.

Owns the closed form of the times, and the counting of the stories. Refuses other checks of a story than those
of tests/link_layer/creating.py and test_create_stories.py: here they are counted instead of raised.
"""

import random
from dataclasses import replace
from math import sqrt
from statistics import fmean
from typing import Any, Final, NamedTuple

from _link_rows import Comparison, Row, limited

from bellwire.core.ids import End
from bellwire.core.link_words import LinkAck, LinkCreate, LinkOkKeep, LinkOkMeasure
from bellwire.core.units import NS_PER_MS, NS_PER_S, NS_PER_US
from tests.link_layer.creating import CreateBench, check_each_ended_once
from tests.link_layer.test_create_stories import Story
from tests.physics.links_of_two import LinkCase, lab_of
from tests.simulation.test_link_creates import CLEAN, Users

PART: Final = "CREATE"
ASKED: Final = 3000
"""CREATEs of each kind; between two of them the link is idle."""

STOCK: Final = {"stock": 4, "age_max_s": 60.0}
STORIES: Final = 60
"""Of each of four kinds: with and without a station, with and without restarts."""

FIRST_SEED: Final = 2000


class Served(NamedTuple):
    """One CREATE of one pair."""

    acknowledged_us: float  # from the CREATE
    first_ok_us: float  # from the CREATE, to the user who asked
    stocked: bool  # the pair was older than the CREATE


def one_by_one(case: LinkCase, lanes: int, asked: int, seed: int, **more: Any) -> tuple[Users, list[Served]]:
    """CREATEs of one pair, alternately of both users, at times that have nothing to do with attempts."""
    users = Users(lab_of(case, lanes=lanes), seed)
    chance = random.Random(seed)
    asked_ns: dict[tuple[str, int], int] = {}
    at_ns = NS_PER_S
    for number in range(asked):
        at_ns += 30 * NS_PER_MS + chance.randrange(10 * NS_PER_MS)
        node, partner = ("ann", "bob") if number % 2 else ("bob", "ann")
        asked_ns[node, number] = at_ns
        users.create(at_ns, node, LinkCreate(create=number, partner=partner, count=1, **more))
    users.host.run(at_ns + NS_PER_S)
    acknowledged: dict[tuple[str, int], int] = {}
    told: dict[tuple[str, int], tuple[int, int]] = {}
    for node, answers in users.answers.items():
        for now_ns, answer in answers:
            if isinstance(answer, LinkAck):
                acknowledged[node, answer.create] = now_ns
            elif isinstance(answer, LinkOkKeep | LinkOkMeasure) and answer.asked_here:
                told[node, answer.create] = (now_ns, answer.born_ns)
    served: list[Served] = []
    for key, since_ns in asked_ns.items():  # KeyError: a CREATE without an answer
        now_ns, born_ns = told[key]
        served.append(
            Served(
                (acknowledged[key] - since_ns) / NS_PER_US,
                (now_ns - since_ns) / NS_PER_US,
                born_ns < since_ns,
            )
        )
    return users, served


def time_rows(quick: bool) -> list[Row]:
    """CREATE to ACK, and to the first OK, against delays and 1/q.

    ACK: the word to the other end and back, two delays d. First OK of a fresh pair: ACK, then the word that
    opens the window and its answer, 4 d; on average half a period to the next attempt; 1/q - 1 failures of a
    period each; the time of the attempt that succeeds, up to its herald. An end at side 1 is ready one delay
    sooner, and hears of the pair's number one delay later.
    """
    asked = ASKED // 10 if quick else ASKED
    users, fresh = one_by_one(CLEAN, 1, asked, FIRST_SEED, kind="measure")
    network = users.lab.network
    link = network.links["ann-bob"]
    delay_us = network.delay_ns("ann", "bob") / NS_PER_US
    period_us, q = link.period_ns / NS_PER_US, link.success_probability
    herald_us = (link.click_delay_ns + link.herald_delay_ns[0]) / NS_PER_US
    expected_us = 4 * delay_us + period_us / 2 + (1 / q - 1) * period_us + herald_us
    # An even wait for the next attempt, and a geometric number of attempts.
    spread_us = sqrt(period_us**2 / 12 + period_us**2 * (1 - q) / q**2)
    acknowledged = [one.acknowledged_us for one in fresh]
    furthest = max(acknowledged, key=lambda us: abs(us - 2 * delay_us))
    stocked_case = replace(CLEAN, link={"ahead": STOCK})
    _, ahead = one_by_one(stocked_case, 4, asked, FIRST_SEED + 1, hold_ns=NS_PER_MS)
    stocked = [one.first_ok_us for one in ahead if one.stocked]
    latest = max(stocked, key=lambda us: abs(us - 4 * delay_us))
    return [
        Comparison(PART, "to ACK in us, the one furthest off", furthest, 2 * delay_us, 0.0, asked).row(),
        Comparison(
            PART,
            f"to the first OK in us, pairs made afresh (q = {q:.4g})",
            fmean(one.first_ok_us for one in fresh),
            expected_us,
            spread_us / sqrt(asked),
            asked,
        ).row(),
        Comparison(
            PART,
            "to the first OK in us, pairs of the stock, furthest",
            latest,
            4 * delay_us,
            0.0,
            len(stocked),
        ).row(),
        limited(
            PART, "CREATEs of which the stock had no pair, share", 1.0 - len(stocked) / asked, 0.01, asked
        ),
    ]


class Told(NamedTuple):
    """What became of many stories."""

    creates: int
    pairs: int  # measured pairs that stand at either end
    broken: int  # stories in which a CREATE did not end once, or something was left
    apart: int  # measured pairs of which the two users stand with different words


def words_apart(bench: CreateBench) -> tuple[int, int]:
    """Measured pairs at which two users stand, and those at which they do not stand alike."""
    pairs = apart = 0
    for origin in ("a", "b"):
        for _, word in bench.asked[origin]:
            if word.kind != "measure":
                continue
            here, there = (bench.standing(node, origin, word.create) for node in ("a", "b"))
            own = {end: (ok.sequence, ok.frame) for end, ok in here.items()}
            far: dict[End, tuple[int, int]] = {
                end.partner: (ok.sequence, ok.frame) for end, ok in there.items()
            }
            pairs += len(own.keys() | far.keys())
            apart += sum(own.get(end) != far.get(end) for end in own.keys() | far.keys())
    return pairs, apart


def stories(number: int, *, restarts: bool) -> Told:
    """So many stories with a station and as many without."""
    creates = pairs = broken = apart = 0
    for seed in range(FIRST_SEED, FIRST_SEED + number):
        for station in (True, False):
            try:
                story = Story(seed, station=station, restarts=restarts)
                creates += sum(len(asked) for asked in story.bench.asked.values())
                story.finish()
                check_each_ended_once(story.bench)
                if not restarts:  # a user who restarted has forgotten what it was told
                    stand, differ = words_apart(story.bench)
                    pairs += stand
                    apart += differ
            except AssertionError:
                broken += 1
    return Told(creates, pairs, broken, apart)


def story_rows(quick: bool) -> list[Row]:
    """Stories of a channel that loses, doubles, delays and reorders."""
    number = STORIES // 10 if quick else STORIES
    plain, restarted = (stories(number, restarts=restarts) for restarts in (False, True))
    what = "stories on a bad channel in which a CREATE did not end exactly once or something was left"
    return [
        limited(PART, f"{what} ({plain.creates} CREATEs)", plain.broken, 0, 2 * number),
        limited(
            PART, f"{what}, with restarts ({restarted.creates} CREATEs)", restarted.broken, 0, 2 * number
        ),
        limited(
            PART,
            "measured pairs of which the two users stand with different words",
            plain.apart,
            0,
            plain.pairs,
        ),
    ]
