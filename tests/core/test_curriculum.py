"""`env.curriculum`: its form, what each stage's environment is, where a run is in it, and what a worker must do for it."""

from __future__ import annotations

import pytest

from rlctl import AlgorithmDescriptor, EnvConfig, RlctlError, RunConfig, WorkerDescriptor
from rlctl.compatibility import MachineFacts, check_fit
from rlctl.config.curriculum import PRESETS, curriculum_problems, end_of, final_env, stage_envs
from rlctl.runs.files import read_lines
from rlctl.testing import fake_run

NEVER = (
    "never ends: it has none of steps, episodes, episode_return and until. Add steps: 100000, say; only the last stage may go "
    "on to the run's end."
)
OTHER = (
    "is A, and the last stage of the curriculum, which is evaluated, is B. Leave env.id out, and name the environment in each "
    "stage."
)
TOY = ["toy", "--callback", "no-progress"]


def wrong(stages, env_id=None):
    """Return the problems of a curriculum as text."""
    return [str(problem) for problem in curriculum_problems(stages, env_id)]


# ---- what is said ---------------------------------------------------------------------------------------------------


def test_a_stage_adds_to_what_holds_for_all():
    """Arguments key by key, imports and wrappers after the others, the rest instead of the others."""
    env = {
        "id": "A", "kwargs": {"a": 1, "b": 1}, "imports": ["x"], "wrappers": ["m:W"], "max_episode_steps": 9, "num_envs": 2,
        "curriculum": [
            {"env": {"kwargs": {"b": 2}, "imports": ["y"], "wrappers": ["m:V"], "max_episode_steps": 5}, "steps": 1},
            {"env_id": "B"},
        ],
    }  # fmt: skip
    first, last = stage_envs(env)
    assert first == {
        "id": "A", "kwargs": {"a": 1, "b": 2}, "imports": ["x", "y"], "wrappers": ["m:W", "m:V"], "max_episode_steps": 5,
        "num_envs": 2, "curriculum": [],
    }  # fmt: skip
    assert last == {**env, "id": "B", "curriculum": []} == final_env(env)


def test_without_a_curriculum_the_environment_is_the_last_stage():
    assert final_env({"id": "A", "curriculum": []}) == {"id": "A", "curriculum": []}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_stands_for_its_stages(name):
    """All are sound, of more than one stage, and the last one goes on."""
    stages = EnvConfig(curriculum=name).curriculum
    assert stages == PRESETS[name]
    assert wrong(stages) == []
    assert [bool(end_of(stage)) for stage in stages] == [True] * 3 + [False]


def test_conditions_of_a_stage_are_alternatives():
    end = end_of({"steps": 10, "episodes": 2, "until": "episode_return>1 & steps>5"})
    assert [[str(part) for part in parts] for parts in end] == [
        ["steps>=10"], ["episodes>=2"], ["episode_return>1", "steps>5"],
    ]  # fmt: skip


def test_everything_that_is_wrong_is_said_at_once_with_its_place():
    stages = [
        {"env_id": "A", "stpes": 10},
        {"env": {"id": "A", "kwrags": {}}, "steps": 0, "episode_return": "much"},
        {"env": {"max_episode_steps": True, "wrappers": ["nothing"]}, "until": "steps>"},
        "A",
        {"env_id": "A", "env": "B", "episodes": 3, "window": 5},
        {"env_id": "B", "steps": True},
    ]
    assert wrong(stages, "A") == [
        'env.curriculum[0].stpes: unknown key. Did you mean "steps"?',
        f"env.curriculum[0]: {NEVER}",
        'env.curriculum[1].env.kwrags: unknown key. Did you mean "kwargs"?',
        "env.curriculum[1].steps: expected a whole number from 1 on, got 0",
        "env.curriculum[1].episode_return: expected a number, got 'much'",
        "env.curriculum[2].env.max_episode_steps: expected a whole number from 1 on, got True",
        "env.curriculum[2].env.wrappers[0]: expected a wrapper as \"package.module:Class\", got 'nothing'",
        'env.curriculum[2].until: expected a comparison such as "steps>=200000" (joined by & and |), got "steps>".',
        "env.curriculum[3]: expected a stage such as {env_id: CartPole-v1, steps: 10000}, got 'A'",
        "env.curriculum[4].env_id: and env both name the environment. Keep one.",
        "env.curriculum[4].window: has no effect without a condition on episode_return. Leave it out.",
        "env.curriculum[5].steps: expected a whole number from 1 on, got True",
        f"env.id: {OTHER}",
    ]  # fmt: skip


def test_an_unknown_preset_is_refused(fast_cli, site):
    site("toy_worker")
    refused = fast_cli("run", *TOY, "--set", "env.curriculum=babyai_gotoo", "--dry-run")
    assert refused.code == 2
    assert (
        'env.curriculum: there is no curriculum "babyai_gotoo". (from --set env.curriculum) Did you mean' in refused.err
    )


def test_the_environment_is_that_of_the_last_stage(fast_cli, site):
    """Where a configuration names it in the stages only, what is shown and evaluated has its id."""
    site("toy_worker")
    shown = fast_cli(
        "run", *TOY, "--set", "env.curriculum=[{env_id: a, steps: 10}, {env_id: b}]", "--dry-run", "--json"
    )
    assert shown.json()["config"]["env"]["id"] == "b"


