"""Every hook: called when, where and with what docs/hooks.md says; its example there is run; a raise means what it says."""

import inspect
import json
import os
import re
from pathlib import Path

import pytest

from rlctl import CallbackDescriptor, Process, RunConfig, export, hooks, run
from rlctl.errors import ConfigError, PluginError
from rlctl.plugins import discover
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.files import read_json, read_lines
from rlctl.testing import fake_distribution, on_path

HERE = Path(__file__)
DOCS = HERE.parents[2] / "docs" / "hooks.md"
FAKE_SITE = HERE.parents[1] / "fake_site"
HOOKS = sorted(name for name in vars(hooks) if name.startswith("rlctl_"))
REGISTRATION = (
    "rlctl_workers",
    "rlctl_callbacks",
    "rlctl_executors",
    "rlctl_converters",
    "rlctl_exports",
    "rlctl_commands",
    "rlctl_check_run",
    "rlctl_declare_run",
)
QUIET = {"progress": False}
EVALUATION = {"every_steps": 400}
STAGES = {"curriculum": [{"env_id": "easy", "episodes": 3}, {"env_id": "toy"}]}
EVALUATED = ("rlctl_metrics", "rlctl_checkpoint_saved", "rlctl_evaluation_ended")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of 1000 steps, recorded by a callback in the worker and by one in the host."""
    with on_path(FAKE_SITE / "toy_worker", FAKE_SITE / "toy_callbacks"):
        config = RunConfig(worker="toy", callbacks={**QUIET, "recorder": {}, "host_recorder": {}})
        return run(config, runs_dir=tmp_path_factory.mktemp("runs"))


def calls(outcome, hook=None, where=""):
    """Return the recorded calls of a hook (of all), in the worker or (where="-host") in the host, in order."""
    lines = read_lines(outcome.directory / f"recorded{where}.jsonl")
    return [line for line in lines if hook is None or line["hook"] == hook]


def callback_failures(directory):
    """Return what events.jsonl says of failed callbacks."""
    return [event for event in read_lines(directory / "events.jsonl") if event["type"] == "callback_failed"]


def train(tmp_path, *, plugins=(), seed=1, hyperparameters=None, evaluation=None, env=None, **callbacks):
    """Train the toy worker with callbacks."""
    config = RunConfig(
        worker="toy",
        seed=seed,
        hyperparameters=hyperparameters or {},
        callbacks={**QUIET, **callbacks},
        evaluation=evaluation or {},
        env=env or {},
        grace=5.0,
    )
    return run(config, plugins=plugins, runs_dir=tmp_path / "runs")


# ---- meta: nothing is left out -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test(hook):
    """For each hook of hooks.py there is a test of its name in this file."""
    assert f"def test_hook_{hook}(" in HERE.read_text()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_signature(hook):
    """For each hook docs/hooks.md has a heading with its exact arguments."""
    arguments = ", ".join(inspect.signature(getattr(hooks, hook)).parameters)
    assert f"## {hook}({arguments})" in DOCS.read_text().splitlines()


def test_nothing_else_is_documented_as_a_hook():
    """docs/hooks.md has no heading of a hook that does not exist."""
    assert sorted(re.findall(r"^## (rlctl_\w+)\(", DOCS.read_text(), re.MULTILINE)) == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_says_when_where_and_what_a_raise_means(hook):
    """Each section of docs/hooks.md has those three answers."""
    assert [word for word in ("**When:**", "**Process:**", "**Raising") if word not in section(hook)] == []


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_docstring(hook):
    """Each hook specification says what it is for, where a plugin's author looks first."""
    assert len(inspect.getdoc(getattr(hooks, hook)) or "") > 20


# ---- registration --------------------------------------------------------------------------------------------------


def test_hook_rlctl_workers(site, tmp_path):
    """`rlctl_workers` brings workers that a run can name."""
    site("toy_worker")
    assert train(tmp_path).result.status == "finished"


def test_hook_rlctl_callbacks(site, tmp_path):
    """`rlctl_callbacks` brings callbacks that a run can name, with their options."""
    site("toy_worker", "toy_callbacks")
    assert train(tmp_path, stopper={"at": 300}).result.reason == "stopper: seen step 300"


