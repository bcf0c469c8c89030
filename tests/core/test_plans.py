"""Plans as data: what a file may say, what a matrix makes of it, the order in which members may begin, and how they are drawn."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlctl.config.files import read_config
from rlctl.errors import ConfigError
from rlctl.events import Result
from rlctl.plans.comparison import compare, interquartile_mean, interval
from rlctl.plans.drawing import mermaid, svg, tree
from rlctl.plans.expansion import expand
from rlctl.plans.host import PlanHost
from rlctl.plans.model import Member, Plan
from rlctl.plans.reading import Source
from rlctl.plans.schedule import Demand, Schedule, Share, Slots
from rlctl.plans.store import PlanStore
from rlctl.runs.directory import RunDirectory

Cli = Callable[..., Any]


def plan_of(members: dict[str, Any], **more: Any) -> Plan:
    """Return the plan of these members."""
    return expand(Source("p", {"members": members, **more}, {}))


def problems_of(members: dict[str, Any], **more: Any) -> str:
    """Return what a plan is refused with, a line each."""
    with pytest.raises(ConfigError) as refused:
        plan_of(members, **more)
    return "\n".join(map(str, refused.value.problems))


def script(*needs: str, **more: Any) -> dict[str, Any]:
    """Return a member that does nothing."""
    return {"script": "true", "needs": list(needs), **more}


RUN: dict[str, Any] = {"run": {"worker": "toy"}}

# ---- expansion -----------------------------------------------------------------------------------------------------------


def test_a_matrix_makes_a_member_of_each_combination() -> None:
    """Ranges include both ends; a key may be any of the configuration; the values are in it."""
    plan = plan_of({"a": {**RUN, "matrix": {"seed": "0..2", "hyperparameters.lr": [0.1, 0.2]}}})

    assert list(plan.members)[:2] == ["a,seed=0,lr=0.1", "a,seed=0,lr=0.2"]
    assert len(plan.members) == 6
    assert plan.members["a,seed=2,lr=0.1"].merged().values == {
        "worker": "toy",
        "seed": 2,
        "hyperparameters": {"lr": 0.1},
    }


def test_combinations_are_left_out_and_added() -> None:
    """`exclude` takes away what has all of its values, `include` adds."""
    matrix = {"algo": ["x", "y"], "seed": [1, 2]}
    plan = plan_of(
        {"a": {**RUN, "matrix": matrix, "exclude": [{"algo": "y", "seed": 2}], "include": [{"algo": "z", "seed": 9}]}}
    )
    assert list(plan.members) == ["a,algo=x,seed=1", "a,algo=x,seed=2", "a,algo=y,seed=1", "a,algo=z,seed=9"]


def test_the_same_trainer_twice_with_other_arguments_is_two_members() -> None:
    """Neither overwrites the other."""
    plan = plan_of({"a": {"run": {"worker": "toy", "seed": 1}}, "b": {"run": {"worker": "toy", "seed": 2}}})
    assert [member.merged().values["seed"] for member in plan.members.values()] == [1, 2]
    assert len({member.fingerprint for member in plan.members.values()}) == 2


def test_defaults_hold_where_a_run_says_nothing() -> None:
    """What the run says wins, key by key."""
    plan = plan_of({"a": {"run": {"seed": 3}}}, defaults={"worker": "toy", "seed": 1})
    assert plan.members["a"].merged().values == {"worker": "toy", "seed": 3}


def test_an_evaluation_of_a_matrix_is_one_of_each_run() -> None:
    """It is named after the run's values, and needs that run only."""
    plan = plan_of({"a": {**RUN, "matrix": {"seed": [1, 2]}}, "e": {"evaluate": {"of": "a"}}})
    assert plan.members["e,seed=2"].sources == ("a,seed=2",)
    assert plan.members["e,seed=2"].needs == ("a,seed=2",)


def test_a_fine_tuning_goes_on_from_the_run_with_its_seed() -> None:
    """Where both have an axis they fit in it; what only the parent has becomes the child's name and seed."""
    both = {"matrix": {"seed": [1, 2], "env": ["X", "Y"]}}
    plan = plan_of({"a": {**RUN, **both}, "t": {**RUN, "from": "a", "matrix": {"env": ["X", "Y"]}}})
    child = plan.members["t,seed=2,env=X"]
    assert child.sources == ("a,seed=2,env=X",)
    assert child.merged().values == {"seed": 2, "worker": "toy", "env": {"id": "X"}}