def test_a_dry_run_shows_a_stage_a_line(fast_cli, site):
    """In one line they would be wider than any screen."""
    site("toy_worker")
    shown = fast_cli("run", *TOY, "--set", "env.curriculum=[{env_id: a, steps: 10}, {env_id: b}]", "--dry-run")
    lines = [line.split("  ") for line in shown.out.splitlines() if line.startswith("env.curriculum")]
    assert [line[0] for line in lines] == ["env.curriculum[0]", "env.curriculum[1]"]
    assert '{"env_id": "b"}' in shown.out


# ---- where a run is -------------------------------------------------------------------------------------------------


def staged(tmp_path, *stages):
    """Return a run in these stages, and the list of what its environments are told."""
    run, told = fake_run(tmp_path, env={"id": "toy", "curriculum": list(stages)}), []
    run.follow_curriculum(told.append)
    run.restore()
    return run, told


def test_steps_and_episodes_count_within_the_stage(tmp_path):
    run, told = staged(tmp_path, {"steps": 10}, {"episodes": 2}, {"steps": 10}, {})
    for step in (9, 12, 13, 14, 23, 24):
        run.record_episode(0.0, 1, step=step)
        assert told == {9: [], 12: [1], 13: [1], 14: [1, 2], 23: [1, 2], 24: [1, 2, 3]}[step]


def test_the_mean_return_is_known_when_its_window_is_full(tmp_path):
    run, told = staged(tmp_path, {"episode_return": 1.0, "window": 3}, {})
    for value in (9.0, 9.0, -18.0, 0.0, 20.0):
        assert told == []
        run.record_episode(value, 1)
    run.record_episode(1.0, 1)
    assert told == [1]


def test_an_episode_of_the_stage_before_counts_for_nothing(tmp_path):
    """Other environments may still be in one; a stage is over with an episode of its own only."""
    run, told = staged(tmp_path, {"episodes": 1}, {"until": "steps>=5 | episodes>=2"}, {})
    run.record_episode(0.0, 1, step=10, stage=0)
    run.record_episode(0.0, 1, step=20, stage=0)
    run.record_episode(0.0, 1, step=21, stage=0)
    assert told == [1]
    assert [episode.stage for episode in run.recorded_episodes] == [0, 0, 0]
    run.record_episode(0.0, 1, step=22, stage=1)
    assert told == [1, 2]


def test_the_end_of_the_last_stage_is_the_end_of_the_run(tmp_path):
    run, _ = staged(tmp_path, {"episodes": 1}, {"episodes": 2})
    for step in (1, 2, 3):
        assert run.advance(step)
        run.record_episode(0.0, 1)
    assert not run.advance(4)
    assert (run.stop.kind, run.stop.reason) == ("curriculum", "the last stage of the curriculum is over: episodes>=2")


def test_a_change_is_an_event(tmp_path):
    run, _ = staged(tmp_path, {"env_id": "toy", "episodes": 1}, {})
    run.record_episode(0.0, 1, step=7)
    (event,) = [line for line in read_lines(run.directory.events) if line["type"] == "stage_changed"]
    assert {name: event[name] for name in ("step", "stage", "env_id", "reason")} == {
        "step": 7, "stage": 1, "env_id": "toy", "reason": "episodes>=1",
    }  # fmt: skip


def test_an_episode_without_a_curriculum_says_nothing_of_stages(tmp_path):
    run = fake_run(tmp_path)
    assert "stage" not in run.record_episode(0.0, 1).to_json()


# ---- workers --------------------------------------------------------------------------------------------------------


def test_a_run_stopped_before_and_after_a_change_goes_on_in_its_stage(cli, site, tmp_path):
    """What was counted in the stage is in the checkpoint."""
    site("toy_worker")
    stages = "env.curriculum=[{env_id: a, episodes: 30}, {env_id: b, episodes: 20}, {env_id: toy}]"
    runs = {}
    for name, stops in (("whole", ()), ("resumed", (100, 250))):
        for position, stop in enumerate((*stops, None)):
            words = ("run", *TOY, "--set", stages, "--run-id", name) if position == 0 else ("resume", tmp_path / name)
            limit = ("--stop-at", stop) if stop else ()
            assert cli(*words, *limit, *(("--runs-dir", tmp_path) if position == 0 else ())).code == (75 if stop else 0)
        lines = list(read_lines(tmp_path / name / "episodes.jsonl"))
        runs[name] = [(line["step"], line["return"], line["stage"]) for line in lines]
    assert runs["whole"] == runs["resumed"]
    assert sorted({stage for *_, stage in runs["whole"]}) == [0, 1, 2]


def test_a_worker_that_follows_none_is_refused():
    fits_all = {"action_spaces": (), "observation_spaces": (), "default_env": "a", "default_total_timesteps": 1}
    algorithm = AlgorithmDescriptor(name="one", **fits_all)
    worker = WorkerDescriptor(name="plain", summary="", entry_point="m:W", algorithms=[algorithm])
    config = RunConfig(worker="plain", env={"curriculum": [{"env_id": "a", "steps": 1}, {"env_id": "b"}]})
    machine = MachineFacts(cpu_cores=1, memory_mb=None, has_gpu=False)
    (problem,) = check_fit(config, worker, algorithm, None, machine)
    assert str(problem).startswith("env.curriculum: worker plain trains in one environment: it follows no curriculum.")


def test_a_worker_that_says_so_and_does_not_is_found_out(tmp_path):
    run = fake_run(tmp_path, env={"id": "toy", "curriculum": [{"steps": 1}, {}]})
    with pytest.raises(RlctlError, match=r"does not call `run.follow_curriculum`"):
        run.restore()