def test_hook_rlctl_executors(site, tmp_path):
    """`rlctl_executors` brings executors that a run can name."""
    site("toy_worker", "toy_executor")
    outcome = run(RunConfig(worker="toy", executor="toy", callbacks=QUIET), runs_dir=tmp_path)
    assert (outcome.directory / "logs" / "executor.txt").is_file()


def test_hook_rlctl_converters(site, tmp_path, cli):
    """`rlctl_converters` brings other systems, whose files become configurations."""
    site("toy_worker", "toy_converter")
    (tmp_path / "theirs.json").write_text('[{"name": "short", "steps": 100}]')
    cli("config", "convert", "--from", "toy", tmp_path / "theirs.json", "-o", tmp_path)
    assert cli("run", "-c", tmp_path / "short.yaml", "--json").json()["step"] == 100


def test_hook_rlctl_exports(site, tmp_path):
    """`rlctl_exports` brings formats that `rlctl export` knows."""
    site("toy_worker", "toy_format")
    outcome = train(tmp_path)
    made = export(outcome.directory, format="returns")
    assert json.loads(made.path.read_text()) == [episode.episode_return for episode in outcome.episodes()]


def test_hook_rlctl_commands(site, cli):
    """`rlctl_commands` brings commands, which are listed by help and can be called."""
    site("toy_command")
    assert cli("hello", "moon").out == "hello, moon\n"
    assert re.search(r"^ +hello +Greet", cli("--help").out, re.MULTILINE)


def test_a_command_of_rlctl_itself_cannot_be_replaced(site, cli):
    """A plugin's command with the name of one of ours is ignored, with a line that names the plugin."""
    site("toy_command", "toy_worker")
    assert "usurped" not in cli("run", "toy", "--dry-run").out
    assert "plugin toy-command: the command run exists already; ignored" in cli("--help").err


def test_hook_rlctl_check_run(site, tmp_path):
    """`rlctl_check_run` sees the configuration and the worker; its problems refuse the run before anything is written."""
    site("toy_worker", "toy_check")
    with pytest.raises(ConfigError) as caught:
        train(tmp_path, seed=13)
    said = [(problem.path, problem.message, problem.hint) for problem in caught.value.problems]
    assert said == [("seed", "13 brings bad luck to toy", "Take 12.")]
    assert not (tmp_path / "runs").exists()


def test_a_broken_check_does_not_pass(site, tmp_path):
    """A check that raises refuses the run and names its plugin: what could not be checked is not sound."""
    site("toy_worker", "toy_check")
    with pytest.raises(
        ConfigError, match="the check of plugin toy-check failed: ZeroDivisionError: the check is broken"
    ):
        train(tmp_path, seed=14)


def test_hook_rlctl_declare_run(site, tmp_path):
    """`rlctl_declare_run` is asked for sound runs only; one that raises refuses the run and names its plugin."""
    module = (
        "from rlctl import hookimpl\n\n@hookimpl\ndef rlctl_declare_run(config, worker):\n"
        "    assert config.seed < 10\n    return {'who': worker.name}\n"
    )
    site("toy_worker", fake_distribution(tmp_path / "site", "says", {"says": "says"}, {"says": module}))
    outcome = train(tmp_path)
    assert read_json(outcome.directory / "config.json")["declared"] == {"who": "toy"}
    with pytest.raises(ConfigError, match="the declare of plugin says failed: AssertionError"):
        train(tmp_path, seed=10)


def test_a_check_that_finds_nothing_lets_the_run_go(site, tmp_path):
    """A check that returns no problem changes nothing."""
    site("toy_worker", "toy_check")
    assert train(tmp_path, seed=12).result.status == "finished"


# ---- life cycle: worker process ------------------------------------------------------------------------------------


def test_hook_rlctl_training_started(recorded):
    """`rlctl_training_started` is called once, before every other hook, with who the run is."""
    (call,) = calls(recorded, "rlctl_training_started")
    assert call == calls(recorded)[0]
    assert call["run_id"] == recorded.info.run_id


