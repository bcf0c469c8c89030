"""`rlctl config convert --from agilab`: a configuration of each trainer in an app_settings.toml, each argument taken or named."""

import importlib.util
from pathlib import Path

import pytest

from rlctl.config.files import read_config
from rlctl.config.writing import as_yaml
from rlctl.errors import ConfigError
from rlctl_sb3.conversions.agilab import convert

SOURCE = Path(__file__).parents[3] / "examples" / "seeds" / "agilab_trainers.toml"
needs_box2d = pytest.mark.skipif(importlib.util.find_spec("Box2D") is None, reason="Box2D is not installed")
META = '[__meta__]\nschema = "agilab.app_settings.v1"\nversion = 1\n'


@pytest.fixture
def converted(tmp_path):
    """Return `converted(text)`: what becomes of a file."""

    def call(text):
        file = tmp_path / "app_settings.toml"
        file.write_text(text)
        return convert(file)

    return call


@pytest.fixture
def trainer(converted):
    """Return `trainer(name, **arguments)`: what becomes of a trainer; arguments are texts of TOML."""

    def call(name="trainer_PPO", **arguments):
        said = {"total_timesteps": "1000", "seed": "1", "buffer_size": "10", "learning_starts": "5", **arguments}
        used = [f"{key} = {value}" for key, value in said.items() if value is not None]
        if "DQN" not in name:
            used = [line for line in used if not line.startswith(("buffer_size", "learning_starts"))]
        (config,) = converted("\n".join(["[[args.stages]]", f'name = "{name}"', "[args.stages.args]", *used])).configs
        return config

    return call


def reasons(problems):
    """Return the last part of a field → reason and hint."""
    return {problem.path.rpartition(".")[2]: f"{problem.message} {problem.hint or ''}".strip() for problem in problems}


# ---- the example ---------------------------------------------------------------------------------------------------


def test_two_trainers_of_one_kind_are_two_configurations(cli):
    """There the second one replaces the first, as they are kept by the name of a function."""
    outcome = cli("config", "convert", "--from", "agilab", SOURCE, "-o", "trainers")
    assert outcome.code == 0, outcome.err
    files = [cli.folder / line for line in outcome.out.split()]
    assert [file.name for file in files] == ["01-ppo.yaml", "02-ppo.yaml", "03-dqn.yaml"]
    first, second, third = (read_config(file)[0] for file in files)
    assert (first["algo"], second["algo"], third["algo"]) == ("ppo", "ppo", "dqn")
    rates = [config["hyperparameters"]["learning_rate"] for config in (first, second, third)]
    assert rates == [0.0003, 0.001, 0.0003]
    assert (second["hyperparameters"]["n_steps"], second["seed"]) == (1024, 7)
    assert third["hyperparameters"]["train_freq"] == [4, "step"]
    assert first["env"] == second["env"] == third["env"] == {"id": "LunarLander-v3", "num_envs": 8}


def as_plan(cli):
    """Convert the example to trainers.yaml in the current folder of the command line, and return that file."""
    outcome = cli("config", "convert", "--from", "agilab", SOURCE, "--plan", "-o", "trainers.yaml")
    assert (outcome.code, outcome.out) == (0, "trainers.yaml\n"), outcome.err
    return cli.folder / "trainers.yaml"


def test_the_example_is_a_plan(cli):
    """Its three trainers are three members, which plan check finds sound, here in an environment that needs no package."""
    file = as_plan(cli)
    file.write_text(file.read_text().replace("LunarLander-v3", "CartPole-v1"))
    shown = cli("plan", "show", "trainers.yaml", "--format", "json").json()
    assert [member["id"] for member in shown["members"]] == ["01-ppo", "02-ppo", "03-dqn"]
    checked = cli("plan", "check", "trainers.yaml", "--json")
    assert (checked.code, checked.json()["members"]) == (0, 3), checked.err


def test_the_plan_has_what_the_configurations_have(cli, tmp_path):
    """Nothing of a trainer is lost on the way, and its head says what was changed of each."""
    file = as_plan(cli)
    members = read_config(file)[0]["members"]
    assert members == {made.name: {"run": made.config} for made in convert(SOURCE).configs}
    head = file.read_text()
    assert "#   rlctl plan run trainers.yaml" in head
    assert all(f"# Changed in {name}:" in head for name in members)


@needs_box2d
def test_the_plan_of_the_example_is_sound_as_it_is(cli):
    """With LunarLander."""
    as_plan(cli)
    outcome = cli("plan", "check", "trainers.yaml")
    assert outcome.code == 0, outcome.err


