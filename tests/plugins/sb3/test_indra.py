"""`rlctl config convert --from indra`: experiments of Indra-RL-Lab's training pipeline, each field taken or named."""

import importlib.util
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rlctl.config.check import structure
from rlctl.config.files import read_config
from rlctl.config.layers import Merged
from rlctl.errors import RlctlError
from rlctl_sb3.conversions.indra import convert

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "examples" / "seeds" / "indra_ppo.source.yaml"
CONVERTED = ROOT / "examples" / "seeds" / "indra_ppo.yaml"
needs_box2d = pytest.mark.skipif(importlib.util.find_spec("Box2D") is None, reason="Box2D is not installed")

SMALL = """
environment: {id: CartPole-v1}
training:
  algorithm: ppo
  training: {seed: 0, total_timesteps: 1000, device: cpu}
"""

WITHOUT_BOX2D = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "Box2D":
            raise ModuleNotFoundError("No module named 'Box2D'", name="Box2D")

sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture
def made(tmp_path):
    """Return `made(text)`: what becomes of an experiment that says the text, and the small one's values besides."""

    def call(text="", base=SMALL):
        yaml = YAML(typ="safe")
        tree = merged(yaml.load(base) or {}, yaml.load(text) or {})
        file = tmp_path / "experiment.yaml"
        yaml.dump(tree, file)
        (config,) = convert(file).configs
        return config

    return call


def merged(base, more):
    """Return a tree with another laid over it."""
    if not (isinstance(base, dict) and isinstance(more, dict)):
        return more
    return {**base, **{key: merged(base.get(key), value) for key, value in more.items()}}


def reasons(problems):
    """Return field → reason and hint."""
    return {problem.path: f"{problem.message} {problem.hint or ''}".strip() for problem in problems}


# ---- the example of the seed ---------------------------------------------------------------------------------------


def test_the_committed_conversion_is_what_the_command_gives_now(cli):
    """Byte for byte, called as the file's first line says."""
    before = CONVERTED.read_text()
    file = cli.folder / "examples" / "seeds" / "indra_ppo.yaml"
    file.parent.mkdir(parents=True)
    (file.parent / SOURCE.name).write_text(SOURCE.read_text())
    outcome = cli(
        "config",
        "convert",
        "--from",
        "indra",
        "examples/seeds/indra_ppo.source.yaml",
        "-o",
        "examples/seeds/indra_ppo.yaml",
    )
    assert outcome.code == 0, outcome.err
    assert file.read_text() == before


@needs_box2d
def test_the_example_trains(cli):
    """The whole configuration, with less of everything; its network is the one that it describes."""
    less = {
        "total_timesteps": 256, "hyperparameters.n_steps": 128, "hyperparameters.batch_size": 64,
        "evaluation.every_steps": 256, "evaluation.max_episode_steps": 20, "checkpoint.every_steps": 128,
    }  # fmt: skip
    options = [word for key, value in less.items() for word in ("--set", f"{key}={value}")]
    ran = cli("run", "-c", CONVERTED, *options, "--device", "cpu", "--json", timeout=280)
    assert ran.code == 0, ran.err
    run = cli("runs", "show", "BipedalWalker-Benchmark", "--json").json()
    assert (run["result"]["status"], run["result"]["step"]) == ("finished", 256)
    assert run["config"]["hyperparameters"]["network"]["features_extractor"]["use"] == "ResnetMLP"
    checkpoints = cli("runs", "checkpoints", "BipedalWalker-Benchmark", "--json").json()
    assert [checkpoint["step"] for checkpoint in checkpoints] == [128, 256]


def test_without_box2d_the_error_says_what_to_install(cli, tmp_path):
    """Before anything is started, in one line."""
    blocker = tmp_path / "blocker"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text(WITHOUT_BOX2D)
    path = os.pathsep.join([str(blocker), os.environ.get("PYTHONPATH", "")])
    outcome = cli("run", "-c", CONVERTED, env={"PYTHONPATH": path})
    assert (outcome.code, outcome.out) == (3, "")
    (line,) = outcome.err.splitlines()
    assert "BipedalWalker-v3 needs a package that is not installed: Box2D" in line
    assert 'pip install "gymnasium[box2d]"' in line
    assert not (tmp_path / "runs").exists()