def test_hook_rlctl_step(recorded):
    """`rlctl_step` is called for every call of `advance`, with its step."""
    assert [call["step"] for call in calls(recorded, "rlctl_step")] == list(range(1001))


def test_hook_rlctl_episode_ended(recorded):
    """`rlctl_episode_ended` is called for every episode, in order, with where it ended."""
    seen = [(call["episode"], call["step"]) for call in calls(recorded, "rlctl_episode_ended")]
    assert seen == [(episode.index, episode.step) for episode in recorded.episodes()]


def test_hook_rlctl_stage_changed(site, tmp_path):
    """`rlctl_stage_changed` is called for each new stage, just after the episode that ended the one before."""
    site("toy_worker", "toy_callbacks")
    outcome = train(tmp_path, recorder={}, env=STAGES)

    (call,) = calls(outcome, "rlctl_stage_changed")
    assert (call["stage"], call["env_id"], call["reason"]) == (1, "toy", "episodes>=3")
    before = calls(outcome)[calls(outcome).index(call) - 1]
    assert (before["hook"], before["episode"], before["step"]) == ("rlctl_episode_ended", 2, call["step"])


def test_without_a_curriculum_there_is_no_stage(recorded):
    """A run in one environment is told of no stage."""
    assert calls(recorded, "rlctl_stage_changed") == []


def test_hook_rlctl_metrics(recorded):
    """`rlctl_metrics` is called whenever the backend reports, with all values of one report together."""
    seen = calls(recorded, "rlctl_metrics")
    assert [call["step"] for call in seen] == list(range(50, 1001, 50))
    assert seen[0]["names"] == ["backend/noise", "train/loss"]


def test_hook_rlctl_checkpoint_due(site, tmp_path):
    """`rlctl_checkpoint_due` is called once for each checkpoint, right before it is saved."""
    site("toy_worker", "toy_callbacks")
    outcome = train(tmp_path, recorder={}, evaluation=EVALUATION)
    told = [call for call in calls(outcome) if call["hook"].startswith("rlctl_checkpoint")]
    assert [(call["hook"], call["step"]) for call in told] == [
        (hook, step) for step in (400, 800, 1000) for hook in ("rlctl_checkpoint_due", "rlctl_checkpoint_saved")
    ]


def test_hook_rlctl_checkpoint_saved(recorded):
    """`rlctl_checkpoint_saved` is called for every checkpoint when it is whole, with its place, reason and hash."""
    (call,) = calls(recorded, "rlctl_checkpoint_saved")
    bundle = CheckpointFolder(recorded.directory / "checkpoints").find("latest")
    assert (call["step"], call["reason"], call["path"]) == (1000, "final", str(bundle.path))
    assert call["sha256"] == bundle.sha256()
    bundle.verify()


def test_hook_rlctl_evaluation_ended(site, tmp_path):
    """`rlctl_evaluation_ended` is called for every evaluation: saved before, written down, and its metrics told."""
    site("toy_worker", "toy_callbacks")
    outcome = train(tmp_path, recorder={}, evaluation=EVALUATION)

    seen = calls(outcome, "rlctl_evaluation_ended")
    assert [call["step"] for call in seen] == [400, 800, 1000]
    written = list(read_lines(outcome.directory / "evaluations.jsonl"))
    assert [{name: call[name] for name in written[0]} for call in seen] == written
    order = [call["hook"] for call in calls(outcome) if call["hook"] in EVALUATED and call["step"] == 400]
    # The first metrics are the training's own at this step.
    assert order == ["rlctl_metrics", "rlctl_checkpoint_saved", "rlctl_metrics", "rlctl_evaluation_ended"]


def test_without_evaluation_there_is_none_to_tell(recorded):
    """A run that is not evaluated is not told of one at its end either."""
    assert calls(recorded, "rlctl_evaluation_ended") == []


def test_hook_rlctl_should_stop(recorded):
    """`rlctl_should_stop` is asked after each step until a budget is used up."""
    assert [call["step"] for call in calls(recorded, "rlctl_should_stop")] == list(range(1000))


