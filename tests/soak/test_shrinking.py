"""A failure is made as small as it gets, and its line plays the same again."""

from bellwire.soak.faults import Crash
from bellwire.soak.histories import Case, Told, drawn
from bellwire.soak.shrinking import replay_line, shrink, with_faults

SEED = next(
    seed
    for seed in range(100)
    if sum(isinstance(fault, Crash) for fault in drawn(Case(seed=seed, profile="all"))[1]) == 2
    and len(drawn(Case(seed=seed, profile="all"))[1]) > 5
)


def broken_by_two_crashes(case: Case) -> Told:
    """Stands for a bug that needs both crashes and the time until the second."""
    faults = drawn(case)[1]
    crashes = [fault for fault in faults if isinstance(fault, Crash) and fault.at_ns < case.until_s * 1e9]
    rule = "equal lists" if len(crashes) == 2 else None
    return Told(seed=case.seed, nodes=3, rule=rule)


def test_only_what_is_needed_is_left() -> None:
    case = Case(seed=SEED, profile="all")
    smallest = shrink(case, "equal lists", broken_by_two_crashes)
    assert smallest.faults is not None
    assert len(smallest.faults) == 2
    assert all(isinstance(fault, Crash) for fault in smallest.faults)
    last_s = max(fault.at_ns for fault in smallest.faults if isinstance(fault, Crash)) / 1e9
    assert last_s < smallest.until_s < last_s / 0.94
    assert broken_by_two_crashes(smallest).rule == "equal lists"


def test_the_line_of_a_small_case_names_its_faults_and_its_length() -> None:
    smallest = shrink(Case(seed=SEED, profile="all"), "equal lists", broken_by_two_crashes)
    words = replay_line(smallest).split()
    numbers = tuple(int(one) for one in words[words.index("--faults") + 1].split(","))
    assert float(words[words.index("--seconds") + 1]) == smallest.until_s
    again = with_faults(Case(seed=SEED, profile="all", until_s=smallest.until_s), numbers)
    assert again == smallest


def test_the_line_of_a_whole_case_is_the_seed_and_the_profile() -> None:
    assert replay_line(Case(seed=7, profile="clocks")) == (
        "bellwire soak --first 7 --seeds 1 --profile clocks"
    )
