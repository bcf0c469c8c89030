"""`rlctl config convert --from mosaic`, `rlctl run --from-mosaic`: MOSAIC's own JSON, each field taken or named."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlctl import ConvertedConfig, Problem
from rlctl.config.check import structure
from rlctl.config.files import read_config
from rlctl.config.layers import Merged
from rlctl.errors import RlctlError
from rlctl_cleanrl.conversions.mosaic import convert

pytestmark = pytest.mark.network

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "examples" / "seeds" / "mosaic_cleanrl.json"
CONVERTED = ROOT / "examples" / "seeds" / "mosaic_cleanrl.yaml"
KEY = "a key that stands in the job in clear"

FLAT: dict[str, Any] = {"run_id": "first", "algo": "ppo", "env_id": "CartPole-v1", "total_timesteps": 2000}
Made = Callable[..., ConvertedConfig]


def job(config: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a job of MOSAIC's trainer with the flat configuration, or another, in it."""
    return {"run_name": "the job", "metadata": {"worker": {"config": config or FLAT}}, **more}


@pytest.fixture
def made(tmp_path: Path, cleanrl_cache: Path) -> Made:
    """Return `made(tree=FLAT, **extras)`: what becomes of a file, of the flat one with extras say."""

    def call(tree: dict[str, Any] | None = None, **extras: Any) -> ConvertedConfig:
        tree = {**FLAT, **({"extras": extras} if extras else {}), **(tree or {})} if tree is None else tree
        file = tmp_path / "theirs.json"
        file.write_text(json.dumps(tree))
        (config,) = convert(file).configs
        return config

    return call


def reasons(problems: Iterable[Problem]) -> dict[str, str]:
    """Return field → reason and hint."""
    return {problem.path: f"{problem.message} {problem.hint or ''}".strip() for problem in problems}


# ---- the example ---------------------------------------------------------------------------------------------------


def test_the_committed_conversion_is_what_the_command_gives_now(cli: Any, cleanrl_cache: Path) -> None:
    """Byte for byte, called as the file's first line says; and the key in the source is nowhere."""
    file = cli.folder / "examples" / "seeds" / "mosaic_cleanrl.yaml"
    file.parent.mkdir(parents=True)
    (file.parent / SOURCE.name).write_text(SOURCE.read_text())
    source, output = f"examples/seeds/{SOURCE.name}", f"examples/seeds/{file.name}"
    outcome = cli("config", "convert", "--from", "mosaic", source, "-o", output)
    assert outcome.code == 0, outcome.err
    assert file.read_text() == CONVERTED.read_text()
    assert KEY in SOURCE.read_text()
    assert KEY not in file.read_text() + outcome.out + outcome.err


def test_the_example_trains_at_once(cli: Any, cleanrl_cache: Path) -> None:
    """By the name that MOSAIC's users ask for; the script is told what the file says, and its key is kept nowhere."""
    ran = cli("run", "--from-mosaic", SOURCE, "-n", 2048, "--json", timeout=300)
    assert ran.code == 0, ran.err
    directory = Path(ran.json()["directory"])
    assert (ran.json()["status"], ran.json()["step"]) == ("finished", 2048)
    saved = json.loads((directory / "config.json").read_text())
    assert saved["config"]["name"] == "cartpole-ppo-mosaic"
    (events,) = (directory / "tensorboard").iterdir()
    assert events.stat().st_size > 0
    files = [file for file in directory.rglob("*") if file.is_file()]
    assert not any(KEY.encode() in file.read_bytes() for file in files)
    assert KEY not in ran.err


