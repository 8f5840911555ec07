"""Look-up by name: a typing error is answered with the name that was meant."""

import pytest

from bellwire.core.errors import ConfigError
from bellwire.core.registry import lookup, nearest

POLICIES = {"swap_asap": 1, "fixed_tree": 2}


def test_a_known_name_gives_its_entry() -> None:
    assert lookup("swapping policy", "fixed_tree", POLICIES) == 2


@pytest.mark.parametrize(
    ("typed", "meant"), [("swap_asp", "swap_asap"), ("fixedtree", "fixed_tree"), ("Swap_asap", "swap_asap")]
)
def test_a_near_miss_is_answered_with_the_name_that_was_meant(typed: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lookup("swapping policy", typed, POLICIES)
    assert str(caught.value) == f'unknown swapping policy "{typed}" (did you mean "{meant}"?)'


def test_a_name_like_nothing_is_answered_with_all_known_names_in_order() -> None:
    assert nearest("zzz", POLICIES) == " (known: fixed_tree, swap_asap)"
    assert nearest("zzz", ()) == ""


def test_the_error_says_where_the_name_stands() -> None:
    with pytest.raises(ConfigError, match=r"^lab\.yaml:7: unknown") as caught:
        lookup("swapping policy", "swap", POLICIES, where="lab.yaml:7")
    assert caught.value.where == "lab.yaml:7"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
