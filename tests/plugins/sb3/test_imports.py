"""`rlctl import`: what SB3 and rl-zoo3 have trained becomes a run, read as data and made in one step."""

import csv
import pickle
import shutil
import zipfile

import numpy as np
import pytest

from rlctl import Evaluation
from rlctl.events import episodes_of
from rlctl.runs.files import read_json, read_lines

CONFIG = """!!python/object/apply:collections.OrderedDict
- - - batch_size
    - 64
  - - callback
    - my.Callback
  - - clip_range
    - lin_0.2
  - - n_envs
    - 2
  - - n_steps
    - 64
  - - n_timesteps
    - 512.0
  - - policy
    - MlpPolicy
  - - policy_kwargs
    - dict(net_arch=[16], activation_fn=nn.ReLU)
  - - sde_net_arch
    - !!python/object/apply:os.system
      - touch leak
"""
ARGUMENTS = """!!python/object/apply:collections.OrderedDict
- - - algo
    - ppo
  - - env
    - CartPole-v1
  - - env_kwargs
    - null
  - - n_timesteps
    - -1
  - - seed
    - 7
"""


def train(folder, *, normalize=False):
    """Train a few hundred steps by SB3 itself, monitored and evaluated, and leave what its users are left with."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import EvalCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    envs = make_vec_env("CartPole-v1", n_envs=2, seed=7, monitor_dir=str(folder))
    judge = make_vec_env("CartPole-v1", n_envs=1, seed=9)
    if normalize:
        envs, judge = VecNormalize(envs), VecNormalize(judge, training=False, norm_reward=False)
    evaluate = EvalCallback(
        judge, n_eval_episodes=3, eval_freq=64, log_path=str(folder), best_model_save_path=str(folder), verbose=0
    )
    network = {"net_arch": [16], "activation_fn": torch.nn.ReLU}
    model = PPO("MlpPolicy", envs, n_steps=64, policy_kwargs=network, seed=7, device="cpu")
    model.learn(512, callback=evaluate)
    model.save(folder / "model")
    if normalize:
        envs.save(str(folder / "vecnormalize.pkl"))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder as a script of SB3 leaves it."""
    return train(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def script(trained, tmp_path):
    """A copy of it, to be spoiled."""
    return shutil.copytree(trained, tmp_path / "script")


@pytest.fixture
def zoo(trained, tmp_path):
    """The same in the layout of rl-zoo3."""
    folder = shutil.copytree(trained, tmp_path / "logs" / "ppo" / "CartPole-v1_1")
    (folder / "model.zip").rename(folder / "CartPole-v1.zip")
    (folder / "CartPole-v1").mkdir()
    (folder / "CartPole-v1" / "config.yml").write_text(CONFIG)
    (folder / "CartPole-v1" / "args.yml").write_text(ARGUMENTS)
    return folder


@pytest.fixture
def imported(fast_cli, tmp_path):
    """Import a folder and return (what the command printed as data, the run's folder)."""

    def run(kind, folder, *options):
        outcome = fast_cli("import", kind, folder, *options, "--json")
        assert outcome.code == 0, outcome.err
        made = outcome.json()
        return made, tmp_path / "runs" / made["run_id"]

    return run


def refused(outcome, tmp_path):
    """Return what an import that has failed said, after a look at what it left."""
    assert outcome.code in (1, 2), outcome.err
    assert outcome.err.startswith("rlctl: ")
    assert not (tmp_path / "runs").exists() or list((tmp_path / "runs").iterdir()) == []
    return outcome.err


# ---- what a run has afterwards -------------------------------------------------------------------------------------


def test_a_training_of_the_zoo_is_a_finished_run(zoo, imported, fast_cli):
    """It is listed and shown like any other."""
    made, run = imported("zoo", zoo, "--name", "tuned")

    (row,) = fast_cli("runs", "list", "--json").json()
    assert (row["run_id"], row["name"], row["state"]) == (made["run_id"], "tuned", "finished")
    assert (row["worker"], row["algo"], row["env"], row["seed"]) == ("sb3", "ppo", "CartPole-v1", 7)
    assert row["step"] == 512
    shown = fast_cli("runs", "show", "tuned")
    assert shown.code == 0
    assert "trained by rl-zoo3, imported from" in shown.out
    assert sorted(path.name for path in (run / "backend").iterdir()) == [
        "0.monitor.csv", "1.monitor.csv", "args.yml", "best_model.zip", "config.yml", "evaluations.npz", "model.zip",
    ]  # fmt: skip


def test_the_zoo_s_settings_are_the_run_s(zoo, imported):
    """Translated as those of a preset; what is not known is a default, and said to be one."""
    _, run = imported("zoo", zoo)
    data = read_json(run / "config.json")
    config, settings = data["config"], data["config"]["hyperparameters"]

    assert (config["total_timesteps"], config["env"]["num_envs"], config["seed"]) == (512, 2, 7)
    assert settings["clip_range"] == {"schedule": "linear", "start": 0.2, "end": 0}
    assert settings["policy_kwargs"] == {"net_arch": [16], "activation_fn": "relu"}
    assert settings["gamma"] == 0.99
    assert data["origins"]["hyperparameters.n_steps"] == "rl-zoo3"
    assert data["origins"]["hyperparameters.gamma"] == "default"


def test_what_is_not_taken_over_is_named(zoo, imported, monkeypatch, tmp_path):
    """In the answer and in the manifest; a tag that would run a command is a name."""
    monkeypatch.chdir(tmp_path)
    made, run = imported("zoo", zoo)
    assert [item["field"] for item in made["left_out"]] == ["callback", "sde_net_arch"]
    assert [item["field"] for item in read_json(run / "manifest.json")["imported"]["left_out"]] == [
        "callback",
        "sde_net_arch",
    ]
    assert not list(tmp_path.rglob("leak"))


def test_episodes_of_all_workers_are_in_the_order_of_time(script, imported):
    """Returns and lengths are those of the files; steps are counted over all environments, as SB3 counts them."""
    _, run = imported("sb3", script)
    episodes = list(episodes_of(read_lines(run / "episodes.jsonl")))

    seconds = [episode.seconds for episode in episodes]
    steps = [episode.step for episode in episodes]
    assert seconds == sorted(seconds)
    assert steps == sorted(steps)
    assert [episode.index for episode in episodes] == list(range(len(episodes)))
    for worker in (0, 1):
        own = [episode for episode in episodes if episode.env_index == worker]
        with (script / f"{worker}.monitor.csv").open() as file:
            rows = list(csv.DictReader(file.readlines()[1:]))
        assert [(item.episode_return, item.length) for item in own] == [
            (float(row["r"]), int(row["l"])) for row in rows
        ]
        assert [item.step for item in own] == (2 * np.cumsum([item.length for item in own])).tolist()
    assert max(steps) <= 512


def test_evaluations_are_those_of_the_callback(script, imported):
    """With the same returns at the same steps; seeds and ends are not known."""
    _, run = imported("sb3", script)
    found = [Evaluation.from_json(line) for line in read_lines(run / "evaluations.jsonl")]
    with np.load(script / "evaluations.npz") as arrays:
        steps, returns = arrays["timesteps"].tolist(), arrays["results"].tolist()

    assert [item.step for item in found] == steps == [128, 256, 384, 512]
    assert [item.returns for item in found] == returns
    assert {episode.seed for item in found for episode in item.measured} == {None}
    result = read_json(run / "result.json")
    assert result["best_return"] == max(item.return_mean for item in found)
    assert [item.return_mean for item in found if item.best][-1] == result["best_return"]


def test_what_a_model_says_of_itself_is_the_configuration(script, imported):
    """Without any file of settings; even what is in a constant schedule."""
    made, run = imported("sb3", script)
    config = read_json(run / "config.json")["config"]

    assert (config["algo"], config["env"]["id"], config["env"]["num_envs"], config["seed"]) == (
        "ppo",
        "CartPole-v1",
        2,
        7,
    )
    assert config["total_timesteps"] == 512
    settings = config["hyperparameters"]
    assert (settings["n_steps"], settings["clip_range"], settings["learning_rate"]) == (64, 0.2, 0.0003)
    assert settings["policy_kwargs"] == {"net_arch": [16], "activation_fn": "relu"}
    assert settings["policy"] == "MlpPolicy"
    assert made["left_out"] == []


def test_the_manifest_says_where_it_is_from(script, imported):
    """The folder, and the hash of each file; versions are those of the training, not of this machine's import."""
    import hashlib

    import stable_baselines3

    _, run = imported("sb3", script)
    manifest = read_json(run / "manifest.json")
    assert manifest["imported"]["from"] == "a script of Stable-Baselines3"
    assert manifest["imported"]["folder"] == str(script.resolve())
    digest = hashlib.sha256((script / "model.zip").read_bytes()).hexdigest()
    assert manifest["imported"]["files"]["model.zip"]["sha256"] == digest
    assert manifest["packages"]["Stable-Baselines3"] == stable_baselines3.__version__


# ---- what can be done with it --------------------------------------------------------------------------------------


def test_the_policy_is_measured_like_that_of_any_run(script, imported, cli):
    """By the run's id; the model that was the best is there as well, and each is the very network of SB3."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.evaluation import evaluate_policy

    from rlctl.gym.environments import make_env

    made, run = imported("sb3", script)
    for checkpoint, name in (("latest", "model.zip"), ("best", "best_model.zip")):
        answer = cli(
            "evaluate", made["run_id"], "--checkpoint", checkpoint, "--episodes", 1, "--seed", 5, "--json"
        ).json()
        env = make_env({"id": "CartPole-v1"})
        env.reset(seed=5)
        env.reset = lambda inner=env, **_: type(inner).reset(inner, seed=5)
        expected, _ = evaluate_policy(PPO.load(script / name, device="cpu"), env, n_eval_episodes=1, warn=False)
        assert answer["return_mean"] == expected
    assert len(list(read_lines(run / "evaluations_after.jsonl"))) == 2


def test_there_are_no_other_checkpoints(script, imported, fast_cli):
    """It cannot be resumed, and another step is refused with what there is."""
    made, _ = imported("sb3", script)
    outcome = fast_cli("evaluate", made["run_id"], "--checkpoint", "128")
    assert outcome.code == 2
    assert 'was imported, and there is no model "128" of it. There is: latest, best.' in outcome.err
    assert fast_cli("resume", made["run_id"]).code == 2


def test_normalised_observations_need_trust(tmp_path, imported, cli):
    """The statistics are in a pickle: it is copied, and opened only when that is said."""
    folder = tmp_path / "normalised"
    folder.mkdir()
    made, run = imported("sb3", train(folder, normalize=True))
    assert (run / "backend" / "vecnormalize.pkl").read_bytes() == (folder / "vecnormalize.pkl").read_bytes()
    assert read_json(run / "config.json")["config"]["hyperparameters"]["normalize"] is True

    without, with_trust = (cli("evaluate", made["run_id"], "--episodes", 2, *more) for more in ((), ("--trust",)))

    assert without.code == 1
    assert "only read with --trust" in without.err
    assert with_trust.code == 0, with_trust.err


def test_the_commands_of_the_page_run(zoo, script, cli):
    """Those of docs/sb3.md, one after the other, in a folder that has what they name; trainings are short."""
    for package in ("Box2D", "cv2"):
        pytest.importorskip(package)
    import re
    import shlex
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "sb3.md").read_text()
    lines = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    shutil.copytree(zoo.parents[1], cli.folder / "logs")
    shutil.copytree(script, cli.folder / "logs" / "cartpole")
    shutil.copytree(Path(__file__).parents[3] / "examples", cli.folder / "examples")
    (cli.folder / "hyperparams").mkdir()
    preset = "CartPole-v1: {n_timesteps: !!float 2e2, n_steps: 64, policy: MlpPolicy, learning_rate: lin_0.1}"
    (cli.folder / "hyperparams" / "ppo.yml").write_text(preset)

    for line in lines:
        words = shlex.split(line)[1:]
        budget = ["--total-timesteps", "256"] if "run" in words and "--total-timesteps" not in words else []
        outcome = cli(*words, *budget, timeout=280)
        assert outcome.code == 0, f"{line}: {outcome.err}"
    assert len(lines) == 16


# ---- what is refused, and what is never done -----------------------------------------------------------------------


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_is_unpickled(script, imported, tmp_path):
    """Neither the statistics of a normalisation nor what is pickled in a model."""
    leak = tmp_path / "leak"
    (script / "vecnormalize.pkl").write_bytes(pickle.dumps(Bomb(leak)))
    imported("sb3", script)
    assert not leak.exists()


def test_evaluations_that_would_have_to_be_unpickled_are_refused(script, fast_cli, tmp_path):
    """Numpy reads plain arrays only, and there is no half run."""
    leak = tmp_path / "leak"
    objects = np.array([Bomb(leak)], dtype=object)
    np.savez(script / "evaluations.npz", timesteps=objects, results=objects, ep_lengths=objects)

    said = refused(fast_cli("import", "sb3", script), tmp_path)

    assert "evaluations.npz has no evaluations of SB3 that can be read" in said
    assert not leak.exists()


def test_a_copy_that_fails_leaves_no_half_run(script, fast_cli, tmp_path, monkeypatch):
    """The directory appears whole or not at all."""

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rlctl_sb3.zoo.imports.shutil.copyfile", full)
    assert "No space left on device" in refused(fast_cli("import", "sb3", script), tmp_path)


def test_every_broken_line_of_a_monitor_file_is_named(script, fast_cli, tmp_path):
    """With its place; but a last line that a kill has torn costs only itself."""
    path = script / "0.monitor.csv"
    lines = path.read_text().splitlines()
    lines[2], lines[3] = "one,2,3", "1.0,2"
    path.write_text("\n".join(lines) + "\n")
    said = refused(fast_cli("import", "sb3", script), tmp_path)
    assert f"{path}:3: is no episode" in said
    assert f"{path}:4: is no episode" in said


def test_a_torn_last_line_is_passed_over(script, imported):
    """As in rlctl's own files."""
    before, _ = imported("sb3", script)
    with (script / "0.monitor.csv").open("a") as file:
        file.write("12.0,1")
    assert imported("sb3", script)[0]["episodes"] == before["episodes"]


def test_folders_that_are_no_training_are_refused(zoo, fast_cli, tmp_path):
    """With what there is below; each command by what it looks for."""
    (tmp_path / "empty").mkdir()
    assert "there is no folder" in refused(fast_cli("import", "sb3", tmp_path / "none"), tmp_path)
    assert "no monitor.csv and no model" in refused(fast_cli("import", "sb3", tmp_path / "empty"), tmp_path)
    assert "is no training of rl-zoo3" in refused(fast_cli("import", "zoo", tmp_path / "empty"), tmp_path)
    assert f"There is: {zoo}." in refused(fast_cli("import", "zoo", zoo.parent), tmp_path)


def test_what_is_not_known_has_to_be_said(script, fast_cli, imported, tmp_path):
    """An environment that no file names, an algorithm without a model; both at once."""
    for name in ("model.zip", "best_model.zip"):
        (script / name).unlink()
    for path in script.glob("*.monitor.csv"):
        path.write_text(path.read_text().replace('"CartPole-v1"', '"None"'))
    said = refused(fast_cli("import", "sb3", script), tmp_path)
    assert "the algorithm cannot be told from its files." in said
    assert "the environment cannot be told from its files." in said

    made, _ = imported("sb3", script, "--env", "CartPole-v1", "--algo", "a2c")

    assert (made["algo"], made["env"], made["model"]) == ("a2c", "CartPole-v1", None)


def test_a_model_of_another_algorithm_is_refused(script, fast_cli, tmp_path):
    """What it is, is seen in it."""
    assert "is one of ppo" in refused(fast_cli("import", "sb3", script, "--algo", "dqn"), tmp_path)
    assert "is one of ppo" in refused(fast_cli("import", "sb3", script, "--algo", "tqc"), tmp_path)


@pytest.mark.parametrize("content", [b"", b"no zip", "json", "list"])
def test_a_file_that_is_no_model_is_refused(script, content, fast_cli, tmp_path):
    """With its name."""
    path = script / "model.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data", "{" if content == "json" else "[]")
    assert f"{path} is no model of Stable-Baselines3" in refused(fast_cli("import", "sb3", script), tmp_path)


@pytest.mark.parametrize("name", ["PPO", "A2C", "DQN", "SAC", "TD3", "DDPG"])
def test_the_algorithm_of_a_model_is_seen_in_it(name, tmp_path):
    """For each that the worker has, and its settings are accepted by the checks of a run."""
    import stable_baselines3

    from rlctl_sb3.zoo.models import read_model, settings_of
    from rlctl_sb3.zoo.settings import translate

    env = "CartPole-v1" if name in ("PPO", "A2C", "DQN") else "Pendulum-v1"
    options = {} if name in ("PPO", "A2C") else {"buffer_size": 100}
    getattr(stable_baselines3, name)("MlpPolicy", env, device="cpu", **options).save(tmp_path / "model.zip")
    facts = read_model(tmp_path / "model.zip")
    settings, unknown = settings_of(facts, name.lower())

    assert facts.algorithm == name.lower()
    assert settings["policy"] == "MlpPolicy"
    assert [problem.path for problem in unknown if problem.path != "train_freq"] == []
    left_out = [problem.path for problem in translate(settings, name.lower(), env).left_out]
    assert left_out == ["n_timesteps"]
