"""Real trainings of every backend are stopped and resumed in other processes, and are the uninterrupted ones."""

from __future__ import annotations

import pytest
from tests.end_to_end.lifecycle import (
    BACKENDS,
    CLEANRL_DQN,
    CLEANRL_PPO,
    DQN,
    SB3_PPO,
    episodes,
    events,
    resumed_from,
    steps_saved,
    train,
)

from rlctl.verify import differences

slow = pytest.mark.slow
PENDULUM = ["Pendulum-v1", "--set", "hyperparameters.learning_starts=100"]
NOISE = "hyperparameters.action_noise={use: %s, sigma: 0.2}"


def _case(name: str, words: list[str], steps: int, *marks: pytest.MarkDecorator) -> object:
    return pytest.param(words, steps, id=name, marks=marks)


CASES = [
    _case("dqn", DQN, 1200),
    _case("dqn, 4 environments", [*DQN, "--num-envs", "4"], 2000, slow),
    _case("dqn/rainbow, 2 environments", ["dqn/rainbow", *DQN[1:], "--num-envs", "2"], 1200, slow),
    _case("sb3/ppo, 3 environments", [*SB3_PPO, "--num-envs", "3"], 1344),
    _case("sb3/ppo", SB3_PPO, 640, slow),
    _case("sb3/ppo, gSDE", ["sb3/ppo", "Pendulum-v1", "--set", "hyperparameters.n_steps=64", "--set",
                            "hyperparameters.use_sde=true", "--num-envs", "2"], 640, slow),
    _case("sb3/a2c", ["sb3/a2c"], 600, slow),
    _case("sb3/dqn", ["sb3/dqn", "CartPole-v1", "--set", "hyperparameters.target_update_interval=50"], 600, slow),
    _case("sb3/sac", ["sb3/sac", *PENDULUM], 450, slow),
    _case("sb3/sac, gSDE", ["sb3/sac", *PENDULUM, "--set", "hyperparameters.use_sde=true"], 450, slow),
    _case("sb3/td3, normal noise", ["sb3/td3", *PENDULUM, "--set", NOISE % "normal"], 450, slow),
    _case("sb3/ddpg, Ornstein-Uhlenbeck noise, 2 environments",
          ["sb3/ddpg", *PENDULUM, "--set", NOISE % "ornstein_uhlenbeck", "--num-envs", "2"], 440, slow),
    _case("cleanrl/ppo", CLEANRL_PPO, 1536, slow),
    _case("cleanrl/dqn", CLEANRL_DQN, 600),
    _case("cleanrl/c51", ["cleanrl/c51", *CLEANRL_DQN[1:]], 600, slow),
    _case("cleanrl/td3", ["cleanrl/td3_continuous_action", *PENDULUM], 450, slow),
    _case("cleanrl/sac", ["cleanrl/sac_continuous_action", *PENDULUM], 450, slow),
    _case("cleanrl/ppo, continuous", ["cleanrl/ppo_continuous_action", "Pendulum-v1", "--set",
                                      "hyperparameters.num_steps=128", "--set", "hyperparameters.num_minibatches=4"],
          1024, slow),
]  # fmt: skip


def _verified(cli, words, steps, *options):
    answer = cli(
        "verify", "resume", *words, "-n", steps, "--device", "cpu", *options, "--json", timeout=280
    )  # fmt: skip
    assert answer.code in (0, 1), answer.err
    return answer.json()


@pytest.mark.parametrize(("words", "steps"), CASES)
def test_a_training_that_was_stopped_half_way_ends_as_the_uninterrupted_one(words, steps, cli, cleanrl_cache):
    """Episodes, weights, optimizers, generators and the replay buffer are equal to the last bit."""
    verdict = _verified(cli, words, steps)

    assert verdict["differences"] == []
    assert verdict["declared"] == "exact"
    assert verdict["episodes"] > 1
    assert 0 < verdict["stopped_at"] < steps


@slow
@pytest.mark.parametrize("target", ["sb3/ppo", "cleanrl/td3_continuous_action"])
def test_a_training_in_mujoco_resumes_exactly(target, cli, cleanrl_cache):
    """The physics goes on where it was, in the middle of a HalfCheetah's episode."""
    pytest.importorskip("mujoco", reason="needs MuJoCo")
    setting = "n_steps=128" if target == "sb3/ppo" else "learning_starts=900"

    verdict = _verified(cli, [target, "HalfCheetah-v5", "--set", f"hyperparameters.{setting}"], 1280)

    assert verdict["differences"] == []
    assert verdict["episodes"] == 1


