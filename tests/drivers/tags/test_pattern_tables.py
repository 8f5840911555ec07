"""The ready tables against the words of the scheme, for every pattern there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tags.gates import Gates
from bellwire.drivers.tags.pattern_tables import (
    Click,
    PatternTable,
    pattern_table,
    polarisation_table,
    single_photon_table,
    time_bin_table,
)
from bellwire.drivers.tags.patterns import StreamedPatterns
from bellwire.drivers.time_tags import TagBlock


def outcomes_of(table: PatternTable) -> dict[tuple[tuple[Click, ...], bool], str]:
    """Every pattern with a click and its outcome."""
    places = list(itertools.product(range(len(table.channels)), range(table.gates)))
    return {
        (clicks, again): table.outcome(clicks, again)
        for count in range(1, len(places) + 1)
        for clicks in itertools.combinations(places, count)
        for again in (False, True)
    }


def test_polarisation() -> None:
    ch, cv, dh, dv = ((channel, 0) for channel in range(4))
    pairs = {
        (ch, cv): "psi_plus",
        (dh, dv): "psi_plus",
        (ch, dv): "psi_minus",
        (cv, dh): "psi_minus",
        (ch, dh): "forbidden",
        (cv, dv): "forbidden",
    }
    found = outcomes_of(polarisation_table(1, 2, 3, 4))
    assert len(found) == 30
    for (clicks, again), outcome in found.items():
        if len(clicks) == 1:
            assert outcome == ("bunched" if again else "no_herald")
        elif len(clicks) == 2 and not again:
            assert outcome == pairs.pop((clicks[0], clicks[1]))
        else:
            assert outcome == "discard"
    assert not pairs


def test_time_bins() -> None:
    c_early, c_late, d_early, d_late = ((0, 0), (0, 1), (1, 0), (1, 1))
    pairs = {
        (c_early, c_late): "psi_plus",
        (d_early, d_late): "psi_plus",
        (c_early, d_late): "psi_minus",
        (c_late, d_early): "psi_minus",
        (c_early, d_early): "forbidden",
        (c_late, d_late): "forbidden",
    }
    for (clicks, again), outcome in outcomes_of(time_bin_table(1, 2)).items():
        if len(clicks) == 1:
            assert outcome == ("bunched" if again else "no_herald")
        elif len(clicks) == 2 and not again:
            assert outcome == pairs.pop((clicks[0], clicks[1]))
        else:
            assert outcome == "discard"
    assert not pairs


def test_single_photons() -> None:
    assert outcomes_of(single_photon_table(1, 2)) == {
        (((0, 0),), False): "psi_plus",
        (((1, 0),), False): "psi_minus",
        (((0, 0),), True): "discard",
        (((1, 0),), True): "discard",
        (((0, 0), (1, 0)), False): "discard",
        (((0, 0), (1, 0)), True): "discard",
    }


def test_a_stream_of_known_attempts_gives_the_outcomes_of_the_table() -> None:
    """Attempts of 100 ps, early [10, 20), late [50, 60); channel 2 comes 3 ps late and is advanced."""
    attempts = [
        "psi_minus",
        "psi_plus",
        "forbidden",
        "discard",
        "no_herald",
        "no_herald",
        "psi_minus",
        "bunched",
    ]
    tags = [
        *((10, 1), (62, 2)),  # early in c at its first ps, late in d at its last
        *((113, 2), (153, 2)),
        *((210, 1), (213, 2)),
        *((310, 1), (313, 2), (355, 1)),
        (409, 1),  # before the gate
        *((520, 1), (563, 2)),  # after both gates: their ends are not within
        *((622, 2), (650, 1)),
        *((750, 1), (751, 1)),
    ]
    block = TagBlock(
        0, 0, 900, np.array([time for time, _ in tags], np.int64), np.array([c for _, c in tags], np.int16)
    )
    table = time_bin_table(1, 2)
    counter = StreamedPatterns(
        table, Gates(100, [(10, 20), (50, 60)]), {2: -3}, keep=("psi_minus", "psi_plus")
    )
    counter.take(block)
    found = counter.result()
    assert (found.attempts, found.discarded, found.live_ps) == (9, 0, 900)
    expected = {name: attempts.count(name) for name in table.outcomes}
    expected["no_herald"] += 1  # the ninth attempt has no tag
    assert found.outcomes == expected
    (heralds,) = counter.heralds()
    assert heralds.attempt.tolist() == [0, 1, 6]
    assert [table.outcomes[code] for code in heralds.outcome] == ["psi_minus", "psi_plus", "psi_minus"]
    assert counter.heralds() == []


def test_a_loss_between_the_gates_costs_no_attempt() -> None:
    nothing = np.empty(0, np.int64), np.empty(0, np.int16)
    for lost, live in (
        ((20, 50), 9),
        ((19, 50), 8),
        ((20, 51), 8),
        ((60, 110), 9),
        ((60, 111), 8),
        ((19, 211), 6),
    ):
        counter = StreamedPatterns(time_bin_table(1, 2), Gates(100, [(10, 20), (50, 60)]))
        counter.take(TagBlock(0, 0, 900, *nothing, (lost,)))
        assert (counter.result().attempts, counter.result().discarded) == (live, 9 - live)


def test_a_table_that_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(LocalMisuse, match="17 channels x 1 gates"):
        pattern_table(range(17), 1, lambda clicks, again: "any")
    with pytest.raises(LocalMisuse, match="outcomes"):
        pattern_table(range(9), 1, lambda clicks, again: str(clicks))