def test_a_reason_to_stop_ends_the_run_as_finished(site, tmp_path):
    """A callback's reason ends the run at that very step, as finished, with the callback's name."""
    site("toy_worker", "toy_callbacks")
    result = train(tmp_path, stopper={"at": 123}).result
    assert (result.status, result.reason, result.step, result.exit_code) == (
        "finished",
        "stopper: seen step 123",
        123,
        0,
    )


def test_hook_rlctl_training_ended(recorded):
    """`rlctl_training_ended` is called once, after every other life-cycle hook, with the result."""
    (call,) = calls(recorded, "rlctl_training_ended")
    assert call == calls(recorded)[-1]
    assert (call["status"], call["step"]) == ("finished", 1000)


def test_training_ended_is_called_when_the_backend_raises(site, tmp_path):
    """Callbacks are told the end of a run that fails, too, so that they can close their files."""
    site("toy_worker", "toy_callbacks")
    outcome = train(tmp_path, recorder={}, hyperparameters={"raise_at": 10})
    assert [call["status"] for call in calls(outcome, "rlctl_training_ended")] == ["failed"]


def test_life_cycle_hooks_are_called_in_the_worker(recorded):
    """Worker callbacks live in one process, which is not this one."""
    assert len({call["pid"] for call in calls(recorded)} - {os.getpid()}) == 1
    assert os.getpid() not in {call["pid"] for call in calls(recorded)}


def test_the_step_comes_after_what_happened_in_it(recorded):
    """Episodes and metrics of a step are told before the step itself."""
    order = [call["hook"] for call in calls(recorded) if call.get("step") == 50 and call["hook"] != "rlctl_should_stop"]
    assert order[-1] == "rlctl_step"
    assert "rlctl_metrics" in order


# ---- host process --------------------------------------------------------------------------------------------------


def test_hook_rlctl_status_changed(recorded):
    """`rlctl_status_changed` is called in the host while the run lives, with who it is and how far."""
    seen = calls(recorded, "rlctl_status_changed", "-host")
    assert seen
    assert {(call["pid"], call["run_id"]) for call in seen} == {(os.getpid(), recorded.info.run_id)}
    assert all(0 <= call["step"] <= 1000 for call in seen)


def test_hook_rlctl_run_ended(recorded):
    """`rlctl_run_ended` is called once, in the host, as the last hook of all."""
    (call,) = calls(recorded, "rlctl_run_ended", "-host")
    assert call == calls(recorded, where="-host")[-1]
    assert (call["pid"], call["status"]) == (os.getpid(), "finished")


def test_run_ended_is_called_when_the_worker_was_killed(site, tmp_path):
    """The host is told the end also of a run whose process was killed, when nobody else can be."""
    site("toy_worker", "toy_callbacks")
    outcome = train(tmp_path, recorder={}, host_recorder={}, hyperparameters={"kill_at": 10})
    assert [call["status"] for call in calls(outcome, "rlctl_run_ended", "-host")] == ["failed"]
    assert calls(outcome, "rlctl_training_ended") == []


def test_host_callbacks_see_no_life_cycle_hooks(recorded):
    """A callback of the host is not told of every step: only its own two hooks are called."""
    assert {call["hook"] for call in calls(recorded, where="-host")} == {"rlctl_status_changed", "rlctl_run_ended"}


# ---- what a raise means --------------------------------------------------------------------------------------------


LATE = {"curriculum": [{"env_id": "easy", "steps": 200}, {"env_id": "toy"}]}
LIFE_CYCLE = [
    "rlctl_training_started",
    "rlctl_step",
    "rlctl_episode_ended",
    "rlctl_stage_changed",
    "rlctl_metrics",
    "rlctl_checkpoint_due",
    "rlctl_checkpoint_saved",
    "rlctl_evaluation_ended",
    "rlctl_should_stop",
]