def test_a_false_setting_and_the_cpu_reach_the_script(made: Made, cli: Any, tmp_path: Path) -> None:
    """Both are lost on the way there: the learning rate does not fall, and no GPU is asked for."""
    made(algo_params={"anneal_lr": False, "cuda": False})
    ran = cli("run", "--from-mosaic", tmp_path / "theirs.json", "-n", 1024, "--json", timeout=300)
    assert ran.code == 0, ran.err
    directory = Path(ran.json()["directory"])
    assert json.loads((directory / "config.json").read_text())["config"]["device"] == "cpu"
    lines = [json.loads(line)["values"] for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert {values["train/learning_rate"] for values in lines if "train/learning_rate" in values} == {0.00025}


@pytest.mark.parametrize(("wanted", "flag"), [(True, "--cuda=True"), (False, "--cuda=False")])
def test_the_gpu_is_an_argument_of_the_script(
    made: Made, monkeypatch: pytest.MonkeyPatch, wanted: bool, flag: str
) -> None:
    """True as well as false, as a script asks for CUDA where nothing is said."""
    import torch

    from rlctl_cleanrl.scripts import to_argv
    from rlctl_cleanrl.sources import current, load_scripts
    from rlctl_cleanrl.worker import arguments

    class Run:
        hyperparameters = made(cuda=wanted, algo_params={"anneal_lr": False}).config["hyperparameters"]
        device = made(cuda=wanted).config["device"]
        env: dict[str, Any] = {}
        seed, horizon = 1, 2000
        info = type("Info", (), {"env_id": "CartPole-v1"})

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # there may be no GPU here
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    source = current()
    assert source is not None
    ppo = next(script for script in load_scripts(source) if script.name == "ppo")
    words = to_argv(ppo, arguments(Run, ppo))  # type: ignore[arg-type]
    assert flag in words
    assert "--anneal-lr=False" in words


def test_a_dry_run_names_the_field_of_each_value(cli: Any, cleanrl_cache: Path, tmp_path: Path) -> None:
    """And starts nothing; what the command line says wins."""
    said = cli("run", "--from-mosaic", SOURCE, "--seed", 7, "--dry-run", "--json").json()
    where = "mosaic_cleanrl.json: metadata.worker.config"
    assert said["config"]["seed"] == 7
    origins = said["origins"]
    assert origins["seed"] == "--seed"
    assert origins["total_timesteps"] == f"{where}.total_timesteps"
    assert origins["hyperparameters.learning_rate"] == f"{where}.extras.algo_params.learning-rate"
    assert origins["hyperparameters.clip_coef"] == "cleanrl/ppo"
    assert origins["name"] == "mosaic_cleanrl.json: run_name"
    assert not (tmp_path / "runs").exists()


def test_every_field_of_the_example_is_taken_or_named(cleanrl_cache: Path) -> None:
    """None is dropped without a word; what is not wanted needs none."""
    (config,) = convert(SOURCE).configs
    named = {*reasons(config.changed), *reasons(config.left_out), *config.origins.values()}
    source, _ = read_config(SOURCE)
    silent = {
        "metadata.worker.config.extras.mode",  # train
        "metadata.artifacts.tensorboard.enabled",  # as tensorboard_dir says
        "resources.gpus.requested",  # none, as cuda says
        "resources.gpus.mandatory",
    }
    assert {path for path, value in leaves(source) if path not in named} == silent


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value)."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


# ---- the two forms -------------------------------------------------------------------------------------------------


def test_a_flat_file_of_few_words(made: Made) -> None:
    """The id is MOSAIC's: a name and a label here, where runs have ids of their own."""
    config = made()
    assert config.name == "first"
    assert config.config == {
        "name": "first", "worker": "cleanrl", "algo": "ppo", "env": {"id": "CartPole-v1"}, "total_timesteps": 2000,
        "hyperparameters": {}, "labels": {"mosaic_run_id": "first"},
    }  # fmt: skip
    assert config.left_out == config.unusable == []


def test_a_job_is_the_same_under_its_own_name(made: Made) -> None:
    """With paths that say where a field stands."""
    flat, nested = made(), made(job())
    assert nested.config == {**flat.config, "name": "the job"}
    assert nested.origins["algo"] == f"metadata.worker.config.{flat.origins['algo']}"


def test_a_job_without_a_configuration_is_refused(made: Made) -> None:
    """It is not taken for a flat one."""
    with pytest.raises(RlctlError, match=r"^metadata.worker.config: is not there"):
        made({**FLAT, "metadata": {"worker": {}}})


def test_a_shell_script_is_no_training(made: Made) -> None:
    """Nobody knows what is in it."""
    tree = {"run_name": "phases", "metadata": {"worker": {"script": "train.sh"}}}
    assert "shell script" in reasons(made(tree).unusable)["metadata.worker.script"]


