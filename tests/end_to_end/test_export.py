"""From a training to a file that others use: what they reach with it alone is what `rlctl evaluate` measures."""

from __future__ import annotations

import gymnasium
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from tests.end_to_end.lifecycle import CLEANRL_DQN, DQN, SB3_PPO, train

from rlctl import export
from rlctl.runs.checkpoints import CheckpointFolder

SEEDS = (100, 101, 102)
slow = pytest.mark.slow
CONTINUOUS = ["cleanrl/ppo_continuous_action", "Pendulum-v1", "--set", "hyperparameters.num_steps=128", "--set",
              "hyperparameters.num_minibatches=4"]  # fmt: skip
NORMALIZED = [*SB3_PPO, "--set", "hyperparameters.normalize=true"]
SAC = ["sb3/sac", "Pendulum-v1", "--set", "hyperparameters.learning_starts=100"]
LSTM = ["sb3/recurrent_ppo", "CartPole-v1", "--set", "hyperparameters.n_steps=64"]


def _returns(cli, run):
    answer = cli("evaluate", run, "--episodes", 3, "--seed", 100, "--num-envs", 1, "--json")
    assert answer.code == 0, answer.err
    return answer.json()["evaluations"][0]["returns"]


def _played(env_id, act):
    """Return the returns of the same episodes, in gymnasium's own environment."""
    env, found = gymnasium.make(env_id), []
    for seed in SEEDS:
        observation, _ = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(act(observation[None])[0])
            total, ended = total + float(reward), terminated or truncated
        found.append(total)
    return found


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (DQN, 400),
        (NORMALIZED, 512),
        pytest.param(SAC, 300, marks=slow),
        pytest.param(CLEANRL_DQN, 400, marks=slow),
        (CONTINUOUS, 256),
    ],
    ids=["dqn", "sb3-ppo", "sb3-sac", "cleanrl-dqn", "cleanrl-ppo"],
)
def test_an_onnx_file_alone_reaches_what_the_policy_reaches(words, steps, cli, cleanrl_cache, tmp_path):
    """Raw observations in, onnxruntime, actions out: no rlctl, no PyTorch, no statistics beside the file."""
    import onnxruntime

    run = train(cli, tmp_path, "run", words, "-n", steps)
    answer = cli("export", run, "--format", "onnx")
    assert answer.code == 0, answer.err
    path = answer.out.strip()
    assert "observations 512, max difference " in answer.err
    session = onnxruntime.InferenceSession(path)

    assert _played(words[1], lambda seen: session.run(["action"], {"observation": seen})[0]) == pytest.approx(
        _returns(cli, run), rel=1e-4
    )


def test_any_checkpoint_becomes_a_zip_of_sb3s(cli, tmp_path):
    """Not only the last one: loaded, it has the steps and the optimizer of its checkpoint, acts the same, and learns on."""
    keep = ["--set", "checkpoint.every_steps=256", "--set", "checkpoint.keep_last=null"]
    run = train(cli, tmp_path, "run", [*NORMALIZED, *keep], "-n", 512)
    made = export(run, format="sb3-zip", checkpoint="256", output=tmp_path / "mine" / "early.zip", runs_dir=tmp_path)

    assert [path.name for path in made.files] == ["early.zip", "vecnormalize.pkl"]
    venv = VecNormalize.load(str(made.files[1]), DummyVecEnv([lambda: gymnasium.make("CartPole-v1")]))
    model = PPO.load(made.path, venv, device="cpu")
    assert model.num_timesteps == 256
    assert model.policy.optimizer.state_dict()["state"]
    venv.training = False

    def act(seen):
        return model.predict(venv.normalize_obs(seen), deterministic=True)[0]

    by_hand = _played("CartPole-v1", act)
    answer = cli("evaluate", run, "--checkpoint", 256, "--episodes", 3, "--seed", 100, "--num-envs", 1, "--json")
    assert answer.json()["evaluations"][0]["returns"] == by_hand
    venv.training = True
    assert model.learn(64, reset_num_timesteps=False).num_timesteps == 320


def test_a_librarys_own_file_is_exported_as_well(cli, tmp_path):
    """SB3's model.zip, with the words that evaluate it, into the current folder."""
    run = train(cli, tmp_path, "run", SB3_PPO, "-n", 256)
    answer = cli("export", run / "backend" / "model.zip", "-w", "sb3/ppo", "--env", "CartPole-v1", "-f", "torchscript")

    assert answer.code == 0, answer.err
    assert answer.out == f"{cli.folder / 'policy.pt'}\n"
    assert (cli.folder / "policy.pt").is_file()


def test_a_policy_with_a_memory_is_no_network(cli, tmp_path):
    """It is refused with the reason; a zip takes it."""
    run = train(cli, tmp_path, "run", LSTM, "-n", 128)
    answer = cli("export", run, "-f", "onnx", "--json")

    assert answer.code == 3
    assert "sb3/recurrent_ppo is not available as a network, because its policy remembers" in answer.err
    assert "--format sb3-zip" in answer.json()["hint"]
    assert not (run / "exports").exists()


def test_a_zip_of_sb3s_is_for_sb3(cli, tmp_path):
    """Of another worker's run it is refused, naming the worker."""
    run = train(cli, tmp_path, "run", DQN, "-n", 300)
    answer = cli("export", run, "-f", "sb3-zip")

    assert (answer.code, '"sb3-zip" is for worker "sb3"; this policy is of worker "dqn".' in answer.err) == (2, True)


@slow
def test_exporting_twice_gives_the_same_file(cli, tmp_path):
    """Byte by byte, so that nothing has to be forced; and nothing of the run is touched."""
    run = train(cli, tmp_path, "run", DQN, "-n", 300)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    first = export(run, format="onnx", runs_dir=tmp_path)
    content = first.path.read_bytes()

    assert export(run, format="onnx", runs_dir=tmp_path) == first
    assert first.path.read_bytes() == content
    assert first.checkpoint == CheckpointFolder(run / "checkpoints").find("latest").sha256()
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after == {**before, first.path: content}
