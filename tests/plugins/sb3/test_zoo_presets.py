"""`rlctl presets import zoo`: a file of the zoo becomes configurations that can be run, and says what is not in them."""

import math

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlctl.config.files import read_config
from rlctl.errors import ConfigError
from rlctl_sb3.zoo.settings import translate
from rlctl_sb3.zoo.yaml_data import Foreign, read_yaml

PPO = """
default:
  n_timesteps: !!float 1e6
  policy: 'MlpPolicy'

atari:
  env_wrapper:
    - stable_baselines3.common.atari_wrappers.AtariWrapper
  frame_stack: 4
  policy: 'CnnPolicy'
  n_timesteps: !!float 1e7

CartPole-v1: &cartpole
  n_envs: 2
  n_timesteps: !!float 256
  policy: 'MlpPolicy'
  n_steps: 32
  batch_size: 64
  learning_rate: lin_0.001
  clip_range: lin_0.2
  normalize: "dict(norm_obs=True, norm_reward=False)"
  policy_kwargs: "dict(net_arch=[dict(pi=[16], vf=[16])],
                       activation_fn=nn.ReLU)"

Acrobot-v1:
  <<: *cartpole
  callback:
    - rl_zoo3.callbacks.ParallelTrainCallback:
        gradient_steps: 256
  env_wrapper:
    - gymnasium.wrappers.time_limit.TimeLimit:
        max_episode_steps: 100
    - rl_zoo3.wrappers.HistoryWrapper:
        horizon: 2
  n_stepz: 3

Broken-v0:
  n_timesteps: many
  policy: my_package.MyPolicy
"""


@pytest.fixture
def ppo(tmp_path):
    """A file as the zoo has them, with one entry that cannot be used."""
    path = tmp_path / "ppo.yml"
    path.write_text(PPO)
    return path


def translated(algorithm="ppo", **entry):
    """What becomes of an entry that has a budget."""
    return translate({"n_timesteps": 1000, **entry}, algorithm, "Env-v0")


def setting(name, value, algorithm="ppo"):
    """What a field becomes as a hyper-parameter of the same name."""
    made = translated(algorithm, **{name: value})
    assert made.left_out == []
    return made.config["hyperparameters"][name]


# ---- the command ---------------------------------------------------------------------------------------------------


def test_a_preset_is_accepted_and_trains(ppo, cli, tmp_path):
    """From the zoo's file to a finished run, in two commands."""
    made = cli("presets", "import", "zoo", ppo, "--env", "CartPole-v1", "--output", tmp_path)
    assert (made.code, made.err) == (0, "")
    (file,) = made.out.split()
    checked = cli("config", "check", file)
    assert checked.code == 0, checked.err

    ran = cli("run", "-c", file, "--json")

    assert ran.code == 0, ran.err
    config = cli("runs", "show", "--json").json()["config"]
    assert (config["worker"], config["algo"], config["env"]["num_envs"]) == ("sb3", "ppo", 2)
    assert config["total_timesteps"] == 256
    assert config["hyperparameters"]["clip_range"] == {"schedule": "linear", "start": 0.2, "end": 0}


def test_a_file_says_where_it_is_from_and_what_is_not_in_it(ppo, fast_cli, tmp_path):
    """In its first line, and in comments below it; the same is said on stderr."""
    outcome = fast_cli("presets", "import", "zoo", ppo, "--env", "Acrobot-v1", "--output", tmp_path)
    lines = (tmp_path / "ppo-Acrobot-v1.yaml").read_text().splitlines()

    assert lines[0] == f'# From {ppo}, entry "Acrobot-v1" of rl-zoo3'
    comments = "\n".join(line for line in lines if line.startswith("#"))
    for text in ("callback: rl_zoo3.callbacks.ParallelTrainCallback", "env_wrapper: rl_zoo3.wrappers.HistoryWrapper",
                 'n_stepz: sb3/ppo has no such setting. Did you mean "n_steps"?'):  # fmt: skip
        assert text in comments
        assert f"Acrobot-v1: not taken over: {text}" in outcome.err
    assert outcome.code == 0


def test_the_same_as_data(ppo, fast_cli, tmp_path):
    """With --json: a file or none for each entry, and every field with its reason."""
    outcome = fast_cli("presets", "import", "zoo", ppo, "--output", tmp_path, "--json")
    rows = {row["entry"]: row for row in outcome.json()}

    assert set(rows) == {"default", "atari", "CartPole-v1", "Acrobot-v1", "Broken-v0"}
    assert rows["CartPole-v1"]["left_out"] == []
    assert [item["field"] for item in rows["Acrobot-v1"]["left_out"]] == ["callback", "env_wrapper", "n_stepz"]
    assert [item["field"] for item in rows["Broken-v0"]["unusable"]] == ["n_timesteps", "policy"]
    assert [name for name, row in rows.items() if row["file"]] == ["CartPole-v1", "Acrobot-v1"]