@slow
@pytest.mark.parametrize(
    ("words", "steps"),
    [
        _case("sb3/a2c, sticky actions", ["sb3/a2c", "ALE/Breakout-v5", "--set", "env.kwargs={obs_type: ram}"], 600),
        _case("cleanrl/ppo_atari", ["cleanrl/ppo_atari", "BreakoutNoFrameskip-v4", "--num-envs", "2", "--set",
                                    "hyperparameters.num_steps=64"], 768),
        _case("cleanrl/dqn_atari", ["cleanrl/dqn_atari", "BreakoutNoFrameskip-v4", "--set",
                                    "hyperparameters.learning_starts=200", "--set", "hyperparameters.buffer_size=500"],
              400),
    ],
)  # fmt: skip
def test_a_training_in_atari_resumes_exactly(words, steps, cli, cleanrl_cache):
    """The emulator goes on where it was, and so do the frames that are pooled and stacked around it."""
    pytest.importorskip("ale_py", reason="needs ale-py")
    if words[0].startswith("cleanrl"):
        pytest.importorskip("cv2", reason="the wrappers need OpenCV")

    verdict = _verified(cli, words, steps)

    assert verdict["differences"] == []
    assert verdict["declared"] == "exact"
    assert verdict["episodes"] > 0


@slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("budget", ["-n", "--total-episodes"])
def test_a_run_can_be_resumed_from_each_of_its_safe_points(backend, budget, cli, cleanrl_cache, tmp_path):
    """The first and the last safe point, before anything is learned, and in the middle of episodes: all are exact."""
    words, steps = BACKENDS[backend]
    if backend == "dqn":
        steps //= 3  # each of them is a safe point and saved, here and in the copies
    amount = (budget, steps if budget == "-n" else steps // 38)
    keep = ("--set", "checkpoint.every_steps=1", "--set", "checkpoint.keep_last=null")
    whole = train(cli, tmp_path, "whole", words, *amount, *keep)
    saved = steps_saved(whole)[:-1]
    ends = {episode["step"] for episode in episodes(whole)}

    chosen = sorted({saved[round(share * (len(saved) - 1))] for share in (0, 0.07, 0.5, 0.93, 1)})

    assert any(step not in ends for step in chosen), "no point in the middle of an episode was chosen"
    assert {step: resumed_from(cli, whole, step) for step in chosen} == {step: [] for step in chosen}


@slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_stopped_twice_is_the_uninterrupted_one(backend, cli, cleanrl_cache, tmp_path):
    """Stopped, resumed, stopped and resumed again: the curve and the final state are those of one run."""
    words, steps = BACKENDS[backend]
    whole = train(cli, tmp_path, "whole", words, "-n", steps)
    twice = train(cli, tmp_path, "twice", words, "-n", steps, "--stop-at", steps // 3, code=75)

    again = cli("resume", twice, "--stop-at", 2 * steps // 3)
    last = cli("resume", twice)

    assert (again.code, last.code) == (75, 0), again.err + last.err
    assert episodes(twice) == episodes(whole)
    assert differences(whole, twice) == []
    assert len(events(twice, "run_resumed")) == 2


@pytest.mark.parametrize("backend", ["sb3", pytest.param("dqn", marks=slow), pytest.param("cleanrl", marks=slow)])
def test_observing_a_training_does_not_change_it(backend, cli, cleanrl_cache, tmp_path):
    """Checkpoints every 100 steps and tensorboard leave every episode as it is without any of them."""
    words, steps = BACKENDS[backend]

    bare = train(cli, tmp_path, "bare", words, "-n", steps, "--set", "checkpoint.every_steps=null",
                 "--set", "checkpoint.every_seconds=null")  # fmt: skip
    watched = train(cli, tmp_path, "watched", words, "-n", steps, "--set", "checkpoint.every_steps=100",
                    "--callback", "tensorboard")  # fmt: skip

    assert len(events(watched, "checkpoint_saved")) >= 4
    assert len(events(bare, "checkpoint_saved")) == 1
    assert list(watched.rglob("events.out.tfevents*"))
    assert len(episodes(bare)) > 10
    assert episodes(watched) == episodes(bare)