def test_every_argument_of_the_example_is_taken_or_named():
    """None is dropped without a word, neither in a trainer nor in the sections around."""
    made = convert(SOURCE)
    source, _ = read_config(SOURCE)
    for stage, config in zip(source["args"]["stages"], made.configs, strict=True):
        said = {**config.config["hyperparameters"], **config.config}
        named = {*reasons(config.changed), *reasons(config.left_out)}
        quiet = {"verbose"} if config.config["callbacks"].get("progress") is False else set()
        for key, value in stage["args"].items():
            assert said.get(key) == value or key in named | quiet, key
        assert config.unusable == []
    named = {problem.path for problem in made.left_out}
    assert {path.split(".")[1] for path in named if path.startswith("cluster.")} == {
        "verbose", "pool", "cluster_enabled", "scheduler", "workers", "service_health",
    }  # fmt: skip
    assert {path for path in named if path.startswith("args.")} == {"args.data_in", "args.data_out"}


@needs_box2d
@pytest.mark.parametrize(("name", "less"), [
    ("01-ppo", {"n_steps": 16}), ("02-ppo", {"n_steps": 16}), ("03-dqn", {"learning_starts": 64, "buffer_size": 500}),
])  # fmt: skip
def test_each_of_the_example_trains(cli, tmp_path, name, less):
    """As it stands, but for the budget and what would not begin within it."""
    (made,) = [made for made in convert(SOURCE).configs if made.name == name]
    (cli.folder / "trainer.yaml").write_text(as_yaml(made.config, []))
    budget = {"total_timesteps": 256, "evaluation.every_steps": 256, "evaluation.max_episode_steps": 20}
    settings = {**budget, **{f"hyperparameters.{key}": value for key, value in less.items()}}
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    ran = cli("run", "-c", "trainer.yaml", *options, "--device", "cpu", "--json", timeout=280)
    assert ran.code == 0, ran.err
    result = ran.json()
    assert (result["status"], result["step"]) == ("finished", 256)
    assert list((tmp_path / "runs" / result["run_id"]).glob("tensorboard/*"))


# ---- trainers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("trainer_PPO_manual", "written by hand"),
        ("trainer_routing", "not registered with gymnasium"),
        ("trainer_gnn", "not by reinforcement"),
        ("trainer_ilp_stepper", "trains nothing"),
        ("trainer_PP0", 'there is no trainer "PP0". Did you mean "PPO"?'),
    ],
)
def test_a_trainer_that_is_none_here_is_named(trainer, name, reason):
    """With what it is."""
    assert reason in reasons(trainer(name).unusable)["name"]


def test_the_others_are_written_and_the_exit_code_says_it(fast_cli, tmp_path):
    """What cannot be used costs only itself."""
    (tmp_path / "a.toml").write_text("""
        [[args.stages]]
        name = "trainer_routing"
        [[args.stages]]
        name = "PPO"
        args = {total_timesteps = 100}
    """)
    outcome = fast_cli("config", "convert", "--from", "agilab", tmp_path / "a.toml", "-o", tmp_path / "made")
    assert outcome.code == 1
    assert "rlctl: 01-routing: cannot be used: args.stages[0].name: trains in an environment" in outcome.err
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["02-ppo.yaml"]


# ---- arguments -----------------------------------------------------------------------------------------------------


def test_a_budget_is_needed(trainer):
    """There its absence is an exception that nobody sees."""
    assert reasons(trainer(total_timesteps=None).unusable) == {"total_timesteps": "is required"}
    assert "got 'many'" in reasons(trainer(total_timesteps="'many'").unusable)["total_timesteps"]


def test_total_steps_is_the_budget_too(trainer):
    """The one trainer there calls it so; and of the two the right name wins."""
    made = trainer(total_timesteps=None, total_steps="300")
    assert made.config["total_timesteps"] == 300
    assert "is total_timesteps" in reasons(made.changed)["total_steps"]
    made = trainer(total_steps="300")
    assert made.config["total_timesteps"] == 1000
    assert "sb3/ppo has no such setting." in reasons(made.left_out)["total_steps"]


def test_the_environment_is_the_one_that_was_written_into_the_code(trainer):
    """What a file says of it was never looked at, and is named."""
    made = trainer(env_id="'CartPole-v1'")
    assert made.config["env"]["id"] == "LunarLander-v3"
    assert "CartPole-v1: LunarLander-v3, 8 of them" in reasons(made.left_out)["env_id"]
    assert "`--env` names another" in reasons(made.changed)["env"]