def test_every_field_of_the_example_is_taken_or_named():
    """None is dropped without a word; but the text None says nothing."""
    (config,) = convert(SOURCE).configs
    named = {*reasons(config.changed), *reasons(config.left_out)}
    taken = {
        "experiment.name": config.config["name"],
        "environment.id": config.config["env"]["id"],
        "training.algorithm": config.config["algo"].lower(),
        "training.training.total_timesteps": config.config["total_timesteps"],
        "training.training.eval.seed": config.config["evaluation"]["seed"],
        "training.training.eval.num_episodes": config.config["evaluation"]["episodes"],
    }
    source, _ = read_config(SOURCE)
    for path, value in leaves(source):
        if path.startswith("training.algorithm_parameters."):
            assert config.config["hyperparameters"][path.rpartition(".")[2]] == value
        elif not path.startswith("training.architecture.") and value != "None":
            assert taken.get(path) == value or path in named, path
    assert config.config["hyperparameters"]["network"] == {
        "pi": [128, 128],
        "vf": [128, 128],
        "activation": "relu",
        "features_extractor": {"use": "ResnetMLP", "kwargs": {"features_dim": 128}},
        "share_features_extractor": False,
    }


def leaves(tree, prefix=""):
    """Yield (dotted path, value)."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


# ---- what fields become --------------------------------------------------------------------------------------------


def test_an_experiment_of_few_words(made):
    """One environment, as there; the name is the file's, and not the run's."""
    config = made()
    assert config.name == "experiment"
    assert config.config == {
        "worker": "sb3", "algo": "ppo", "env": {"id": "CartPole-v1", "num_envs": 1}, "total_timesteps": 1000, "seed": 0,
        "device": "cpu", "hyperparameters": {},
    }  # fmt: skip
    assert (config.changed, config.left_out, config.unusable) == ([], [], [])


@pytest.mark.parametrize(
    ("said", "device", "changed"),
    [("cuda", "auto", "--device cuda"), ("cuda:1", "cuda:1", None), ("cpu", "cpu", None), ("gpu", "auto", "'gpu'")],
)
def test_a_gpu_is_asked_for_where_there_is_one(made, said, device, changed):
    """`cuda` was right on one machine; a certain GPU is meant."""
    config = made(f"training: {{training: {{device: '{said}'}}}}")
    assert config.config["device"] == device
    assert [changed in reason for reason in reasons(config.changed).values()] == ([True] if changed else [])


def test_a_pretrained_model_is_begun_with(made):
    """The text None is none; SB3 finds a file without its ending."""
    assert "init_from" not in made("training: {pretrained_model: 'None'}").config
    config = made("training: {pretrained_model: experiments/CartPole-v1/ppo/first/last_model}")
    assert config.config["init_from"] == "experiments/CartPole-v1/ppo/first/last_model.zip"
    assert "the optimizer goes on" in reasons(config.changed)["training.pretrained_model"]


def test_saves_are_spread_over_the_budget(made):
    """As many as log_points."""
    config = made("training: {training: {log_points: 10}}")
    assert config.config["checkpoint"] == {"every_steps": 100}


def test_evaluations_are_spread_over_the_budget(made):
    """What no code read there is done here, on the seeds that are said."""
    config = made("training: {training: {eval: {num_evals: 4, num_episodes: 3, seed: 50}}}")
    assert config.config["evaluation"] == {"every_steps": 250, "episodes": 3, "seed": 50}
    assert "no code reads it" in reasons(config.changed)["training.training.eval.num_evals"]


def test_seeds_of_the_training_are_no_evaluation(made):
    """Which is refused: they would not be fresh."""
    config = made("training: {training: {seed: 7, eval: {num_evals: 4, num_episodes: 3, seed: 5}}}")
    assert "seed" not in config.config["evaluation"]
    assert "those of the training" in reasons(config.left_out)["training.training.eval.seed"]


def test_details_of_no_evaluation_have_no_effect(made):
    """Nothing is evaluated where nobody says how often."""
    config = made("training: {training: {eval: {num_episodes: 3, seed: 5}}}")
    assert "evaluation" not in config.config
    assert set(reasons(config.left_out)) == {"training.training.eval.num_episodes", "training.training.eval.seed"}


def test_what_is_said_in_two_places_is_taken_from_one(made):
    """An older and a later name of a field: the other one is named, whatever it says."""
    text = "{{training: {{total_timesteps: {}, training: {{total_timesteps: 1000}}}}}}"
    config = made(text.format("300"), base="{environment: {id: CartPole-v1}, training: {algorithm: ppo}}")
    assert (config.config["total_timesteps"], reasons(config.left_out)) == (
        300, {"training.training.total_timesteps": "training.total_timesteps says it already"},
    )  # fmt: skip
    config = made(text.format("many"))
    assert config.config["total_timesteps"] == 1000
    assert "expected a whole number" in reasons(config.left_out)["training.total_timesteps"]


def test_no_words_are_no_progress(made):
    """What was silent is; there are no other degrees."""
    assert made("training: {training: {verbose: 0}}").config["callbacks"] == {"progress": False}
    config = made("training: {training: {verbose: 2}}")
    assert "callbacks" not in config.config
    assert "one kind of progress" in reasons(config.left_out)["training.training.verbose"]


def test_what_is_not_seeded_is_said(made):
    """The seed's own example is one that cannot be repeated."""
    config = made(base="{environment: {id: CartPole-v1}, training: {algorithm: PPO, training: {total_timesteps: 9}}}")
    assert (config.config["seed"], config.config["algo"]) == (1, "ppo")
    assert "no run can be repeated" in reasons(config.changed)["training.training.seed"]