@pytest.mark.parametrize("hook", [*LIFE_CYCLE, "rlctl_training_ended"])
def test_a_failing_callback_does_not_end_the_run(site, tmp_path, hook):
    """A callback that raises in any of the life-cycle hooks is reported once; the run finishes, all others see all of it."""
    site("toy_worker", "toy_callbacks")
    outcome = train(tmp_path, raises={"hook": hook, "at": 100}, recorder={}, evaluation=EVALUATION, env=LATE)
    assert (outcome.result.status, outcome.result.step) == ("finished", 1000)
    (failure,) = callback_failures(outcome.directory)
    assert (failure["callback"], failure["hook"], failure["error"]) == (
        "raises",
        hook,
        f"RuntimeError: told to raise in {hook}",
    )
    assert len(calls(outcome, "rlctl_step")) == 1001


@pytest.mark.parametrize("hook", [*LIFE_CYCLE, "rlctl_training_ended"])
def test_a_failing_critical_callback_fails_the_run(site, tmp_path, hook):
    """A callback declared critical that raises in any of the life-cycle hooks makes the run fail, with its reason."""
    site("toy_worker", "toy_callbacks")
    result = train(tmp_path, critical={"hook": hook, "at": 100}, evaluation=EVALUATION, env=LATE).result
    assert (result.status, result.exit_code) == ("failed", 1)
    assert f"critical callback critical failed in {hook}: RuntimeError: told to raise in {hook}" in result.reason


def test_a_failing_callback_is_in_the_log_with_its_traceback(site, tmp_path):
    """Who looks for why a callback failed finds its traceback in the worker's log."""
    site("toy_worker", "toy_callbacks")
    log = (train(tmp_path, raises={}).directory / "logs" / "worker.log").read_text()
    assert "rlctl: callback raises failed in rlctl_step and is switched off: RuntimeError: told to raise" in log
    assert "Traceback" in log


def test_a_callback_that_cannot_be_made_does_not_end_the_run(site, tmp_path):
    """A factory that raises is a callback that failed: reported, and the run goes on."""
    site("toy_worker", "toy_callbacks")
    outcome = train(tmp_path, unmakeable={})
    assert outcome.result.status == "finished"
    (failure,) = callback_failures(outcome.directory)
    assert (failure["hook"], failure["error"]) == ("its construction", "ConnectionError: no server at 127.0.0.1:1")


def test_a_callback_with_a_misspelt_hook_is_reported_with_the_right_name(site, tmp_path):
    """A typo in a callback object is no silence: it is reported, with the nearest hook that exists."""
    site("toy_worker", "toy_callbacks")
    (failure,) = callback_failures(train(tmp_path, misspelt={}).directory)
    assert 'there is no hook rlctl_episode_end. Did you mean "rlctl_episode_ended"?' in failure["error"]


@pytest.mark.parametrize("hook", ["rlctl_status_changed", "rlctl_run_ended"])
def test_a_failing_callback_of_the_host_does_not_end_the_run(site, tmp_path, capfd, hook):
    """A callback of the host that raises is reported on stderr, and the run finishes."""
    site("toy_worker", "toy_callbacks")
    assert train(tmp_path, host_raises={"hook": hook, "at": 0}).result.status == "finished"
    assert f"host_raises failed in {hook} and is switched off: RuntimeError" in capfd.readouterr().err


def test_a_callback_of_the_host_cannot_be_critical():
    """Only the worker process can fail its run: a critical callback of the host is refused where it is declared."""
    with pytest.raises(ValueError, match='callback "guard": only a callback in the worker process can be critical'):
        CallbackDescriptor(name="guard", summary="", factory="x:y", process=Process.HOST, critical=True)


def test_a_metric_that_is_nan_reaches_callbacks_as_nan(site, tmp_path):
    """Nothing between a backend and its callbacks swallows what is not finite."""
    site("toy_worker", "toy_callbacks")
    outcome = train(tmp_path, recorder={}, hyperparameters={"nan_at": 0})
    assert outcome.result.status == "finished"
    assert len(calls(outcome, "rlctl_metrics")) == 20


# ---- the examples of docs/hooks.md ---------------------------------------------------------------------------------