def test_what_makes_it_a_training_is_required_all_at_once(made: Made) -> None:
    """There a budget of none becomes one without a word."""
    config = made({"algo": "ppo", "total_timesteps": 0})
    assert reasons(config.unusable) == {
        "env_id": "is required", "total_timesteps": "expected a whole number from 1 on, got 0",
    }  # fmt: skip


def test_a_script_that_is_not_there_is_answered_with_the_nearest(made: Made) -> None:
    """Or with how to have another CleanRL."""
    assert 'Did you mean "ppo_atari"?' in reasons(made({**FLAT, "algo": "ppo_atary"}).unusable)["algo"]
    newer = reasons(made({**FLAT, "algo": "rainbow_of_tomorrow"}).unusable)["algo"]
    assert "rlctl workers setup cleanrl --source GIT-URL" in newer


# ---- settings of the script ----------------------------------------------------------------------------------------


def test_settings_are_those_of_the_script(made: Made) -> None:
    """In kebab-case, too; one beside `algo_params` is an argument there as well."""
    config = made(algo_params={"learning-rate": 0.001, "num_steps": 1e2, "num-envs": 8}, clip_coef=0.1)
    assert config.config["hyperparameters"] == {"learning_rate": 0.001, "num_steps": 100, "clip_coef": 0.1}
    assert config.config["env"]["num_envs"] == 8
    assert config.origins["hyperparameters.clip_coef"] == "extras.clip_coef"
    assert config.left_out == []


def test_a_setting_that_is_false_stays_false(made: Made) -> None:
    """And it is said, as there the default holds; where that is false there is nothing to say."""
    config = made(algo_params={"anneal_lr": False})
    assert config.config["hyperparameters"] == {"anneal_lr": False}
    assert "there it is dropped" in reasons(config.changed)["extras.algo_params.anneal_lr"]