def test_ddpg_learns_at_the_rate_that_it_had(made):
    """Its default there is not SB3's."""
    config = made("training: {algorithm: ddpg}")
    assert config.config["hyperparameters"] == {"learning_rate": 1e-4}
    assert "training.algorithm_parameters.learning_rate" in reasons(config.changed)


def test_wishes_for_a_simulator_are_named(made):
    """Each field of the sections ros and unity, with what to do instead."""
    config = made("""
        n_environments: 4
        ros: {package_name: examples_pkg, node_name: train}
        unity: {build_path: build/Playground.exe, headless_mode: false, pause: false, sample_time: 0.0, time_scale: 1.0}
    """)
    assert config.config["env"] == {"id": "CartPole-v1", "num_envs": 4}
    named = reasons(config.left_out)
    assert set(named) == {
        "ros.package_name", "ros.node_name", "unity.build_path", "unity.sample_time", "unity.time_scale",
    }  # fmt: skip
    assert all("env.imports" in reason for reason in named.values())


def test_what_is_not_wanted_needs_no_reason(made):
    """No W&B, no film: so it is."""
    text = "{training: {use_wandb: false}, environment: {video_wrapper: false}}"
    assert made(text).left_out == []


@pytest.mark.parametrize(
    ("text", "field", "hint"),
    [
        ("environmet: {id: x}", "environmet", 'Did you mean "environment"?'),
        ("training: {training: {log_point: 3}}", "training.training.log_point", 'Did you mean "log_points"?'),
        ("training: {algorithm_parameters: {n_step: 3}}", "training.algorithm_parameters.n_step", 'Did you mean "n_steps"?'),
        ("training: {architecture: {netarch: []}}", "training.architecture.netarch", 'Did you mean "net_arch"?'),
        ("training: {architecture: {activation_fn: Relu}}", "training.architecture.activation_fn", 'Did you mean "ReLU"?'),
        ("training: {architecture: {features_extractor_class: ResNetMLP}}",
         "training.architecture.features_extractor_class", 'Did you mean "ResnetMLP"?'),
        ("training: {architecture: {features_extractor_class: CustomCNN}}",
         "training.architecture.features_extractor_class", "package.module:Class"),
        ("training: {training: {eval: 3}}", "training.training.eval", "expected a mapping"),
        ("training: {training: {log_points: many}}", "training.training.log_points", "expected a whole number"),
        ("training: {algorithm_parameters: {n_steps: many}}", "training.algorithm_parameters.n_steps", "expected an integer"),
    ],
)  # fmt: skip
def test_an_unknown_field_or_value_is_named(made, text, field, hint):
    """With what was probably meant; there all of these are passed over in silence, or raise."""
    config = made(text)
    assert hint in reasons(config.left_out)[field]
    assert not config.unusable


