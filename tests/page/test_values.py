"""Ages and qualities: stale looks stale, and what is not known is never shown as a value."""

import pytest

from bellwire.page.palette import PALETTES, TEXT_ON, TEXT_RATIO, contrast, style_variables
from bellwire.page.values import NOTHING, Quality, Row, Shown, Tone, duration_text, rate_text, worst
from tests.page.telling import NOW_NS, SECOND_NS


def test_a_value_is_good_until_it_is_older_than_it_may_be() -> None:
    shown = Shown("21.5 C", at_ns=NOW_NS, good_for_s=5.0)
    assert shown.quality(NOW_NS + 5 * SECOND_NS) is Quality.GOOD
    assert shown.quality(NOW_NS + 5 * SECOND_NS + 1) is Quality.STALE


def test_a_value_that_its_source_doubts_is_stale_however_fresh() -> None:
    assert Shown("21.5 C", at_ns=NOW_NS, good_for_s=5.0, suspect=True).quality(NOW_NS) is Quality.STALE


def test_what_is_not_known_is_unknown_and_says_so_to_the_browser() -> None:
    assert NOTHING.quality(NOW_NS) is Quality.UNKNOWN
    assert NOTHING.cell() == {"text": None}


def test_the_browser_gets_the_numbers_by_which_it_judges_age_itself() -> None:
    cell = Shown("ready", Tone.GOOD, NOW_NS, 5.0, title="why").cell()
    assert cell == {
        "text": "ready",
        "tone": "good",
        "at": NOW_NS // 1_000_000,
        "good_for": 5.0,
        "title": "why",
    }


def test_a_row_tells_values_lists_and_lines_apart() -> None:
    told = Row(
        "k", {"a": Shown("x"), "b": [Shown("y"), Shown("z")], "c": [1.0, None], "d": "w", "e": ()}
    ).told()
    assert told["cells"] == {
        "a": {"text": "x"},
        "b": {"list": [{"text": "y"}, {"text": "z"}]},
        "c": {"line": [1.0, None]},
        "d": {"text": "w"},
        "e": {"line": []},
    }


def test_the_worst_tone_stands_for_all() -> None:
    assert worst([Tone.GOOD, Tone.WARN, Tone.BUSY]) is Tone.WARN
    assert worst([Tone.WARN, Tone.BAD]) is Tone.BAD
    assert worst([]) is Tone.OFF


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2e-5, "20 µs"),
        (0.0123, "12.3 ms"),
        (42.0, "42 s"),
        (600.0, "10 min"),
        (90_000.0, "25 h"),
        (-5.0, "-5 s"),
    ],
)
def test_lengths_of_time_come_in_the_unit_that_people_would_take(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_rates_have_three_digits() -> None:
    assert [rate_text(rate) for rate in (0.1234, 26.61, 1234.6)] == ["0.123/s", "26.6/s", "1,235/s"]


def test_contrast_is_that_of_the_standard() -> None:
    """WCAG 2.2 gives 21 for black on white; #767676 on white is its known 4.54."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("scheme", PALETTES)
def test_every_text_is_readable_on_what_it_stands_on(scheme: str) -> None:
    palette = PALETTES[scheme]
    poor = {
        pair: round(contrast(palette[pair[0]], palette[pair[1]]), 2)
        for pair in TEXT_ON
        if contrast(palette[pair[0]], palette[pair[1]]) < TEXT_RATIO
    }
    assert not poor


def test_both_palettes_have_the_same_names_and_the_style_has_them_all() -> None:
    assert set(PALETTES["light"]) == set(PALETTES["dark"])
    style = style_variables()
    for palette in PALETTES.values():
        assert all(f"--{name}:{colour};" in style for name, colour in palette.items())
