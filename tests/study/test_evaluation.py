"""Evaluations from task to report, at a size of seconds.

Owns what holds for every evaluation: results do not depend on who computes them, nothing finished is computed
again, and nothing that was asked for is left out silently.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from bellwire.cli.main import app
from bellwire.core.errors import ConfigError
from bellwire.study import evaluation_running, experiments
from bellwire.study.evaluation import evaluate, prepare_tasks
from bellwire.study.evaluation_jobs import (
    REPORTING_SEED_FIRST,
    ChainSetting,
    NetworkSetting,
    Prepared,
    PrepareTask,
    RunTask,
    Task,
    code_version,
    reporting_seeds,
    task_key,
)
from bellwire.study.evaluation_parts import Parts
from bellwire.study.evaluation_policies import POLICIES, policies_named, words_for
from bellwire.study.evaluation_running import HereAlone, Keyed, Progress, Results, run_all, workers_for
from bellwire.study.evaluation_runs import longest_gap_s, perform, search_seed
from bellwire.study.experiments import DEFAULT, FULL, QUICK, Effort, experiments_named, places

PROGRAM = [sys.executable, "-c", "from bellwire.cli.main import app; app()"]
TWO_HOPS = ChainSetting(hops=2)
TINY = Effort(
    name="tiny", networks=2, default_networks=2, routes=1, duration_s=0.3, deliveries=1500, thin=True
)


def bellwire(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def prepared(setting: ChainSetting | NetworkSetting = TWO_HOPS, seed: int = REPORTING_SEED_FIRST) -> Prepared:
    task = PrepareTask(setting=setting, seed=seed, route_index=0)
    return msgspec.convert(perform(task), Prepared)


def run_task(mode: str = "swap_asap", seed: int = REPORTING_SEED_FIRST, duration_s: float = 0.5) -> RunTask:
    known = prepared(seed=seed)
    return RunTask(
        setting=TWO_HOPS,
        seed=seed,
        route_index=0,
        policy=mode,
        mode=mode,
        route=known.route,
        lengths_km=known.lengths_km,
        duration_s=duration_s,
    )


def measured(row: dict[str, object]) -> dict[str, object]:
    """A row without what depends on the machine."""
    return {name: value for name, value in row.items() if name not in ("cpu_s", "peak_mib")}


def quiet(_: Progress) -> None:
    """Nobody looks."""


# --- tasks ------------------------------------------------------------------------------------------------


def test_equal_tasks_have_equal_results() -> None:
    first, second = perform(run_task()), perform(run_task())
    assert measured(first) == measured(second)
    assert first["delivered"] > 0


def test_all_policies_meet_the_same_network_the_same_request_and_the_same_world() -> None:
    tree, asap = run_task("fixed_tree(links=full)"), run_task("swap_asap")
    assert tree.world_seed == asap.world_seed
    assert (tree.route, tree.lengths_km) == (asap.route, asap.lengths_km)
    # On two links at full speed a tree and swapping at once are the same policy: all that is random is equal.
    rows = [perform(one) for one in (tree, asap)]
    same = ("delivered", "longest_gap_s", "fidelity", "latency_mean_s")
    assert [rows[0][name] for name in same] == [rows[1][name] for name in same]


def test_other_routes_have_other_worlds() -> None:
    seeds = {
        msgspec.structs.replace(run_task(), seed=seed, route_index=index).world_seed
        for seed in range(20)
        for index in range(20)
    }
    assert len(seeds) == 400


def test_a_route_of_a_network_is_a_path_of_links_and_as_far_as_asked() -> None:
    setting = NetworkSetting(nodes=40, distance_km=(15.0, 20.0))
    known = prepared(setting)
    network = setting.network(REPORTING_SEED_FIRST, 0)
    topology = network.topology()
    lengths = {frozenset(link.ends): link.length_km for link in topology.links.values()}
    assert known.lengths_km == tuple(
        lengths[frozenset(hop)] for hop in zip(known.route, known.route[1:], strict=False)
    )
    assert sum(known.lengths_km) >= 15.0


def test_the_name_of_a_task_changes_with_everything_that_decides_it() -> None:
    task = run_task()
    changed: list[Task] = [
        msgspec.structs.replace(task, seed=task.seed + 1),
        msgspec.structs.replace(task, mode="oldest"),
        msgspec.structs.replace(task, duration_s=0.25),
        msgspec.structs.replace(task, setting=ChainSetting(hops=2, swap_success=0.5)),
        msgspec.structs.replace(task, tree="(c00 c01)"),
        PrepareTask(setting=TWO_HOPS, seed=task.seed, route_index=0),
    ]
    names = {task_key(one, "code") for one in (task, *changed)} | {task_key(task, "other code")}
    assert len(names) == len(changed) + 2
    assert task_key(task, "code") == task_key(run_task(), "code")


def test_seeds_of_reports_and_of_searches_never_meet() -> None:
    searches = {search_seed(PrepareTask(setting=TWO_HOPS, seed=seed, route_index=0)) for seed in range(500)}
    assert max(searches) < min(reporting_seeds(40))
    worlds = {run_task(seed=seed).world_seed for seed in range(5)}
    assert not worlds & searches


def test_the_longest_gap_counts_the_time_before_the_first_and_after_the_last_delivery() -> None:
    second_ns = 1_000_000_000
    assert longest_gap_s([], 5.0) == 5.0
    assert longest_gap_s([3 * second_ns, 4 * second_ns], 5.0) == 3.0
    assert longest_gap_s([second_ns, 2 * second_ns], 5.0) == 3.0
    assert longest_gap_s([second_ns, 4 * second_ns], 5.0) == 3.0


def test_stores_serve_single_pairs_faster_and_every_run_is_the_same_again() -> None:
    """Six pairs of nodes of one network ask in turn. On most networks the mean over eight requests falls by a
    factor of 2 and more with stores that are filled up again; this seed is fixed."""
    network = NetworkSetting(nodes=30, density=0.2)
    base = msgspec.structs.replace(run_task("score", duration_s=4.0), setting=network)
    empty, once, full = (
        perform(msgspec.structs.replace(base, stock=stock)) for stock in ("none", "one_time", "continuous")
    )
    assert empty["requests"] == once["requests"] == full["requests"] == 8
    assert empty["unserved"] == once["unserved"] == full["unserved"] == 0
    assert empty["super_links"] == empty["claimed"] == 0
    assert 0 < once["stored"] <= 2 * once["super_links"]
    assert full["stored"] > once["stored"]
    assert full["latency_mean_s"] < empty["latency_mean_s"]
    again = perform(msgspec.structs.replace(base, stock="continuous"))
    assert measured(again) == measured(full)


def test_stores_are_studied_on_networks() -> None:
    with pytest.raises(ConfigError, match="on networks"):
        perform(msgspec.structs.replace(run_task("score"), stock="none"))


# --- experiments ------------------------------------------------------------------------------------------


def test_full_effort_is_that_of_the_paper() -> None:
    """Nodes 50 to 200, density 0.05 to 0.2, swap success 0.2 to 0.6, 100 seconds, ten networks and more."""
    (fig6,) = experiments_named("fig6", FULL)
    by_axis = {axis: [one.value for one in fig6.points if one.axis == axis] for axis in fig6.axes}
    assert (min(by_axis["nodes"]), max(by_axis["nodes"])) == (50, 200)
    assert (min(by_axis["density"]), max(by_axis["density"])) == (0.05, 0.2)
    assert (min(by_axis["swap_success"]), max(by_axis["swap_success"])) == (0.2, 0.6)
    assert len(by_axis["distance_km"]) >= 4
    assert FULL.duration_s == 100.0
    assert all(FULL.networks_of(point.setting) >= 10 for point in fig6.points)


def test_a_setting_on_several_axes_is_run_once() -> None:
    (fig6,) = experiments_named("fig6", FULL)
    found = list(places([fig6], FULL))
    assert len(found) == len(set(found))
    assert sum(setting == DEFAULT for setting, _, _ in found) == FULL.default_networks * FULL.routes
    assert [one.setting for one in fig6.points].count(DEFAULT) == 3


def test_all_is_every_experiment_and_quick_is_small() -> None:
    assert [one.name for one in experiments_named("all", QUICK)] == [
        "default",
        "near",
        "far",
        "fig6",
        "fig7",
        "fig8",
        "predistribution",
        "fig9",
        "chains",
    ]
    (quick,), (full,) = experiments_named("fig6", QUICK), experiments_named("fig6", FULL)
    assert {point.setting for point in quick.points} - {DEFAULT} != set()
    assert len(quick.points) < len(full.points)


@pytest.mark.parametrize(
    ("networks", "duration_s"), [(0, None), (experiments.NETWORKS_MAX + 1, None), (None, 0.0)]
)
def test_efforts_out_of_range_are_refused(networks: int | None, duration_s: float | None) -> None:
    with pytest.raises(ConfigError, match="outside"):
        experiments.with_overrides(FULL, networks, duration_s)


# --- policies ---------------------------------------------------------------------------------------------


def test_an_unknown_policy_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="oldest"):
        policies_named(["oldst"])


def test_a_policy_that_cannot_run_is_an_error_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICIES, "oldest", replace(POLICIES["oldest"], mode="not_there_yet"))
    monkeypatch.setattr("bellwire.study.evaluation_policies._ALL", tuple(POLICIES.values()))
    with pytest.raises(ConfigError, match="policy oldest cannot run: unknown generation mode"):
        policies_named([])


def test_searched_and_tuned_policies_take_what_was_found_for_the_route() -> None:
    known = Prepared(
        route=("a", "b", "c"),
        lengths_km=(1.0, 2.0),
        strongest_tree="((a b) (b c))",
        tuned_mode="score(alpha=0.3)",
        tuned_tree="((a b) (b c))",
    )
    assert words_for(POLICIES["strongest_tree"], known) == ("fixed_tree(links=full)", "((a b) (b c))")
    assert words_for(POLICIES["tuned"], known) == ("score(alpha=0.3)", "((a b) (b c))")
    assert words_for(POLICIES["fixed_tree"], known) == ("fixed_tree", None)
    direct = Prepared(route=("a", "b"), lengths_km=(1.0,))
    assert words_for(POLICIES["tuned"], direct) == ("score", None)


@pytest.mark.parametrize(("name", "wanted_there"), [("fig6", True), ("fig8", False)])
def test_routes_are_tuned_for_experiments_in_which_a_tuned_policy_runs(name: str, wanted_there: bool) -> None:
    wanted = experiments_named(name, QUICK)
    tasks = list(prepare_tasks(wanted, policies_named([]), QUICK, list(places(wanted, QUICK))))
    assert tasks
    assert {(task.strongest_tree, task.tuning) for task in tasks} == {(wanted_there, wanted_there)}


def test_the_strongest_tree_is_searched_and_the_score_tuned_where_a_policy_wants_them() -> None:
    task = PrepareTask(
        setting=ChainSetting(hops=3),
        seed=REPORTING_SEED_FIRST,
        route_index=0,
        strongest_tree=True,
        tuning=True,
        deliveries=1500,
    )
    found = msgspec.convert(perform(task), Prepared)
    assert found.strongest_tree is not None
    assert found.tuned_mode is not None
    row = perform(
        RunTask(
            setting=task.setting,
            seed=task.seed,
            route_index=0,
            policy="strongest_tree",
            mode="fixed_tree(links=full)",
            tree=found.strongest_tree,
            route=found.route,
            lengths_km=found.lengths_km,
            duration_s=0.5,
        )
    )
    assert row["delivered"] > 0


# --- who works --------------------------------------------------------------------------------------------


def test_results_are_the_same_here_and_in_other_processes(tmp_path: Path) -> None:
    tasks: list[Task] = [run_task(seed=REPORTING_SEED_FIRST + number, duration_s=0.2) for number in range(3)]
    alone = run_all(tasks, HereAlone(), Parts(tmp_path / "alone"), quiet)
    many = run_all(tasks, workers_for(2, None), Parts(tmp_path / "many"), quiet)
    assert list(map(measured, alone)) == list(map(measured, many))


def test_results_of_a_dask_cluster_are_the_same(tmp_path: Path) -> None:
    from distributed import LocalCluster

    tasks: list[Task] = [run_task(seed=REPORTING_SEED_FIRST + number, duration_s=0.2) for number in range(5)]
    alone = run_all(tasks, HereAlone(), Parts(tmp_path / "alone"), quiet)
    start: Any = LocalCluster  # without annotations in the library
    with start(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=tmp_path
    ) as cluster:
        workers = workers_for(1, cluster.scheduler_address)
        assert isinstance(workers, evaluation_running.Cluster)
        try:
            told: list[Progress] = []
            code_version.cache_clear()  # workers read the sources when they are first asked
            many = run_all(tasks, workers, Parts(tmp_path / "many"), told.append)
        finally:
            workers.close()
    assert list(map(measured, alone)) == list(map(measured, many))
    assert [progress.done for progress in told] == list(range(6))


def test_a_worker_with_other_sources_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def run(self, _: object) -> dict[str, str]:
            return {"tcp://here:1": code_version(), "tcp://there:1": "older"}

    cluster = object.__new__(evaluation_running.Cluster)
    cluster._client, cluster._address = Client(), "tcp://here:8786"
    with pytest.raises(
        ConfigError, match="1 of 2 workers run other code than this process, first tcp://there"
    ):
        next(cluster.results([("key", run_task())]))


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_running, "CONNECT_S", 0.2)
    result = bellwire("evaluate", "chains", "--dask", "tcp://127.0.0.1:9")
    assert result.exit_code == 2
    assert "tcp://127.0.0.1:9: no Dask scheduler answers" in result.output


def test_a_task_that_cannot_be_carried_out_ends_the_evaluation_with_its_reason(tmp_path: Path) -> None:
    far = PrepareTask(
        setting=NetworkSetting(nodes=10, distance_km=(500.0, 600.0)), seed=1_000_000, route_index=0
    )
    for workers in (HereAlone(), workers_for(2, None)):
        with pytest.raises(ConfigError, match="500"):
            run_all([far], workers, Parts(tmp_path), quiet)


# --- going on ---------------------------------------------------------------------------------------------


class Counting:
    """Works here, counts, and is interrupted after some tasks."""

    def __init__(self, until: int | None = None) -> None:
        self.done = 0
        self._until = until

    def results(self, tasks: Sequence[Keyed]) -> Results:
        for keyed in tasks:
            if self.done == self._until:
                raise KeyboardInterrupt
            self.done += 1
            yield evaluation_running.perform_keyed(keyed)


def test_an_interrupted_evaluation_goes_on_and_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    wanted = experiments_named("chains", TINY)
    policies = policies_named(["fixed_tree", "swap_asap"])
    whole = evaluate(wanted, policies, TINY, HereAlone(), tmp_path / "whole", lambda *_: None)
    first = Counting(until=7)
    with pytest.raises(KeyboardInterrupt):
        evaluate(wanted, policies, TINY, first, tmp_path / "cut", lambda *_: None)
    second = Counting()
    resumed = evaluate(wanted, policies, TINY, second, tmp_path / "cut", lambda *_: None)
    places_count, runs = 4, 8
    assert first.done + second.done == places_count + runs
    assert [measured(dict(row)) for row in resumed.rows] == [measured(dict(row)) for row in whole.rows]
    third = Counting()
    evaluate(wanted, policies, TINY, third, tmp_path / "cut", lambda *_: None)
    assert third.done == 0


def test_a_half_written_part_is_run_again(tmp_path: Path) -> None:
    task = run_task(duration_s=0.1)
    run_all([task], HereAlone(), Parts(tmp_path), quiet)
    (part,) = tmp_path.rglob("*.json")
    part.write_text(part.read_text()[:20])
    again = Counting()
    run_all([task], again, Parts(tmp_path), quiet)
    assert again.done == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = bellwire("evaluate", "chains", "--policies", "score", "--out", tmp_path / "file", "--workers", 1)
    assert result.exit_code == 2
    assert "cannot keep results there" in result.output


@pytest.fixture
def interrupted(tmp_path: Path) -> Iterator[Path]:
    """An evaluation by two processes that got Ctrl-C after its first results."""
    arguments = ["evaluate", "chains", "--quick", "--policies", "fixed_tree,swap_asap", "--seconds", "20"]
    process = subprocess.Popen(
        [*PROGRAM, *arguments, "--workers", "2", "--out", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not any("fixed_tree" in path.read_text() for path in tmp_path.rglob("*.json")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: everybody hears it
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert said.splitlines()[-1] == "interrupted"
        yield tmp_path
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_after_ctrl_c_every_part_is_whole(interrupted: Path) -> None:
    parts = list(interrupted.rglob("*.json"))
    assert parts
    for part in parts:
        assert isinstance(json.loads(part.read_text()), dict)


# --- the command ------------------------------------------------------------------------------------------


def test_a_tiny_evaluation_leaves_a_table_figures_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search of the strongest tree, long on six links, is left out: the planner's tree runs."""
    monkeypatch.setattr("bellwire.study.trees_search.search_tree", lambda *_: None)
    arguments = ("chains", "--quick", "--policies", "fixed_tree,strongest_tree,score", "--seeds", 5)
    result = bellwire("evaluate", *arguments, "--seconds", 0.3, "--workers", 1, "--out", tmp_path, "--json")
    assert result.exit_code in (0, 1), result.output
    answer = json.loads(result.stdout)
    table = parquet.read_table(tmp_path / "runs.parquet").to_pylist()
    assert len(table) == answer["runs"] == 2 * 5 * 3
    assert {row["policy"] for row in table} == {"fixed_tree", "strongest_tree", "score"}
    assert {row["seed"] for row in table} == set(reporting_seeds(5))
    assert (tmp_path / "chains.png").read_bytes().startswith(b"\x89PNG")
    report = (tmp_path / "report.md").read_text()
    for verdict in answer["verdicts"]:
        assert f"| {verdict['claim']} | {verdict['wanted']} |" in report
    (ratio,) = [one for one in answer["verdicts"] if "strongest tree on chains" in one["claim"]]
    assert ratio["found"]["networks"] == 5
    assert ratio["found"]["low"] <= ratio["found"]["value"] <= ratio["found"]["high"]
    assert ratio["outcome"] == ("pass" if ratio["found"]["low"] >= 1.12 else "fail")
    failed = any(one["outcome"] == "fail" for one in answer["verdicts"])
    assert result.exit_code == (1 if failed else 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fig5",), 'unknown experiment "fig5"'),
        (("fig6", "--quick", "--full"), "two efforts"),
        (("fig6", "--workers", "2", "--dask", "tcp://a:1"), "give one of them"),
        (("fig6", "--policies", "scores"), 'unknown policy "scores" (did you mean "score"?)'),
        (("fig6", "--seeds", "0"), "outside 1.."),
    ],
)
def test_wrong_input_is_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = bellwire("evaluate", *arguments, "--out", tmp_path)
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