def test_without_what_makes_it_a_training_nothing_is_written(fast_cli, tmp_path):
    """All of it is said at once, and the exit code is 1."""
    (tmp_path / "e.yaml").write_text("{environment: {}, training: {algorithm: pop, training: {total_timesteps: many}}}")
    outcome = fast_cli("config", "convert", "--from", "indra", tmp_path / "e.yaml", "-o", tmp_path / "out.yaml")
    assert outcome.code == 1
    for line in (
        "environment.id: is required",
        'training.algorithm: the worker sb3 has no "pop". Did you mean "ppo"?',
        "training.training.total_timesteps: expected a whole number, got 'many'",
    ):
        assert f"rlctl: e: cannot be used: {line}" in outcome.err
    assert not (tmp_path / "out.yaml").exists()


# ---- networks ------------------------------------------------------------------------------------------------------


def network(config):
    """Return the network of a conversion."""
    return config.config["hyperparameters"]["network"]


def test_an_architecture_has_relus_where_nothing_is_said(made):
    """And extractors of its own for actor and critic; SB3's defaults are others."""
    assert network(made("training: {architecture: {net_arch: [32]}}")) == {
        "hidden_sizes": [32], "activation": "relu", "share_features_extractor": False,
    }  # fmt: skip


def test_a_stray_apostrophe_is_taken_for_what_was_meant(made):
    """Later files say `pi': [256]`, and SB3 finds no pi in it."""
    config = made('{training: {architecture: {net_arch: {"pi\'": [256], "vf\'": [128]}}}}')
    assert (network(config)["pi"], network(config)["vf"]) == ([256], [128])
    assert 'is read as "pi"' in reasons(config.changed)["training.architecture.net_arch.pi'"]


def test_a_critic_that_nobody_describes_has_no_hidden_layer(made):
    """As SB3 reads it."""
    config = made("training: {algorithm: sac, architecture: {net_arch: {pi: [64]}}}")
    assert (network(config)["pi"], network(config)["qf"]) == ([64], [])


def test_a_network_of_another_algorithm_is_named(made):
    """There is no qf of ppo, and dqn has no two networks."""
    config = made("training: {architecture: {net_arch: {pi: [64], qf: [64]}}}")
    assert "ppo has no such network." in reasons(config.left_out)["training.architecture.net_arch.qf"]
    config = made("training: {algorithm: dqn, architecture: {net_arch: [64], share_features_extractor: true}}")
    assert network(config) == {"hidden_sizes": [64], "activation": "relu"}
    assert "training.architecture.share_features_extractor" in reasons(config.left_out)


def test_one_wrong_part_costs_only_itself(made):
    """The rest of the network stays."""
    config = made("training: {architecture: {net_arch: [many], features_extractor_class: ResnetMLP}}")
    assert network(config) == {
        "activation": "relu", "features_extractor": "ResnetMLP", "share_features_extractor": False,
    }  # fmt: skip
    assert "training.architecture.net_arch" in reasons(config.left_out)


# ---- later revisions -----------------------------------------------------------------------------------------------