@pytest.mark.parametrize(
    ("extras", "field", "reason"),
    [
        ({"algo_params": {"learning_rat": 1}}, "extras.algo_params.learning_rat", 'Did you mean "learning_rate"?'),
        ({"clip_coeff": 1}, "extras.clip_coeff", 'Did you mean "clip_coef"?'),
        ({"tensorboard_dri": "x"}, "extras.tensorboard_dri", 'Did you mean "tensorboard_dir"?'),
        ({"algo_params": {"num_steps": "many"}}, "extras.algo_params.num_steps", "expected an integer"),
        ({"algo_params": {"num_envs": 0}}, "extras.algo_params.num_envs", "expected a whole number"),
        ({"algo_params": {"cuda": "maybe"}}, "extras.algo_params.cuda", "expected true or false"),
        ({"algo_params": {"batch_size": 512}}, "extras.algo_params.batch_size", "the script computes it"),
        ({"algo_params": {"seed": 3}}, "extras.algo_params.seed", "beside extras"),
        ({"algo_params": {"gamma": 1 }, "gamma": 0.9}, "extras.gamma", "extras.algo_params.gamma says it already"),
        ({"save_model": True}, "extras.save_model", "checkpoints have the weights"),
        ({"capture_video": True}, "extras.capture_video", "rlctl record"),
        ({"policy_path": "x"}, "extras.policy_path", "only the modes"),
        ({"eval_episodes": 3}, "extras.eval_episodes", "only the mode policy_eval"),
        ({"fastlane_video_mode": "grid"}, "extras.fastlane_video_mode", "rlctl play RUN"),
        ({"optuna_db": "x"}, "extras.optuna_db", "no search"),
        ({"cuda": True, "gpu": False}, "extras.gpu", "extras.cuda says otherwise"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_named(made: Made, extras: dict[str, Any], field: str, reason: str) -> None:
    """With the reason, or what was probably meant; there it is an argument that the script does not have."""
    config = made(**extras)
    assert reason in reasons(config.left_out)[field]
    assert not config.unusable


def test_what_is_not_wanted_needs_no_reason(made: Made) -> None:
    """No W&B, no film, no frames: so it is."""
    off = {"track_wandb": False, "save_model": False, "capture_video": False, "fastlane_video_mode": "off"}
    assert made(**off, fastlane_enabled=False).left_out == []


def test_dqn_has_a_batch_size(made: Made) -> None:
    """What one script computes is a setting of another."""
    config = made({**FLAT, "algo": "dqn", "extras": {"algo_params": {"batch_size": 64}}})
    assert config.config["hyperparameters"] == {"batch_size": 64}


def test_without_the_scripts_nothing_is_checked_and_that_is_said(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is fetched for a conversion; the run that checks it does so."""
    monkeypatch.setenv("RLCTL_CACHE_DIR", str(tmp_path / "empty"))
    config = made(algo_params={"learning-rat": 1, "anneal_lr": False}, track=True)
    assert config.config["hyperparameters"] == {"learning_rat": 1, "anneal_lr": False}
    assert "rlctl workers setup cleanrl" in reasons(config.changed)["extras.algo_params"]
    assert "extras.track" in reasons(config.left_out)
    assert not (tmp_path / "empty").exists()


# ---- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        {"extras": {"wandb_api_key": KEY, "wandb_email": KEY, "track_wandb": True}},
        {"extras": {"wandb_apikey": KEY}},
        {"extras": {"algo_params": {"wandb-api-key": KEY, "wandb_entity": KEY}}},
        {"extras": [f"wandb_api_key={KEY}"]},
        {"raw": {"extras": {"wandb_api_key": KEY}}},
        {"api_key": KEY},
    ],
    ids=str,
)
def test_a_secret_is_named_and_never_shown(
    fast_cli: Any, cleanrl_cache: Path, tmp_path: Path, where: dict[str, Any]
) -> None:
    """Neither on the terminal nor as data nor in the file."""
    for name, tree in (
        ("flat", {**FLAT, **where}),
        ("job", job({**FLAT, **where}, environment={"WANDB_API_KEY": KEY})),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(tree))
        convert_it = ("config", "convert", "--from", "mosaic", tmp_path / f"{name}.json")
        plain = fast_cli(*convert_it, "-o", tmp_path / f"{name}.yaml")
        data = fast_cli(*convert_it, "--json")
        dry = fast_cli("run", "--from-mosaic", tmp_path / f"{name}.json", "--dry-run")
        assert plain.code == dry.code == 0
        shown = [outcome.out + outcome.err for outcome in (plain, data, dry)]
        assert not any(KEY in text for text in [*shown, (tmp_path / f"{name}.yaml").read_text()])
        path = next(iter(where)) if name == "flat" else "WANDB_API_KEY"
        assert all(path in text for text in shown)


# ---- modes ---------------------------------------------------------------------------------------------------------


def test_an_evaluation_is_answered_with_the_command_that_does_it(made: Made) -> None:
    """Everything that is said of it is in the command; it needs no budget."""
    tree = {key: value for key, value in FLAT.items() if key != "total_timesteps"}
    extras = {
        "mode": "policy_eval", "policy_path": "my models/ppo.cleanrl_model", "eval_episodes": 7, "eval_gamma": 0.9,
        "eval_capture_video": True, "eval_repeat": 3, "eval_max_episode_steps": 50, "cuda": False,
    }  # fmt: skip
    (problem,) = made({**tree, "seed": 4, "extras": extras}).unusable
    assert problem.path == "extras.mode"
    assert problem.hint == (
        "Run: rlctl evaluate 'my models/ppo.cleanrl_model' --worker cleanrl/ppo --env CartPole-v1 --episodes 7 --seed 4 "
        "--gamma 0.9 --max-episode-steps 50 --video --repeat 3 --device cpu"
    )
    batches = {
        "eval_batch_size": 3,
        "eval_episodes": 9,
        "algo_params": {"gamma": 0.8, "cuda": False, "learning_rate": 0.1},
    }
    many = made({**tree, "extras": {"mode": "policy_eval", "policy_path": "x", **batches}})
    assert many.unusable[0].hint == (
        "Run: rlctl evaluate x --worker cleanrl/ppo --env CartPole-v1 --episodes 3 --gamma 0.8 --device cpu"
    )
    assert reasons(many.left_out) == {
        "extras.eval_episodes": "eval_batch_size says it already, as there",
        "extras.algo_params.learning_rate": "a setting of a training, and none is done",
    }
    few = made({**tree, "extras": {"mode": "policy_eval", "policy_path": "x", "eval_repeat": True}})
    assert few.unusable[0].hint == "Run: rlctl evaluate x --worker cleanrl/ppo --env CartPole-v1 --episodes 5"
    assert "until it is killed" in reasons(few.left_out)["extras.eval_repeat"]
    assert reasons(made(mode="policy_eval").unusable) == {"extras.policy_path": "is required"}


def test_stepping_for_another_program_is_answered_with_the_command_that_does_it(made: Made) -> None:
    """The model, the seed and the device as they are said, and pictures as the programs there read them; no budget is needed."""
    tree = {key: value for key, value in FLAT.items() if key not in ("total_timesteps", "seed")}
    extras = {"mode": "interactive", "policy_path": "my models/ppo.cleanrl_model", "cuda": False}
    (problem,) = made({**tree, "seed": 4, "extras": extras}).unusable
    assert (problem.path, "trains nothing" in problem.message) == ("extras.mode", True)
    assert problem.hint == (
        "Run: rlctl interactive 'my models/ppo.cleanrl_model' --worker cleanrl/ppo --env CartPole-v1 --frames rgb "
        "--seed 4 --device cpu"
    )
    (untrained,) = made({**tree, "extras": {"mode": "interactive"}}).unusable
    assert untrained.hint == "Run: rlctl interactive --worker cleanrl/ppo --env CartPole-v1 --frames rgb"


@pytest.mark.parametrize(
    ("extras", "field", "reason"),
    [
        ({"mode": "interactive"}, "extras.mode", "trains nothing"),
        ({"mode": "evaluate"}, "extras.mode", "there is no mode 'evaluate'."),
        ({"mode": 3}, "extras.mode", "there is no mode 3."),
        ({"curriculum_schedule": [{"env_id": "CartPole-v1", "steps": 9}]}, "extras.curriculum_schedule", "no curriculum yet"),
        ({"mode": "resume_training"}, "extras.checkpoint_path", "is required"),
    ],
)  # fmt: skip
def test_what_is_no_training_that_can_be_had_is_said(
    fast_cli: Any, made: Made, tmp_path: Path, extras: dict[str, Any], field: str, reason: str
) -> None:
    """With the reason; neither a file is written nor a run started."""
    assert reason in reasons(made(**extras).unusable)[field]
    refused = fast_cli("run", "--from-mosaic", tmp_path / "theirs.json")
    assert refused.code == 2
    assert f"{field}: " in refused.err
    assert reason in refused.err
    assert not (tmp_path / "runs").exists()


def test_a_model_is_gone_on_with_by_its_weights(made: Made) -> None:
    """There no code reads the path; what the form sets instead is an environment variable."""
    config = made(mode="resume_training", checkpoint_path="a.cleanrl_model", policy_path="b")
    assert config.config["init_from"] == "a.cleanrl_model"
    assert "optimizer, schedules and generators begin anew" in reasons(config.changed)["extras.checkpoint_path"]
    assert "says it already" in reasons(config.left_out)["extras.policy_path"]
    by_form = made(job(environment={"CLEANRL_RESUME_PATH": "c.cleanrl_model", "CLEANRL_SEED": "1"}))
    assert by_form.config["init_from"] == "c.cleanrl_model"
    assert set(reasons(by_form.left_out)) == {"environment.CLEANRL_SEED"}


@pytest.mark.slow
def test_a_model_of_mosaics_own_ppo_is_gone_on_with(made: Made, cli: Any, tmp_path: Path) -> None:
    """Its weights stand beside two counters; the policy that begins is theirs, as an evaluation says of both."""
    import torch
    from safetensors.torch import load_file

    trained = cli("run", "cleanrl/ppo", "CartPole-v1", "-n", 2048, "--device", "cpu", "--json", timeout=300)
    assert trained.code == 0, trained.err
    directory = Path(trained.json()["directory"])
    weights = load_file(directory / "checkpoints" / "latest" / "weights.safetensors")
    plain = {name.partition("/")[2]: tensor for name, tensor in weights.items()}
    model = tmp_path / "ppo.cleanrl_model"
    torch.save({"model_state_dict": plain, "global_step": 2048, "iteration": 4}, model)
    how = ("-w", "cleanrl/ppo", "--env", "CartPole-v1", "--seed", 900, "--episodes", 3, "--device", "cpu", "--json")
    own = cli("evaluate", directory.name, "--seed", 900, "--episodes", 3, "--json").json()["evaluations"][0]
    assert cli("evaluate", model, *how).json()["evaluations"][0]["returns"] == own["returns"]
    made(mode="resume_training", checkpoint_path=str(model), cuda=False)
    resumed = cli("run", "--from-mosaic", tmp_path / "theirs.json", "-n", 512, "--json", timeout=300)
    assert resumed.code == 0, resumed.err
    manifest = json.loads((Path(resumed.json()["directory"]) / "manifest.json").read_text())
    assert manifest["parent"]["path"] == str(model)


# ---- the job around it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpus", "extras", "device"),
    [
        ({}, {}, None),
        ({}, {"use_cuda": True}, "cuda"),
        ({}, {"gpu": False}, "cpu"),
        ({"requested": 0}, {}, "cpu"),
        ({"requested": 1}, {}, "auto"),
        ({"requested": 2, "mandatory": True}, {}, "cuda"),
        ({"requested": 0}, {"cuda": True}, "cuda"),
        ({"requested": 1}, {"cuda": False}, "cpu"),
    ],
)
def test_a_gpu_is_used_where_it_is_wanted(
    made: Made, gpus: dict[str, Any], extras: dict[str, Any], device: str | None
) -> None:
    """The switch says it, else the resources. There the form's switch has no effect, as it always requests none."""
    config = made(job({**FLAT, "extras": extras}, resources={"gpus": gpus}))
    assert config.config.get("device") == device
    disagree = gpus and extras
    named = {**reasons(config.changed), **reasons(config.left_out)}
    assert ("resources.gpus.requested" in named) == bool(disagree or (gpus and not extras))


def test_limits_of_the_schedule_are_kept(made: Made) -> None:
    """There both are checked and never enforced."""
    config = made(job(schedule={"max_duration_seconds": 60, "max_steps": 1000}))
    assert (config.config["time_limit"], config.config["stop_at"]) == (60.0, 1000)
    longer = made(job(schedule={"max_steps": 2000}))
    assert "stop_at" not in longer.config
    assert "the budget ends it before" in reasons(longer.left_out)["schedule.max_steps"]


def test_records_are_kept_as_they_are_wanted(made: Made) -> None:
    """Notes are a label, event files a callback, by either of the fields that ask for them."""
    config = made(notes="of a GUI", tensorboard_dir="tb", checkpoint_freq=500).config
    assert config["labels"] == {"mosaic_run_id": "first", "notes": "of a GUI"}
    assert (config["callbacks"], config["checkpoint"]) == ({"tensorboard": {}}, {"every_steps": 500})
    tree = job()
    tree["metadata"]["artifacts"] = {"tensorboard": {"enabled": True}}
    assert made(tree).config["callbacks"] == {"tensorboard": {}}


# ---- whatever is in a file -----------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 10**7), st.floats(), st.sampled_from(["None", "x", "ppo", ""])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["mode", "seed", "x"]), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(data=st.data())
def test_whatever_stands_there_the_outcome_has_the_right_shape(fetched_cleanrl: Path, data: st.DataObject) -> None:
    """Any value in any place: a configuration that the schema takes, or reasons why there is none; never a traceback."""
    tree, _ = read_config(SOURCE)
    tree = copy.deepcopy(tree)
    paths = [path for path, _ in leaves(tree)]
    inner = ["metadata.worker.config.extras", "metadata.worker.config.extras.algo_params", "resources", "environment"]
    for path in data.draw(st.lists(st.sampled_from([*paths, *inner]), max_size=4)):
        *outer, last = path.split(".")
        target = tree
        for key in outer:
            target = target[key] if isinstance(target.get(key), dict) else target.setdefault(f"{key}2", {})
        target[last] = data.draw(VALUES)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLCTL_CACHE_DIR", str(fetched_cleanrl))
        file = Path(folder) / "e.json"
        file.write_text(json.dumps(tree))
        try:
            (made,) = convert(file).configs
        except RlctlError:
            return
    if not made.unusable:
        _, problems = structure(Merged(made.config, {}))
        assert problems == []