def test_an_entry_that_cannot_be_used_is_skipped_and_the_exit_code_says_so(ppo, fast_cli, tmp_path):
    """The others are written."""
    outcome = fast_cli("presets", "import", "zoo", ppo, "--output", tmp_path / "out")

    assert outcome.code == 1
    assert "Broken-v0: cannot be used: n_timesteps: expected a whole number" in outcome.err
    assert "Broken-v0: cannot be used: policy: " in outcome.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ppo-Acrobot-v1.yaml", "ppo-CartPole-v1.yaml"]


def test_what_is_unknown_is_named_all_at_once_with_what_is_near(ppo, fast_cli, tmp_path):
    """Algorithm and environments, and nothing is written."""
    outcome = fast_cli("presets", "import", "zoo", ppo, "--algo", "pppo", "--env", "CartPole-v2", "--env", "Akrobot-v1",
                       "--output", tmp_path / "none")  # fmt: skip

    assert outcome.code == 2
    for near in ('Did you mean "ppo"?', 'Did you mean "CartPole-v1"?', 'Did you mean "Acrobot-v1"?'):
        assert near in outcome.err
    assert not (tmp_path / "none").exists()


def test_algorithms_of_sb3_contrib_need_it(ppo, monkeypatch, tmp_path):
    """Where it is not installed they are refused, with what to install."""
    from importlib.machinery import PathFinder

    from rlctl.errors import ConfigError
    from rlctl_sb3.algorithms import CONTRIB
    from rlctl_sb3.zoo.presets import import_presets

    find = PathFinder.find_spec
    monkeypatch.setattr(PathFinder, "find_spec", lambda name, *more: None if name == CONTRIB else find(name, *more))
    with pytest.raises(ConfigError, match=r'"tqc" is an algorithm of sb3-contrib, which is not installed'):
        import_presets(ppo.rename(tmp_path / "tqc.yml"), (), None, tmp_path / "none")


def test_the_zoo_s_name_of_an_algorithm_becomes_the_worker_s(ppo, fast_cli, tmp_path):
    """Its ppo_lstm is recurrent_ppo here."""
    path = ppo.rename(tmp_path / "ppo_lstm.yml")
    fast_cli("presets", "import", "zoo", path, "--env", "CartPole-v1", "--output", tmp_path)
    assert read_config(tmp_path / "recurrent_ppo-CartPole-v1.yaml")[0]["algo"] == "recurrent_ppo"


def test_a_game_is_trained_by_the_section_of_games(ppo, fast_cli, tmp_path):
    """As in the zoo; a slash is no part of a file's name."""
    fast_cli("presets", "import", "zoo", ppo, "--env", "ALE/Pong-v5", "--output", tmp_path)
    values, _ = read_config(tmp_path / "ppo-ALE-Pong-v5.yaml")
    atari = "stable_baselines3.common.atari_wrappers:AtariWrapper"
    assert values["env"] == {"id": "ALE/Pong-v5", "wrappers": [atari]}
    assert values["hyperparameters"] == {"frame_stack": 4, "policy": "CnnPolicy"}


def test_an_environment_can_take_another_entry(ppo, fast_cli, tmp_path):
    """The section for all others, or that of an older version."""
    wanted = ["--env", "Pendulum-v1=default", "--env", "CartPole-v0=CartPole-v1"]
    fast_cli("presets", "import", "zoo", ppo, *wanted, "--output", tmp_path)
    assert read_config(tmp_path / "ppo-Pendulum-v1.yaml")[0]["total_timesteps"] == 1_000_000
    assert read_config(tmp_path / "ppo-CartPole-v0.yaml")[0]["env"]["id"] == "CartPole-v0"


def test_a_file_that_is_there_is_not_replaced(ppo, fast_cli, tmp_path):
    """Unless it says the same."""
    command = ("presets", "import", "zoo", ppo, "--env", "CartPole-v1", "--output", tmp_path)
    assert [fast_cli(*command).code, fast_cli(*command).code] == [0, 0]
    (tmp_path / "ppo-CartPole-v1.yaml").write_text("mine")

    outcome = fast_cli(*command)

    assert (outcome.code, (tmp_path / "ppo-CartPole-v1.yaml").read_text()) == (2, "mine")
    assert "exists already. Remove it, or say another --output." in outcome.err


