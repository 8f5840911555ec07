"""The grammar of generation modes: every form, every mistake with its sentence, and plug-ins."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core import modes
from bellwire.core.errors import ConfigError
from bellwire.core.modes import (
    ABOVE_0,
    CUTS,
    POLICIES,
    QUANTITIES,
    SCORE,
    WORDS,
    Conditional,
    Mode,
    Named,
    Ordered,
    Traits,
    Weighted,
    follows_tree,
    is_foreign,
    mode_text,
    needs_table,
    paces_links,
    parse_mode,
    plugin_of,
    traits_of,
)

OLDEST = Named("oldest", tuple(CUTS.items()))
SCORED = Named("score", tuple({**CUTS, **SCORE}.items()))
PLAIN = Named("swap_asap", ())


def paced(links: str) -> Named:
    return Named("fixed_tree", (("links", links),))


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("swap_asap", PLAIN),
        (" score ", SCORED),
        ("fixed_tree( links = full )", paced("full")),
        (
            "oldest(discard=0, cutoff=none)",
            Named("oldest", (("cutoff", "none"), ("cutoff_factor", 2.0), ("discard", 0.0))),
        ),
        ("2*oldest + .5*score + swap_asap", Weighted(((2.0, OLDEST), (0.5, SCORED), (1.0, PLAIN)))),
        ("1e-3 * oldest", Weighted(((0.001, OLDEST),))),
        ("fixed_tree > oldest > score", Ordered((paced("paced"), OLDEST, SCORED))),
        ("oldest + score > swap_asap", Ordered((Weighted(((1.0, OLDEST), (1.0, SCORED))), PLAIN))),
        (
            "swap_asap if occupancy >= 0.8 else oldest if hops<3 else score",
            Conditional(PLAIN, "occupancy", ">=", 0.8, Conditional(OLDEST, "hops", "<", 3.0, SCORED)),
        ),
    ],
)
def test_every_form_of_the_grammar_means_what_it_says(text: str, mode: Mode) -> None:
    assert parse_mode(text) == mode


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it ends too early"),
        ("oldest >", "it ends too early"),
        ("oldest(", "it ends too early"),
        ("oldest(discard=", "it ends too early"),
        ("oldest(discard=1", 'the options of oldest end with ")"'),
        ("oldest(discard=1 score)", 'the options of oldest end with ")"'),
        ("oldest score", '"score" is one word too many'),
        ("oldest $ score", '"$ score" cannot be read'),
        ("oldest(discard=-1)", '"-1)" cannot be read'),
        ("score(alfa=1)", 'score has no option "alfa" (did you mean "alpha"?)'),
        ("swap_asap(links=full)", 'swap_asap has no option "links"'),
        ("oldest(discard)", 'option discard needs "= value"'),
        ("oldest(discard=1, discard=2)", "option discard is given twice"),
        ("oldest(discard=none)", '"none" is not a number'),
        ("oldest(discard=1e999)", "1e999 is not a finite number"),
        ("oldest(cutoff=deep)", 'cutoff is one of none, flat, depth, not "deep"'),
        ("oldest(cutoff_factor=0)", "cutoff_factor must be above 0"),
        ("2 oldest", 'a weight is written "2 * name"'),
        ("0 * oldest + score", "a weight must be above 0"),
        ("oldest if hops > 1", "an if needs its else"),
        ("oldest if hop > 1 else score", 'unknown quantity "hop" (did you mean "hops"?)'),
        ("oldest if hops = 1 else score", '"=" is no comparison, use < <= > or >='),
        ("oldest if hops > few else score", '"few" is not a number'),
        ("oldest > scor", 'unknown generation mode "scor" (did you mean "score"?)'),
        ("oldest > connectionless", "connectionless is a protocol of its own"),
        ("virtual_circuit if hops > 1 else score", "virtual_circuit is a protocol of its own"),
    ],
)
def test_every_mistake_has_a_sentence_that_repeats_the_mode(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_mode(text)
    assert refused.value.problem.startswith(f'generation mode "{text}": ')
    assert problem in refused.value.problem


def test_an_unknown_name_alone_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_mode("longest_hops")
    assert refused.value.problem == 'unknown generation mode "longest_hops" (did you mean "longest_hop"?)'


NUMBERS = st.floats(0.0, 1e20, allow_nan=False)
ABOVE = st.floats(1e-9, 1e20, allow_nan=False)


@st.composite
def named(draw: st.DrawFn) -> Named:
    name = draw(st.sampled_from([name for name, traits in POLICIES.items() if not traits.foreign]))
    options: dict[str, Any] = dict(POLICIES[name].options)
    for key in draw(st.sets(st.sampled_from(sorted(options)), max_size=4)) if options else ():
        numbers = ABOVE if key in ABOVE_0 else NUMBERS
        options[key] = draw(st.sampled_from(WORDS[key]) if key in WORDS else numbers)
    return Named(name, tuple(options.items()))


@st.composite
def sums(draw: st.DrawFn) -> Named | Weighted:
    parts = draw(st.lists(st.tuples(ABOVE, named()), min_size=1, max_size=3))
    return parts[0][1] if len(parts) == 1 and parts[0][0] == 1.0 else Weighted(tuple(parts))


@st.composite
def orders(draw: st.DrawFn) -> Named | Weighted | Ordered:
    parts = draw(st.lists(st.one_of(named(), sums()), min_size=1, max_size=3))
    return parts[0] if len(parts) == 1 else Ordered(tuple(parts))


@st.composite
def whole(draw: st.DrawFn) -> Mode:
    mode: Mode = draw(orders())
    for _ in range(draw(st.integers(0, 2))):
        quantity, compare = draw(st.sampled_from(QUANTITIES)), draw(st.sampled_from(["<", "<=", ">", ">="]))
        mode = Conditional(draw(orders()), quantity, compare, draw(NUMBERS), mode)
    return mode


@settings(derandomize=True, deadline=None, max_examples=150)
@given(whole())
def test_a_mode_that_was_printed_is_read_as_itself(mode: Mode) -> None:
    assert parse_mode(mode_text(mode)) == mode


def test_what_stands_at_its_default_is_not_printed() -> None:
    assert mode_text(parse_mode("score(alpha=0.2, gain=1.05, cutoff=flat)")) == "score(gain=1.05)"


def test_planners_are_told_what_a_mode_needs() -> None:
    seen = {
        text: (follows_tree(text), needs_table(text), is_foreign(text), paces_links(text))
        for text in (
            "swap_asap",
            "fixed_tree",
            "fixed_tree(links=full)",
            "score",
            "fixed_tree > oldest",
            "swap_asap if occupancy > 0.8 else fixed_tree(links=full)",
            "connectionless",
        )
    }
    assert list(seen.values()) == [
        (False, False, False, False),
        (True, False, False, True),
        (True, False, False, False),
        (False, True, False, False),
        (True, True, False, True),
        (True, True, False, False),  # what changes with the situation is looked at again in time
        (False, False, True, False),
    ]


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A policy of another package, as its entry point would bring it."""
    traits = Traits(options={"taste": "sweet", "depth": 2.0}, words={"taste": ("sweet", "sour")})
    plugin = SimpleNamespace(traits=traits)
    point = SimpleNamespace(name="flavour", load=lambda: plugin)
    monkeypatch.setattr(modes, "entry_points", lambda group: [point] if group == modes.ENTRY_POINTS else [])
    caches = (parse_mode, modes._added, follows_tree, needs_table, is_foreign, paces_links)
    for cache in caches:
        cache.cache_clear()
    yield plugin
    for cache in caches:
        cache.cache_clear()


def test_other_packages_add_policies_by_entry_point_with_options_and_words_of_their_own(added: Any) -> None:
    assert parse_mode("flavour(taste=sour)") == Named("flavour", (("taste", "sour"), ("depth", 2.0)))
    assert traits_of("flavour") is added.traits
    assert plugin_of("flavour") is added
    assert needs_table("flavour > oldest")
    with pytest.raises(ConfigError, match="taste is one of sweet, sour, not"):
        parse_mode("flavour(taste=bitter)")
    with pytest.raises(ConfigError, match='did you mean "flavour"'):
        parse_mode("flavor")