def test_a_fingerprint_changes_with_what_the_outcome_depends_on_only() -> None:
    """A name, a retry or a slot changes nothing; a setting does, and all that uses the member with it."""

    def prints(run: dict[str, Any], **more: Any) -> list[str]:
        plan = plan_of({"a": {"run": run, **more}, "e": {"evaluate": {"of": "a"}}})
        return [member.fingerprint for member in plan.members.values()]

    before = prints({"worker": "toy"})
    assert prints({"worker": "toy", "name": "x", "labels": {"a": "b"}}, retries=2, resources={"cpus": 2}) == before
    after = prints({"worker": "toy", "seed": 2})
    assert after[0] != before[0]
    assert after[1] != before[1]


# ---- refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a": script("b"), "b": script("c"), "c": script("a")}, "a cycle: a needs b needs c needs a"),
        ({"a": script("a")}, "a cycle: a needs a"),
        ({"first": script(), "b": script("frist")}, 'there is no member "frist". Did you mean "first"?'),
        ({"a": {**RUN, "matrix": {"seed": [1]}}, "b": script("a,seed=7")}, 'there is no member "a,seed=7"'),
        ({"a": {**RUN, "matrx": {}}}, 'Did you mean "matrix"?'),
        ({"a": {}}, "exactly one of run, evaluate, compare, script; it has none"),
        ({"a": {**RUN, "script": "x"}}, "it has run and script"),
        ({"a": {**RUN, "matrix": {"seed": 3}}}, "expected a list of values or a range such as 0..4, got 3"),
        ({"a": {**RUN, "matrix": {"seed": "0..999999999"}}}, "makes more than 100000 members"),
        ({"a": {**RUN, "matrix": {"seed": [1]}, "exclude": [{"sed": 1}]}}, '"sed" is no key of the matrix'),
        ({"a": {**RUN, "matrix": {"seed": [1]}, "exclude": [{"seed": 1}]}}, "leaves no member at all"),
        ({"a": {**RUN, "matrix": {"env": ["A/b", "A_b"]}}}, "makes two members with the id"),
        ({"a b": RUN}, "an id has letters, digits"),
        ({"a": {"run": {"worker": "toy", "stop_at": 5}}}, "a member goes on to its end"),
        ({"a": {**RUN, "checkpoint": "best"}}, "has no effect without from"),
        ({"a": script(), "b": {"evaluate": {"of": "a"}}}, '"a" is a member of kind script, expected run'),
        ({"a": RUN, "b": {"compare": {"of": ["a"]}}}, "Evaluate it first"),
        ({"a": {**RUN, "resources": {"gpu": 1}}}, 'Did you mean "gpus"?'),
        ({"a": {**RUN, "retries": -1}}, "must be at least 0"),
        ({"a": {"evaluate": {"of": "b", "episods": 3}}, "b": RUN}, 'Did you mean "episodes"?'),
        ({"a": {"script": []}}, "is empty"),
        ({}, "a plan needs at least one member"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_meant_is_refused(members: dict[str, Any], said: str) -> None:
    """Each mistake is named with its place."""
    assert said in problems_of(members)


def test_all_problems_are_told_at_once_with_their_lines(
    fast_cli: Cli, site: Callable[..., Any], tmp_path: Path
) -> None:
    """Those of the shape together, each with its line of the file."""
    file = tmp_path / "p.yaml"
    file.write_text("members:\n  a:\n    script: x\n    needs: [bb]\n  b:\n    script: x\n    retrys: 1\n")
    outcome = fast_cli("plan", "check", file)
    assert outcome.code == 2
    assert "members.a.needs: there is no member" in outcome.err
    assert "(from p.yaml:4)" in outcome.err
    assert "members.b.retrys" in outcome.err
    assert "(from p.yaml:7)" in outcome.err


def test_what_can_never_run_is_refused_before_anything_starts(
    fast_cli: Cli, site: Callable[..., Any], tmp_path: Path
) -> None:
    """Configurations, programs and resources that are not here: all at once, each once for all members that share it."""
    site("toy_worker")
    file = tmp_path / "p.yaml"
    file.write_text(
        "members:\n"
        "  a: {run: {worker: toy, hyperparameters: {episode_lenght: 3}}, matrix: {seed: 0..9}}\n"
        "  b: {script: no-such-program}\n"
        "  c: {run: {worker: toy}, resources: {cpus: 3, gpus: 99}}\n"
        "  d: {run: {worker: toy, threads: 2}, resources: {cpus: 1}}\n"
        "  e: {run: {worker: toy, algo: bandit}, from: c}\n"
    )
    outcome = fast_cli("plan", "run", file, "-j", "2")
    assert outcome.code == 2
    assert outcome.err.count("episode_lenght") == 1
    assert "(10 members)" in outcome.err
    assert 'Did you mean "episode_length"?' in outcome.err
    assert 'there is no program "no-such-program"' in outcome.err
    assert "it needs 3, there are 2 Give it more slots: -j 3." in outcome.err
    assert "it needs 99, there are" in outcome.err
    assert "its run has 2 threads" in outcome.err
    assert "that run is of toy/count, this one of toy/bandit" in outcome.err
    assert not (tmp_path / "plans").exists()


EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "plans").glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_can_be_run(file: Path, fast_cli: Cli) -> None:
    """Each file of examples/plans is a plan that is not refused."""
    for package in ("torch", "stable_baselines3"):
        pytest.importorskip(package)
    outcome = fast_cli("plan", "check", file)
    assert outcome.code == 0, outcome.err