def test_an_argument_that_the_trainer_does_not_know_is_named(trainer):
    """There a DQN drops it, and a PPO raises what is then logged."""
    made = trainer("trainer_DQN", gae_lambda="0.95", lerning_rate="0.1")
    assert set(reasons(made.left_out)) == {"gae_lambda", "lerning_rate"}
    assert 'Did you mean "learning_rate"?' in reasons(made.left_out)["lerning_rate"]


def test_defaults_that_are_not_sb3s_are_said(trainer):
    """A DQN's buffer is smaller there."""
    made = trainer("trainer_DQN", buffer_size=None, learning_starts=None)
    assert made.config["hyperparameters"] == {"buffer_size": 100_000, "learning_starts": 1000}
    assert {"buffer_size", "learning_starts"} <= set(reasons(made.changed))


@pytest.mark.parametrize("written", ['[4, "step"]', "\"(4, 'step')\""])
def test_a_train_freq_is_a_list(trainer, written):
    """Also where a tuple was written down as a text."""
    assert trainer("trainer_DQN", train_freq=written).config["hyperparameters"]["train_freq"] == [4, "step"]


def test_a_text_is_never_executed(trainer):
    """What is no literal is left out, with the reason."""
    made = trainer("trainer_DQN", train_freq="\"__import__('os')\"")
    assert "nothing is executed" in reasons(made.left_out)["train_freq"]


def test_memory_is_saved_only_where_sb3_can(trainer):
    """Which refuses it beside what is on by default; there that looks like success."""
    made = trainer("trainer_DQN", optimize_memory_usage="true")
    assert "optimize_memory_usage" not in made.config["hyperparameters"]
    assert "handle_timeout_termination" in reasons(made.left_out)["optimize_memory_usage"]
    assert trainer("trainer_DQN", optimize_memory_usage="false").left_out == []


def test_tensorboards_files_are_written_as_there(trainer):
    """An empty text meant a folder of its own."""
    for said in ('""', "'logs'", None):
        made = trainer(tensorboard_log=said)
        assert made.config["callbacks"]["tensorboard"] == {}
        assert "tensorboard/" in reasons(made.changed)["tensorboard_log"]


def test_it_is_evaluated_when_it_has_ended(trainer):
    """Ten episodes, as there."""
    assert trainer().config["evaluation"] == {"every_steps": 1000, "episodes": 10}


def test_a_seed_that_is_not_said_is_that_of_the_environments(trainer):
    """Which were seeded by 0; the networks by nothing."""
    assert trainer(seed="5").config["seed"] == 5
    made = trainer(seed=None)
    assert made.config["seed"] == 0
    assert "seed" in reasons(made.changed)


# ---- files ---------------------------------------------------------------------------------------------------------


def test_older_files_call_the_stages_args(converted):
    """But both at once are refused, as there."""
    stage = 'name = "PPO"\nargs = {total_timesteps = 100}\n'
    (made,) = converted(f"[[args.args]]\n{stage}").configs
    assert made.config["total_timesteps"] == 100
    with pytest.raises(ConfigError, match="keep one"):
        converted(f"[[args.args]]\n{stage}\n[[args.stages]]\n{stage}")


@pytest.mark.parametrize("text", ["", "[args]", "[args]\nstages = []", "args = 3", "[cluster]\npool = true"])
def test_a_file_without_trainers_is_refused(converted, text):
    """With what is missing."""
    with pytest.raises(ConfigError, match=r"has no \[\[args\.stages\]\]"):
        converted(text)


@pytest.mark.parametrize("meta", ["version = 1", META.replace("= 1", "= 2"), '[__meta__]\nschema = "other"'])
def test_a_file_of_another_schema_is_refused(converted, meta):
    """What a newer one means is not known."""
    meta = meta if meta.startswith("[") else f"[__meta__]\n{meta}"
    with pytest.raises(ConfigError, match=r"__meta__: expected schema = \"agilab\.app_settings\.v1\" and version = 1"):
        converted(f'{meta}\n[[args.stages]]\nname = "PPO"')


def test_fields_of_no_section_are_named(converted):
    """With what was probably meant."""
    made = converted(
        f'{META}[clusters]\npool = true\n[[args.stages]]\nname = "PPO"\nlabel = "x"\nargs = {{total_timesteps = 1}}'
    )
    assert [str(problem) for problem in made.left_out] == ['clusters: unknown field. Did you mean "cluster"?']
    assert reasons(made.configs[0].left_out) == {"label": "unknown field. There is: args, name."}