@pytest.mark.parametrize("text", ["- a list", "a: [", "a: &x [*x]", "a: 1\na: 2", "? [1, 2]\n: 3", "\x00"])
def test_a_file_that_is_no_file_of_the_zoo_is_refused(text, fast_cli, tmp_path):
    """In words and with exit code 1 or 2, never with a traceback."""
    (tmp_path / "ppo.yml").write_text(text)
    outcome = fast_cli("presets", "import", "zoo", tmp_path / "ppo.yml", "--output", tmp_path / "none")
    assert outcome.code in (1, 2)
    assert outcome.err.startswith("rlctl: ")


# ---- fields --------------------------------------------------------------------------------------------------------


@given(st.floats(1e-12, 1e3))
def test_a_linear_schedule_ends_at_zero(start):
    """Whatever it begins with."""
    assert setting("learning_rate", f"lin_{start!r}") == {"schedule": "linear", "start": start, "end": 0}


@given(st.integers(1, 10**12))
def test_a_budget_may_be_written_as_a_float(steps):
    """`!!float 1e5` is a whole number of steps; so is a text that PyYAML leaves one."""
    for value in (steps, float(steps), str(steps)):
        assert translate({"n_timesteps": value}, "ppo", "Env-v0").config["total_timesteps"] == steps


@given(st.sampled_from(["normal", "ornstein-uhlenbeck"]), st.floats(0, 2))
def test_noise_on_actions_is_one_setting(kind, sigma):
    """`noise_type` and `noise_std` together."""
    made = translated("td3", noise_type=kind, noise_std=sigma)
    assert made.config["hyperparameters"]["action_noise"] == {"use": kind.replace("-", "_"), "sigma": sigma}
    assert made.left_out == []


def test_values_that_are_alike_here_and_there_are_taken_as_they_are():
    """Lists, texts, numbers, a limit on the horizon of a replay buffer."""
    assert setting("train_freq", [1, "episode"], "sac") == [1, "episode"]
    assert setting("ent_coef", "auto", "sac") == "auto"
    assert setting("gradient_steps", -1, "dqn") == -1
    assert setting("buffer_size", 1e5, "dqn") == 100_000
    assert setting("policy", "stable_baselines3.ppo.MlpPolicy") == "MlpPolicy"
    hindsight = translated("sac", replay_buffer_class="HerReplayBuffer", replay_buffer_kwargs="dict(n_sampled_goal=4)")
    assert hindsight.left_out == []
    assert hindsight.config["hyperparameters"] == {
        "replay_buffer_class": "stable_baselines3:HerReplayBuffer", "replay_buffer_kwargs": {"n_sampled_goal": 4},
    }  # fmt: skip
    assert setting("normalize", True) is True
    assert setting("policy_kwargs", {"net_arch": [8]}) == {"net_arch": [8]}