def section(hook):
    """Return the text of a hook's section in docs/hooks.md."""
    found = re.search(rf"^## {hook}\(.*?\)\n(.*?)(?=^## |\Z)", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    return found[1]


def block(hook, language):
    """Return the first code block of that language in a hook's section, or None."""
    found = re.search(rf"```{language}\n(.*?)```", section(hook), re.DOTALL)
    return found[1] if found else None


@pytest.fixture
def documented(site, tmp_path):
    """Install the example of a hook's section as the plugin `my_plugin`, beside the toy worker."""

    def install(hook):
        modules = {"my_plugin": block(hook, "python")}
        site("toy_worker", fake_distribution(tmp_path / "site", "my-plugin", {"mine": "my_plugin"}, modules))

    return install


def test_the_example_of_rlctl_workers_trains(documented, tmp_path):
    """The worker of docs/hooks.md trains."""
    documented("rlctl_workers")
    outcome = run(RunConfig(worker="coin", callbacks=QUIET), runs_dir=tmp_path / "runs")
    assert (outcome.result.status, outcome.result.episodes, outcome.result.return_mean) == ("finished", 100, 0.5)


def test_the_example_of_rlctl_callbacks_is_told_of_episodes(documented, tmp_path):
    """The callback of docs/hooks.md prints into the worker's log, from the return on that its option says."""
    documented("rlctl_callbacks")
    outcome = train(tmp_path, best={"above": 5.0})
    bests = [float(line.split()[-1]) for line in (outcome.directory / "logs" / "worker.log").read_text().splitlines()]
    assert bests == sorted(bests)
    assert bests[0] > 5


def test_the_example_of_rlctl_executors_places_a_run(documented, tmp_path, capsys):
    """The executor of docs/hooks.md is asked to place a run and does."""
    documented("rlctl_executors")
    outcome = run(RunConfig(worker="toy", executor="polite", callbacks=QUIET), runs_dir=tmp_path / "runs")
    assert outcome.result.status == "finished"
    assert capsys.readouterr().out == f"would you please train {outcome.info.run_id}\n"


def test_the_example_of_rlctl_converters_converts(documented, tmp_path, cli):
    """The converter of docs/hooks.md makes a configuration that passes, and names what it leaves out."""
    documented("rlctl_converters")
    (tmp_path / "walk.txt").write_text("steps 500\nspeed 3\n")
    made = cli("config", "convert", "--from", "notes", tmp_path / "walk.txt", "-o", tmp_path / "walk.yaml")
    assert "walk: left out: speed: unknown." in made.err
    assert cli("config", "check", tmp_path / "walk.yaml").code == 0


def test_the_example_of_rlctl_exports_writes_a_file(documented, tmp_path):
    """The format of docs/hooks.md counts the steps of a run, as often as its option says."""
    documented("rlctl_exports")
    outcome = train(tmp_path)
    made = export(outcome.directory, format="lengths", options={"first": 2}, output=tmp_path / "lengths.txt")
    assert made.path.read_text().split() == [str(episode.length) for episode in outcome.episodes()[:2]]
    assert made.found == {"episodes": 2}


def test_the_example_of_rlctl_commands_greets(documented, cli):
    """The command of docs/hooks.md can be called."""
    documented("rlctl_commands")
    assert cli("greet", "moon").out == "hello, moon\n"


def test_the_example_of_rlctl_check_run_refuses(documented, tmp_path):
    """The check of docs/hooks.md refuses odd seeds and lets even ones pass."""
    documented("rlctl_check_run")
    with pytest.raises(ConfigError, match=r"seed: 1 is odd.* Take an even one\."):
        train(tmp_path, seed=1)
    assert train(tmp_path, seed=2).result.status == "finished"


def test_the_example_of_rlctl_declare_run_is_said_and_kept(documented, fast_cli, tmp_path):
    """The sentence of docs/hooks.md stands in a dry run, at the start, in config.json and in `runs show`."""
    documented("rlctl_declare_run")
    said, words = "rlctl: seed: only its last two digits are used: 23", ("run", "toy", "--seed", "123", "-n", "20")
    dry = fast_cli(*words, "--dry-run")
    assert (dry.code, said in dry.err) == (0, True)
    declared = fast_cli(*words, "--dry-run", "--json")
    started = fast_cli(*words, "--run-id", "r", "--runs-dir", tmp_path)
    assert (started.code, said in started.err) == (0, True)
    kept = read_json(tmp_path / "r" / "config.json")["declared"]
    assert kept == json.loads(declared.out)["declared"] == {"seed": "only its last two digits are used: 23"}
    assert "only its last two digits are used: 23" in fast_cli("runs", "show", tmp_path / "r").out
    assert "seed:" not in fast_cli("run", "toy", "--seed", "99", "--dry-run").err


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook not in REGISTRATION])
def test_the_example_of_a_life_cycle_or_host_hook_prints_what_it_says(site, tmp_path, capsys, hook):
    """The object of docs/hooks.md, given to `rlctl.run`, prints what stands below it."""
    site("toy_worker")
    evaluation = EVALUATION if hook == "rlctl_evaluation_ended" else None
    assert evaluation is None or f"evaluation={json.dumps(evaluation)}" in section(hook)
    names = {"__name__": "example"}
    exec(compile("from __future__ import annotations\n" + block(hook, "python"), str(DOCS), "exec"), names)
    env = STAGES if hook == "rlctl_stage_changed" else None
    assert env is None or f"env={json.dumps(env)}" in section(hook)
    if hook == "rlctl_safe_point":  # the policy is not where the program is
        with pytest.raises(PluginError, match="rlctl_safe_point is not called in the host"):
            train(tmp_path, plugins=[names["Example"]()])
        return
    outcome = train(tmp_path, plugins=[names["Example"]()], evaluation=evaluation, env=env)
    assert outcome.result.status == "finished"
    printed, promised = capsys.readouterr().out, block(hook, "text")
    assert printed
    assert promised is None or printed == promised