# ---- schedule ------------------------------------------------------------------------------------------------------------


def started(schedule: Schedule) -> list[str]:
    """Start all that may begin."""
    names = []
    while (found := schedule.next()) is not None:
        names.append(found[0].id)
    return names


def test_a_member_begins_when_all_that_it_needs_is_finished() -> None:
    """A name that a matrix has made several of means all of them."""
    plan = plan_of({"a": script(matrix={"i": [1, 2]}), "b": script("a"), "c": script("a,i=1")})
    schedule = Schedule(plan, dict.fromkeys(plan.members, Demand()), Slots(9))
    assert started(schedule) == ["a,i=1", "a,i=2"]
    schedule.finished("a,i=1")
    assert started(schedule) == ["c"]
    schedule.finished("a,i=2")
    assert started(schedule) == ["b"]


def test_a_large_member_is_not_starved_and_holds_up_nobody_who_takes_nothing_of_what_it_lacks() -> None:
    """Who waits for CPUs is overtaken by none; who waits for a GPU, by those without one."""
    plan = plan_of({name: script() for name in "abcd"})
    demands = {"a": Demand(1, gpus=1), "b": Demand(1, gpus=1), "c": Demand(1), "d": Demand(1, gpus=1)}
    schedule = Schedule(plan, demands, Slots(4, ["0"]))
    assert started(schedule) == ["a", "c"]
    schedule.give_back(Share(demands["a"], ("0",)))
    assert started(schedule) == ["b"]

    large = Schedule(plan, {**dict.fromkeys("acd", Demand(1)), "b": Demand(2)}, Slots(2))
    assert started(large) == ["a"]


def test_gpus_and_memory_are_slots() -> None:
    """Each member gets GPUs of its own, and memory is not promised twice."""
    slots = Slots(9, ["0", "1"], 1000)
    first = slots.take(Demand(1, 1, 600))
    assert first.gpus == ("0",)
    assert slots.lacking(Demand(1, 1, 600)) == {"memory_mb"}
    slots.give_back(first)
    assert slots.lacking(Demand(1, 2, 600)) == set()


def test_a_failure_blocks_what_needs_it_indirectly_too() -> None:
    """And nothing else."""
    plan = plan_of({"a": script(matrix={"i": [1, 2]}), "b": script("a"), "c": script("b"), "d": script("a,i=2")})
    schedule = Schedule(plan, dict.fromkeys(plan.members, Demand()), Slots(9))
    schedule.failed("a,i=1")
    assert schedule.blocked == {"b": "a,i=1", "c": "a,i=1"}


class Null:
    """An executor of nothing: each member has ended when it is looked at."""

    def __init__(self, directory: Path) -> None:
        self.directory = RunDirectory(directory)

    def look(self) -> int:
        return 0

    def interrupt(self, number: int) -> None:
        raise AssertionError("nothing is to be interrupted")

    def end(self, code: int) -> Result:
        return Result(status="finished", reason="done")

    def settled(self) -> bool:
        return True

    def abandon(self) -> None:
        raise AssertionError("nothing is to be interrupted")


def test_scheduling_a_thousand_members_costs_little(tmp_path: Path) -> None:
    """At most 5 ms each, in chains, with an executor that does nothing; all are done in an order that respects their needs."""
    first = {f"a{index}": script() for index in range(500)}
    plan = plan_of({**first, **{f"b{index}": script(f"a{index}") for index in range(500)}})
    order: list[str] = []

    def begin(member: Member, share: Share) -> Null:
        order.append(member.id)
        return Null(tmp_path)

    host = PlanHost(
        PlanStore(plan, tmp_path / "runs"), begin, dict.fromkeys(plan.members, Demand()), Slots(4), lambda _: None
    )
    began = time.process_time()
    outcome = host.run()
    seconds = time.process_time() - began

    assert outcome.exit_code == 0
    assert all(order.index(f"a{index}") < order.index(f"b{index}") for index in range(500))
    assert seconds < 5