def test_the_environment_s_own_fields_are_its():
    """How many, with which arguments, truncated when."""
    made = translated(
        n_envs=4, env_kwargs={"gravity": 5.0}, env_wrapper={"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 9}}
    )
    assert made.config["env"] == {"id": "Env-v0", "num_envs": 4, "kwargs": {"gravity": 5.0}, "max_episode_steps": 9}
    assert made.left_out == []


WRAPPERS = {
    "stable_baselines3.common.atari_wrappers.AtariWrapper": "stable_baselines3.common.atari_wrappers:AtariWrapper",
    "sb3_contrib.common.wrappers.TimeFeatureWrapper": "sb3_contrib.common.wrappers:TimeFeatureWrapper",
    "rl_zoo3.wrappers.TimeFeatureWrapper": "sb3_contrib.common.wrappers:TimeFeatureWrapper",
    "utils.wrappers.TimeFeatureWrapper": "sb3_contrib.common.wrappers:TimeFeatureWrapper",
    "rl_zoo3.wrappers.FrameSkip": {"use": "gymnasium.wrappers:RepeatAction", "kwargs": {"num_repeats": 4}},
    "gym.wrappers.ClipAction": "gymnasium.wrappers:ClipAction",
    "gymnasium.wrappers.transform_observation.GrayscaleObservation": "gymnasium.wrappers:GrayscaleObservation",
    "gym.wrappers.gray_scale_observation.GrayScaleObservation": "gymnasium.wrappers:GrayscaleObservation",
    "minigrid.wrappers.FlatObsWrapper": "minigrid.wrappers:FlatObsWrapper",
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_that_is_known_is_one_of_the_environment(name):
    """By the name under which it is imported today, also where the zoo or gym had it."""
    made = translated(env_wrapper=name)
    assert made.config["env"] == {"id": "Env-v0", "wrappers": [WRAPPERS[name]]}
    assert made.left_out == []


@pytest.mark.parametrize(
    "name", [name for name in WRAPPERS.values() if isinstance(name, str) and "minigrid" not in name]
)
def test_the_names_of_wrappers_are_there(name):
    """In the versions that are installed."""
    from rlctl.descriptors import resolve

    assert issubclass(resolve(name), gymnasium.Wrapper)


def test_wrappers_keep_their_order_and_their_arguments():
    """Under their names of today; one that is not known is named, and the others are taken."""
    made = translated(
        env_wrapper=[
            {"rl_zoo3.wrappers.FrameSkip": {"skip": 2}},
            {"rl_zoo3.wrappers.YAMLCompatResizeObservation": {"shape": [64, 64]}},
            "ae.wrapper.AutoencoderWrapper",
            {"gym.wrappers.FrameStack": {"num_stack": 3}},
        ]
    )
    assert made.config["env"]["wrappers"] == [
        {"use": "gymnasium.wrappers:RepeatAction", "kwargs": {"num_repeats": 2}},
        {"use": "gymnasium.wrappers:ResizeObservation", "kwargs": {"shape": [64, 64]}},
        {"use": "gymnasium.wrappers:FrameStackObservation", "kwargs": {"stack_size": 3}},
    ]
    (problem,) = made.left_out
    assert "name it in env.wrappers: ae.wrapper:AutoencoderWrapper" in problem.message


def test_frames_are_stacked_by_a_setting():
    """Said by its own field or as a wrapper of all environments; so is normalisation."""
    stacking = {"stable_baselines3.common.vec_env.VecFrameStack": {"n_stack": 4}}
    normalizing = {"stable_baselines3.common.vec_env.VecNormalize": {"norm_reward": False}}
    assert setting("frame_stack", 4) == 4
    made = translated(vec_env_wrapper=[normalizing, stacking])
    assert made.config["hyperparameters"] == {"normalize": {"norm_reward": False}, "frame_stack": 4}
    assert translated("sac", frame_stack=4, normalize=True).config["hyperparameters"] == {"normalize": True}


UNUSABLE = {
    "learning_rate": ("exp_0.1", "lin_fast", [1], math.inf),
    "clip_range_vf": (-1,),
    "policy_kwargs": ("dict(activation_fn=os.system)", "[1]", "dict(activation_fn=__import__('os').system('x'))"),
    "normalize": ("open('x', 'w')", {"norm_obss": True}),
    "frame_stack": ("many", -1),
    "env_wrapper": (
        "a.B",
        ["a.B"],
        {"a.B": {"c": 1}},
        "rl_zoo3.wrappers.HistoryWrapper",
        "gymnasium.wrappers.RecordVideo",
        "stable_baselines3.common.monitor.Monitor",
    ),
    "vec_env_wrapper": (
        "stable_baselines3.common.vec_env.VecFrameStack",
        "sb3.VecExtractDictObs",
        {"stable_baselines3.common.vec_env.VecFrameStack": {"n_stack": 2, "channels_order": "last"}},
        "stable_baselines3.common.vec_env.VecMonitor",
    ),
    "monitor_kwargs": ("dict(info_keywords=('is_success',))",),
    "callback": ("rl_zoo3.callbacks.ParallelTrainCallback",),
    "noise_type": ("pink", "normal"),
    "gamma": ("high", Foreign("object/apply:os.system"), math.nan),
    "n_envs": (0, 1.5, "many"),
    "rollout_buffer_class": ("my.Buffer",),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in UNUSABLE.items() for value in values])
def test_what_cannot_be_used_is_named_with_its_reason(name, value):
    """Once, under its own name; nothing of it is in the configuration."""
    made = translated(**{name: value})
    assert [problem.path for problem in made.left_out] == [name]
    assert made.left_out[0].message
    assert made.config == {"worker": "sb3", "algo": "ppo", "env": "Env-v0", "total_timesteps": 1000}


# ---- YAML ----------------------------------------------------------------------------------------------------------


def test_python_tags_are_data_or_named_and_never_obeyed(tmp_path):
    """An OrderedDict and a tuple are understood as PyYAML writes them; everything else is a name."""
    path = tmp_path / "config.yml"
    path.write_text(
        "!!python/object/apply:collections.OrderedDict\n"
        "- - - gamma\n    - !!float 0.9\n"
        "  - - train_freq\n    - !!python/tuple [1, episode]\n"
        "  - - evil\n    - !!python/object/apply:os.system ['touch leak']\n"
        "  - - activation\n    - !!python/name:torch.nn.ReLU ''\n"
    )
    found = read_yaml(path)
    assert (found["gamma"], found["train_freq"]) == (0.9, [1, "episode"])
    assert found["evil"] == Foreign("object/apply:os.system")
    assert found["activation"] == Foreign("name:torch.nn.ReLU")


def test_aliases_that_stand_for_billions_of_values_are_refused(tmp_path):
    """Before anybody writes them out."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (tmp_path / "ppo.yml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="aliases"):
        read_yaml(tmp_path / "ppo.yml")