def test_what_broke_a_plugin_stands_in_the_manual_as_an_event(site, tmp_path):
    """The event that docs/hooks.md names is the one that is written."""
    site("toy_worker", "toy_callbacks")
    assert "`callback_failed`" in DOCS.read_text()
    assert callback_failures(train(tmp_path, raises={}).directory)


def test_the_registry_knows_no_plugin_twice(site):
    """A plugin that implements several hooks is one plugin."""
    site("duplicate_name")
    assert [plugin.name for plugin in discover().plugins].count("twin") == 1


def test_events_are_numbered(site, tmp_path):
    """The events of a run are numbered from 0 without a gap, host and worker together."""
    site("toy_worker", "toy_callbacks")
    outcome = train(tmp_path, raises={})
    events = list(read_lines(outcome.directory / "events.jsonl"))
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events] == [
        "run_created",
        "training_started",
        "callback_failed",
        "checkpoint_saved",
        "training_ended",
        "run_ended",
    ]


def test_the_manifest_names_the_callbacks_of_a_run(recorded):
    """Which callbacks saw a run, where and from which package, stands in its manifest."""
    callbacks = read_json(recorded.directory / "manifest.json")["callbacks"]
    assert {name: entry["process"] for name, entry in callbacks.items()} == {
        "jsonl": "worker",
        "recorder": "worker",
        "host_recorder": "host",
    }
    assert json.dumps(callbacks["recorder"]["version"]) == '"1.0"'


def test_hook_rlctl_safe_point(tmp_path):
    """It is called where a training is whole, with its state's own way to lend, and not where it is not."""
    from rlctl import hookimpl
    from rlctl.testing import fake_run

    class Whole:
        def write_state(self, folder): ...

        def read_state(self, folder): ...

        def read_weights(self, folder): ...

        def read_artefact(self, path, trust): ...

        def policy(self, seed): ...

    class Looks:
        seen = []

        @hookimpl
        def rlctl_safe_point(self, progress, lend, go_on):
            self.seen.append((progress.step, lend, go_on()))

    run, state = fake_run(tmp_path, callbacks=[Looks()]), Whole()
    run.attach(state)
    run.restore()
    run.advance(1, safe=False)
    run.advance(2)
    assert Looks.seen == [(2, state.policy, True)]