# ---- pictures ------------------------------------------------------------------------------------------------------------

SMALL = {"a": {**RUN, "matrix": {"seed": [1, 2]}}, "e": {"evaluate": {"of": "a"}}, "c": {"compare": {"of": ["e"]}}}


def test_a_plan_is_drawn_as_a_tree() -> None:
    """Members stand below their templates, with what these need."""
    assert list(tree(plan_of(SMALL))) == [
        "p: 5 members",
        "├─ a: run, 2 members",
        "│  ├─ a,seed=1",
        "│  └─ a,seed=2",
        "├─ e: evaluate, 2 members, after a",
        "│  ├─ e,seed=1",
        "│  └─ e,seed=2",
        "└─ c: compare, after e",
    ]


def test_a_plan_is_drawn_for_mermaid() -> None:
    """An arrow for each need."""
    lines = list(mermaid(plan_of(SMALL)))
    assert lines[0] == "flowchart LR"
    assert '  n0["a,seed=1<br/>run"]' in lines
    assert sum("-->" in line for line in lines) == 4


def test_a_plan_is_drawn_as_svg() -> None:
    """A picture that is XML, with a box for each member and a line for each need."""
    root = ET.fromstring(svg(plan_of(SMALL)))
    assert len(root.findall("{*}rect")) == 5
    assert len(root.findall("{*}path")) == 4


def test_a_large_plan_is_drawn_by_template() -> None:
    """Hundreds of boxes nobody reads."""
    plan = plan_of({"a": {**RUN, "matrix": {"seed": "1..200"}}, "e": {"evaluate": {"of": "a"}}})
    assert sum("-->" in line for line in mermaid(plan)) == 1
    assert len(ET.fromstring(svg(plan)).findall("{*}rect")) == 2


def test_ten_thousand_members_are_shown(fast_cli: Cli, tmp_path: Path) -> None:
    """As data, all of them; docs/plans.md has how long it takes."""
    file = tmp_path / "large.yaml"
    file.write_text("members: {a: {run: {worker: toy}, matrix: {seed: 0..99, hyperparameters.x: 0..99}}}\n")
    outcome = fast_cli("plan", "show", file, "--format", "json")
    assert len(json.loads(outcome.out)["members"]) == 10_000


def test_toml_says_the_same_as_yaml(tmp_path: Path) -> None:
    """Either makes the same members."""
    (tmp_path / "p.toml").write_text('[members.a.run]\nworker = "toy"\n[members.a.matrix]\nseed = "0..2"\n')
    tree_of_toml, origins = read_config(tmp_path / "p.toml")
    toml = expand(Source("p", tree_of_toml, origins))
    assert toml.fingerprint == plan_of({"a": {**RUN, "matrix": {"seed": "0..2"}}}).fingerprint


# ---- comparison ----------------------------------------------------------------------------------------------------------


def test_the_interquartile_mean_is_that_of_the_middle_half() -> None:
    """Outer quarters count nothing; where a quarter is no whole number, a part of a score counts."""
    assert interquartile_mean([0, 2, 4, 1000]) == 3
    assert interquartile_mean([1, 2, 3, 4, 5, 6, 7, 8]) == 4.5
    assert interquartile_mean([1, 2, 9]) == pytest.approx((0.25 * 1 + 2 + 0.25 * 9) / 1.5)
    assert interquartile_mean([7]) == 7


def test_an_interval_covers_the_mean_and_a_single_seed_has_none() -> None:
    """More confidence is a wider interval; the same scores give the same one."""
    scores = [1.0, 2.0, 3.0, 4.0, 10.0]
    narrow, wide = interval(scores, interquartile_mean, 0.5), interval(scores, interquartile_mean, 0.95)
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] <= interquartile_mean(scores) <= narrow[1] < wide[1]
    assert interval(scores, interquartile_mean, 0.95) == wide
    assert interval([1.0], interquartile_mean, 0.95) is None


def test_a_comparison_has_the_best_first() -> None:
    """By interquartile mean; a group that is no number comes last."""
    table = compare({"low": [1.0, 2.0], "nan": [float("nan"), 1.0], "high": [5.0]}, 0.9)
    assert [row["group"] for row in table["groups"]] == ["high", "low", "nan"]
    assert table["groups"][0]["mean_interval"] is None