LATER = {
    "environment_config.yml": """
        id: CartPole-v1
        n_environments: 2
        unity: {headless_mode: false, pause: true, sample_time: 0.1}
        render: {render_mode: rgb_array, use_video_wrapper: false, video_trigger: 5000, video_length: 500}
    """,
    "training_config.yml": """
        experiment_name: later
        algorithm: PPO
        pretrained_model: {use_pretrained_model: true, experiment_name: ppo_1, checkpoint: best_model}
        total_timesteps: 400
        logging: {verbose: 2, n_checkpoints: 4, use_wandb: true, wandb_entity: somebody}
        evaluation: {eval_freq: 100, eval_episodes: 2}
    """,
    "algorithm_config.yml": """
        policy: MlpPolicy
        learning_rate: 0.001
        n_steps: 64
        policy_kwargs: {activation_fn: Tanh, net_arch: {"pi'": [16], "vf'": [16]}, share_features_extractor: true}
    """,
}


@pytest.fixture
def later(tmp_path):
    """A folder `config` as a later run leaves it."""
    folder = tmp_path / "config"
    folder.mkdir()
    for name, text in LATER.items():
        (folder / name).write_text(text)
    return folder


def test_the_folder_of_a_later_run_is_one_experiment(later):
    """Its three files say the same in other words."""
    (made,) = convert(later).configs
    assert made.config == {
        "name": "later", "worker": "sb3", "algo": "ppo", "env": {"id": "CartPole-v1", "num_envs": 2},
        "total_timesteps": 400, "seed": 1, "device": "auto",
        "init_from": "experiments/CartPole-v1/ppo_1/checkpoints/best_model.zip",
        "hyperparameters": {
            "policy": "MlpPolicy", "learning_rate": 0.001, "n_steps": 64,
            "network": {"pi": [16], "vf": [16], "activation": "tanh", "share_features_extractor": True},
        },
        "checkpoint": {"every_steps": 100},
        "evaluation": {"every_steps": 200, "episodes": 2},
    }  # fmt: skip
    changed = reasons(made.changed)
    assert "falls exponentially" in changed["algorithm.learning_rate"]
    assert "algorithm.policy_kwargs.net_arch.pi'" in changed
    assert set(reasons(made.left_out)) == {
        "environment.unity.pause", "environment.unity.sample_time", "environment.render.render_mode",
        "environment.render.video_trigger", "environment.render.video_length", "training.logging.verbose",
        "training.logging.use_wandb", "training.logging.wandb_entity",
    }  # fmt: skip


def test_the_training_of_a_later_run_runs(later, cli):
    """Without the model, which is not here."""
    text = (
        (later / "training_config.yml").read_text().replace("use_pretrained_model: true", "use_pretrained_model: false")
    )
    (later / "training_config.yml").write_text(text)
    cli("config", "convert", "--from", "indra", later, "-o", cli.folder / "later.yaml")
    ran = cli("run", "-c", "later.yaml", "--json")
    assert ran.code == 0, ran.err
    assert len(cli("runs", "checkpoints", "later", "--json").json()) == 3


def test_a_folder_of_something_else_is_refused(fast_cli, tmp_path):
    """With what it would have to have."""
    outcome = fast_cli("config", "convert", "--from", "indra", tmp_path)
    assert outcome.code == 2
    assert "it has no environment_config.yml, training_config.yml, algorithm_config.yml" in outcome.err


# ---- whatever is in a file -----------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**7), st.floats(), st.sampled_from(["None", "x", "ppo", ""])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["pi", "seed", "x"]), inner),
    max_leaves=6,
)


@given(st.data())
def test_whatever_stands_there_the_outcome_has_the_right_shape(data):
    """Any value in any place: a configuration that the schema takes, or reasons why there is none; never a traceback."""
    source, _ = read_config(SOURCE)
    paths = [path for path, _ in leaves(source)]
    for path in data.draw(st.lists(st.sampled_from(paths), max_size=4)):
        *outer, last = path.split(".")
        tree = source
        for key in outer:
            tree = tree[key] if isinstance(tree.get(key), dict) else tree.setdefault(f"{key}2", {})
        tree[last] = data.draw(VALUES)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "e.json"
        file.write_text(json.dumps(source))
        try:
            (made,) = convert(file).configs
        except RlctlError:
            return
    if made.unusable:
        return
    _, problems = structure(Merged(made.config, {}))
    assert problems == []
