"""Evaluation while training: when it is due, what is saved for it, which checkpoint is the best, and what a stop leaves.

Runs are in this process, made from a directory as the worker process makes them; the policy plays a real environment.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

gymnasium = pytest.importorskip("gymnasium")
np = pytest.importorskip("numpy")

from rlctl.config.schema import RunConfig  # noqa: E402
from rlctl.errors import RlctlError  # noqa: E402
from rlctl.evaluations import Evaluation, evaluation_seeds, evaluations_of  # noqa: E402
from rlctl.runs.checkpoints import CheckpointFolder  # noqa: E402
from rlctl.runs.directory import RunDirectory, create, state_of  # noqa: E402
from rlctl.runs.files import read_json, read_lines, write_json  # noqa: E402
from rlctl.worker import main as process  # noqa: E402
from rlctl.worker.evaluating import training_request  # noqa: E402
from rlctl.worker.making import make_run  # noqa: E402

Cli = Callable[..., Any]


class Echo(gymnasium.Env):  # type: ignore[misc, name-defined]
    """Three steps, each rewarded with the action."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (), np.float64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = 3
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        return np.zeros(1, np.float32), float(action), self.left == 0, False, {}


class Learner:
    """A training that is one number; its policy gets three times this number as a return."""

    def __init__(self) -> None:
        self.skill = 0.0
        self.lent: list[int] = []
        self.when_acting: Callable[[], object] = lambda: None
        self.fail: OSError | None = None

    def write_state(self, folder: Path) -> None:
        (folder / "weights.json").write_text(json.dumps(self.skill))
        if self.fail is not None:
            raise self.fail

    def read_state(self, folder: Path) -> None:
        self.skill = json.loads((folder / "weights.json").read_text())

    def read_weights(self, folder: Path) -> None:
        raise NotImplementedError

    def read_artefact(self, path: Path, trust: bool) -> None:
        raise NotImplementedError

    @contextlib.contextmanager
    def policy(self, seed: int) -> Iterator[Any]:
        self.lent.append(seed)
        yield self

    def values(self, observations: Any) -> Any:
        return np.full(len(observations), 10 * self.skill)

    def make_env(self, env: Any, **kwargs: Any) -> Echo:
        return Echo()

    def act(self, observations: Any, *, greedy: bool, started: Any) -> Any:
        self.when_acting()
        return np.full(len(observations), self.skill)


class Made:
    """A run over the test's only directory, made from it as the worker process does."""

    def __init__(self, root: Path, *, resumed: int | None = None, **said: Any) -> None:
        config = attrs.asdict(RunConfig(worker="toy", algo="learn", env="echo", **said))
        manifest = {
            "callbacks": {},
            "horizon": 1000,
            "worker": {"name": "toy", "distribution": "toy", "version": "1.0", "source": None},
        }
        known = RunDirectory(root / "r")
        self.directory = known if known.path.exists() else create(root, "r", {})
        if resumed is not None:
            manifest["resumes"] = [{"checkpoint_step": resumed}]
        write_json(self.directory.config, {"config": config})
        write_json(self.directory.manifest, manifest)
        self.state = Learner()
        self.run = make_run(self.directory)
        self.run.begin()
        self.run.attach(self.state)  # type: ignore[arg-type]
        self.run.restore()

    def train(self, *skills: float, every: int = 100) -> None:
        """Take `every` steps for each of `skills`, which is the policy's at the end of them."""
        for skill in skills:
            self.state.skill = skill
            if not self.run.advance(self.run.step + every):
                return

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of evaluations.jsonl."""
        return list(read_lines(self.directory.evaluations))

    def steps(self) -> list[int]:
        """Return the steps that were evaluated."""
        return [line["step"] for line in self.lines()]

    @property
    def bundles(self) -> CheckpointFolder:
        return CheckpointFolder(self.directory.path / "checkpoints")

    def saved(self) -> dict[int, str]:
        """Return step → reason of the checkpoints that there are."""
        return {bundle.step: bundle.data["reason"] for bundle in self.bundles.all()}

    def best(self) -> int | None:
        """Return the step of the checkpoint that `best` means."""
        return self.bundles.find("best").step if (self.bundles.path / "best").exists() else None

    def end(self) -> Any:
        """End the run as the worker process does, and return its result."""
        self.run.finish()
        return process._result_of(self.run, self.directory)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Made]:
    """Return `make(**configuration)`: a run over the test's only directory."""
    return lambda **said: Made(tmp_path, **said)


def evaluated(**said: Any) -> dict[str, Any]:
    """Return a configuration that evaluates two episodes every 100 steps, or as it says."""
    return {"evaluation": {"every_steps": 100, "episodes": 2, **said}}


# ---- when it is due ------------------------------------------------------------------------------------------------


def test_every_so_many_steps(make: Callable[..., Made]) -> None:
    """At each multiple, and not before the first step."""
    made = make(**evaluated())
    made.train(*[1.0] * 70, every=5)

    assert made.steps() == [100, 200, 300]


def test_steps_that_jump_over_a_multiple(make: Callable[..., Made]) -> None:
    """A backend that advances by 64 is evaluated at its first step past each multiple, once."""
    made = make(**evaluated())
    made.train(*[1.0] * 6, every=64)

    assert made.steps() == [128, 256, 320]


def test_a_backend_that_takes_longer_strides_is_evaluated_at_each(make: Callable[..., Made]) -> None:
    """Two multiples in one stride are one evaluation: there is only one policy to measure."""
    made = make(**evaluated())
    made.train(1, 1, every=1000)

    assert made.steps() == [1000, 2000]


def test_every_so_many_episodes(make: Callable[..., Made]) -> None:
    """Each time so many training episodes have ended since the last evaluation, at the next safe point."""
    made = make(**evaluated(every_steps=None, every_episodes=3))
    for _ in range(10):
        made.run.record_episode(0.0, 7)
        made.train(1.0, every=7)

    assert [(line["step"], line["episodes"]) for line in made.lines()] == [(21, 3), (42, 6), (63, 9)]


def test_both_reasons_at_once_are_one_evaluation(make: Callable[..., Made]) -> None:
    """Steps and episodes are each a reason; where they meet there is one line."""
    made = make(**evaluated(every_episodes=5))
    for _ in range(10):
        made.run.record_episode(0.0, 50)
        made.train(1.0, every=50)

    assert made.steps() == [100, 200, 250, 300, 400, 500]


def test_no_step_is_evaluated_twice(make: Callable[..., Made]) -> None:
    """A backend may say the same step again, and episodes may end in between."""
    made = make(**evaluated(every_episodes=1))
    for _ in range(3):
        made.run.record_episode(0.0, 1)
        made.run.advance(100)

    assert made.steps() == [100]


def test_nothing_is_evaluated_where_it_is_not_safe(make: Callable[..., Made]) -> None:
    """In the midst of an update the policy is none: what falls due there is made at the next safe point."""
    made = make(**evaluated())
    made.run.advance(150, safe=False)
    assert made.steps() == []

    made.run.advance(160)
    assert made.steps() == [160]


def test_without_every_nothing_is_evaluated(make: Callable[..., Made]) -> None:
    """How alone says nothing of when."""
    made = make(evaluation={"episodes": 2}, total_timesteps=200)
    made.train(1, 1)
    made.end()

    assert made.lines() == []
    assert not made.directory.evaluations.exists()


# ---- what is measured ----------------------------------------------------------------------------------------------


def test_an_evaluation_measures_the_policy_as_it_is(make: Callable[..., Made]) -> None:
    """Each line has the returns of the policy of that step, on the same seeds each time, beside the training's mean."""
    made = make(**evaluated(), seed=7)
    made.run.record_episode(4.0, 1)
    made.train(1)
    made.run.record_episode(6.0, 1)
    made.train(2.5)

    first, second = made.lines()
    assert (first["returns"], second["returns"]) == ([3, 3], [7.5, 7.5])
    assert (first["training_return_mean"], second["training_return_mean"]) == (4, 5)
    assert first["seeds"] == second["seeds"] == list(evaluation_seeds(7, 2))
    assert made.state.lent == [7, first["seeds"][0], first["seeds"][0]], "lent once to see whether it can be"


def test_what_is_told_is_what_is_written(make: Callable[..., Made]) -> None:
    """Callbacks get the evaluation of the file, and its means as metrics."""
    from rlctl import hookimpl

    class Watcher:
        evaluations: list[Evaluation] = []
        metrics: list[dict[str, float]] = []

        @hookimpl
        def rlctl_evaluation_ended(self, evaluation: Evaluation) -> None:
            self.evaluations.append(evaluation)

        @hookimpl
        def rlctl_metrics(self, metrics: Any) -> None:
            self.metrics.append(dict(metrics.values))

    made = make(**evaluated(gamma=0.5))
    made.run._dispatcher.register("watcher", Watcher())
    made.train(1, 2)

    assert [item.to_json() for item in Watcher.evaluations] == made.lines()
    assert [values["evaluation/return_mean"] for values in Watcher.metrics] == [3, 6]
    assert [values["evaluation/discounted_return_mean"] for values in Watcher.metrics] == [1.75, 3.5]


def test_estimates_are_told_where_they_are_of_what_is_measured(make: Callable[..., Made]) -> None:
    """With the algorithm's own discount the line says how much too high they were; with another one it does not."""
    own = {"hyperparameters": {"gamma": 0.5}}
    made = make(**evaluated(), **own)
    made.train(1, 2)
    assert [(line["values"], line["overestimation"]) for line in made.lines()] == [
        ([10, 10], 10 - 1.75),
        ([20, 20], 20 - 3.5),
    ]

    assert training_request(attrs.asdict(RunConfig(worker="toy", env="e", **own))).asks_values
    for other in ({"gamma": 0.6}, {"stochastic": True}):
        config = attrs.asdict(RunConfig(worker="toy", env="e", evaluation=other, **own))
        assert not training_request(config).asks_values


def test_a_policy_that_cannot_be_lent_is_known_at_once(make: Callable[..., Made], monkeypatch: Any) -> None:
    """Not after the first hundred thousand steps, but before the first one."""

    def policy(self: Learner, seed: int) -> Any:
        raise RlctlError("this network cannot act")

    monkeypatch.setattr(Learner, "policy", policy)

    with pytest.raises(RlctlError, match="this network cannot act"):
        make(**evaluated())
    assert make().run.restore() is False, "without evaluation nobody asks for it"


def test_a_request_says_what_the_configuration_says() -> None:
    """Episodes, seeds, environments, discount, limit and sampling, with defaults that follow from the run."""
    defaults = attrs.asdict(RunConfig(worker="toy", seed=3, env={"id": "e", "max_episode_steps": 9},
                                      hyperparameters={"gamma": 0.9}))  # fmt: skip
    request = training_request(defaults)
    assert (request.seeds, request.num_envs, request.greedy, request.gamma) == (evaluation_seeds(3, 10), 10, True, 0.9)
    assert (request.env, request.time_limit, request.video) == (defaults["env"], None, None)

    evaluation = {"episodes": 40, "seed": 50, "stochastic": True, "gamma": 0.0, "max_episode_steps": 5}
    request = training_request({**defaults, "evaluation": {**defaults["evaluation"], **evaluation}})
    assert (request.seeds, request.num_envs, request.greedy, request.gamma) == (tuple(range(50, 90)), 16, False, 0.0)
    assert request.env == {**defaults["env"], "max_episode_steps": 5}

    request = training_request({**defaults, "evaluation": {**defaults["evaluation"], "num_envs": 3}})
    assert request.num_envs == 3


# ---- what is saved -------------------------------------------------------------------------------------------------


def test_the_policy_is_saved_before_it_is_measured(make: Callable[..., Made]) -> None:
    """The line names the bundle by its hash, and that has the very weights that were measured."""
    made = make(**evaluated())
    seen: list[dict[int, str]] = []
    made.state.when_acting = lambda: seen.append(made.saved())
    made.train(1, 2)

    assert seen[0] == {100: "evaluation"}
    for line in made.lines():
        bundle = made.bundles.find(str(line["step"]))
        assert line["checkpoint"] == bundle.sha256()
        assert json.loads(bundle.member("weights.json").read_text()) * 3 == line["return_mean"]
        bundle.verify()


def test_an_evaluation_and_an_interval_at_one_step_are_one_checkpoint(make: Callable[..., Made]) -> None:
    """The interval between checkpoints is satisfied by one that was saved for an evaluation."""
    made = make(**evaluated(), checkpoint={"every_steps": 50})
    made.train(1, 1, 1, 1, every=50)

    assert made.saved() == {100: "evaluation", 150: "periodic", 200: "evaluation"}  # keep_last is 3


def test_a_milestone_at_an_evaluation_is_kept_for_good(make: Callable[..., Made]) -> None:
    """However bad it was, and however long ago."""
    made = make(**evaluated(), checkpoint={"milestones": [200], "keep_last": 1})
    made.train(5, 1, 2, 3, 4)

    assert made.saved() == {100: "evaluation", 200: "milestone", 500: "evaluation"}


def test_the_best_are_kept_however_old(make: Callable[..., Made]) -> None:
    """With `keep_best` 2 and `keep_last` 1: the two best by evaluation, and the last."""
    made = make(**evaluated(), checkpoint={"keep_last": 1, "keep_best": 2})
    made.train(4, 9, 1, 7, 3, 2)

    assert sorted(made.saved()) == [200, 400, 600]
    assert made.best() == 200


def test_who_is_no_longer_among_the_best_makes_room(make: Callable[..., Made]) -> None:
    """A policy that is overtaken is removed with the next save, as any other is."""
    made = make(**evaluated(), checkpoint={"keep_last": 1, "keep_best": 1})
    made.train(1, 2, 3, 1, 1)

    assert sorted(made.saved()) == [300, 500]


# ---- the best ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skills", "best", "flags"),
    [
        ((1, 3, 2), 200, [True, True, False]),
        ((3, 2, 1), 100, [True, False, False]),
        ((2, 2, 1), 200, [True, True, False]),
        ((-5, -7, -4), 300, [True, False, True]),
        ((math.nan, -9, math.nan), 200, [False, True, False]),
        ((1, math.nan, 0), 100, [True, False, False]),
        ((math.nan, math.nan), None, [False, False]),
        ((-math.inf, math.inf, 5), 200, [True, True, False]),
    ],
)
def test_the_best_has_the_highest_mean(
    make: Callable[..., Made], skills: tuple[float, ...], best: int | None, flags: list[bool]
) -> None:
    """`best` means it; of equal ones the later; what is no number never; and each line says whether it was at its time."""
    made = make(**evaluated())
    made.train(*skills)

    assert made.best() == best
    assert [line["best"] for line in made.lines()] == flags
    assert made.end().best_step == best


def test_the_result_names_the_best(make: Callable[..., Made]) -> None:
    """Its step and mean, so that nobody has to search for it."""
    made = make(**evaluated(), total_timesteps=400)
    made.train(1, 6, 2, 3)
    result = made.end()

    assert (result.best_step, result.best_return) == (200, 18)


def test_a_run_without_evaluation_has_no_best(make: Callable[..., Made]) -> None:
    """Neither in its result nor as a link."""
    made = make(total_timesteps=100)
    made.train(1)
    result = made.end()

    assert (result.best_step, result.best_return, made.best()) == (None, None, None)


# ---- a full disk ---------------------------------------------------------------------------------------------------


def test_what_could_not_be_saved_is_measured_but_never_best(make: Callable[..., Made]) -> None:
    """On a full disk the line has no hash, and `best` goes on meaning a policy that can be had."""
    made = make(**evaluated())
    made.train(1)
    made.state.fail = OSError(errno.ENOSPC, "No space left on device")
    made.train(9)
    made.state.fail = None

    assert [(line["step"], line["checkpoint"] is None) for line in made.lines()] == [(100, False), (200, True)]
    assert (made.best(), sorted(made.saved())) == (100, [100])
    made.train(5)
    assert made.best() == 300


def test_what_is_saved_after_it_was_measured_is_not_best_either(make: Callable[..., Made]) -> None:
    """A bundle of that step that the line does not name by its hash is not known to be the policy that was measured."""
    made = make(**evaluated())
    made.train(1)
    made.state.fail = OSError(errno.ENOSPC, "No space left on device")
    made.train(9)
    made.state.fail = None
    made.run.save("final")

    assert make(**evaluated(), resumed=200).best() == 100
    assert sorted(made.saved()) == [100, 200]


def test_without_any_saved_policy_there_is_no_best(make: Callable[..., Made]) -> None:
    """A disk that was full from the beginning leaves lines, and no link to nothing."""
    made = make(**evaluated())
    made.state.fail = OSError(errno.ENOSPC, "No space left on device")
    made.train(1, 2)

    assert [line["checkpoint"] for line in made.lines()] == [None, None]
    assert not (made.bundles.path / "best").is_symlink()


# ---- the end -------------------------------------------------------------------------------------------------------


def test_the_end_of_the_budget_is_evaluated(make: Callable[..., Made]) -> None:
    """What the training has become is measured, also between two multiples, and is the policy that is saved last."""
    made = make(**evaluated(), total_timesteps=250)
    made.train(1, 2)
    made.train(3, every=50)
    result = made.end()

    assert (result.status, result.stopped_by, made.steps()) == ("finished", "timesteps", [100, 200, 250])
    assert made.lines()[-1]["checkpoint"] == made.bundles.find("latest").sha256()
    assert made.bundles.find("latest").data["reason"] == "final"
    assert made.best() == 250


def test_the_end_at_a_multiple_is_evaluated_once(make: Callable[..., Made]) -> None:
    """The last step of the budget is due for two reasons, and measured once."""
    made = make(**evaluated(), total_timesteps=200)
    made.train(1, 2)
    made.end()

    assert made.steps() == [100, 200]


def test_the_end_of_a_library_s_own_loop_is_evaluated(make: Callable[..., Made]) -> None:
    """A library that goes on to the end of its iteration is measured there, after the budget, with all that it learned."""
    made = make(**evaluated(), total_timesteps=200)
    made.train(1, 2)
    made.state.skill = 7
    made.run.advance(256)
    made.end()

    assert [(line["step"], line["return_mean"]) for line in made.lines()] == [(100, 3), (256, 21)]


def test_a_budget_in_episodes_ends_with_an_evaluation_too(make: Callable[..., Made]) -> None:
    """So does a backend that returns by itself."""
    made = make(**evaluated(), total_episodes=1)
    made.run.record_episode(1.0, 30)
    made.train(1, every=30)
    assert made.end().stopped_by == "episodes"
    assert made.steps() == [30]


def test_a_stopped_run_is_not_evaluated_at_its_end(make: Callable[..., Made]) -> None:
    """Who asks it to stop does not wait for an evaluation; the run is saved, and goes on later."""
    made = make(**evaluated())
    made.train(1)
    made.run.request_stop("enough")
    made.train(2)
    result = made.end()

    assert (result.status, result.step, made.steps()) == ("stopped", 200, [100])
    assert made.saved() == {100: "evaluation", 200: "final"}


def test_a_stop_during_an_evaluation_leaves_no_line(make: Callable[..., Made]) -> None:
    """Half of an evaluation is none: it ends at once, and the resumed run makes it at the same step."""
    made = make(**evaluated())
    made.train(1)
    acted = []
    made.state.when_acting = lambda: (acted.append(1), made.run.request_stop("enough"))
    made.train(5)
    result = made.end()

    assert (len(acted), result.status, result.step) == (1, "stopped", 200)
    assert (made.steps(), made.best(), sorted(made.saved())) == ([100], 100, [100, 200])

    resumed = make(**evaluated(), resumed=200)
    resumed.run.advance(200)
    assert (resumed.steps(), resumed.best(), resumed.lines()[1]["return_mean"]) == ([100, 200], 200, 15)


def test_a_stop_request_from_elsewhere_is_seen_during_an_evaluation(make: Callable[..., Made]) -> None:
    """The heart beats while it lasts: `runs stop` need not wait for a thousand episodes."""
    made = make(**evaluated(episodes=1000))

    def ask() -> None:
        made.directory.request_stop("asked from elsewhere")
        made.run._heartbeat.next_at = 0.0

    made.state.when_acting = ask
    made.train(1)

    assert (made.run.stop.reason, made.steps()) == ("asked from elsewhere", [])  # type: ignore[union-attr]


def test_a_request_after_the_budget_does_not_make_the_run_a_stopped_one(make: Callable[..., Made]) -> None:
    """The training is over: it is finished, and only its last evaluation is left out for who cannot wait."""
    made = make(**evaluated(), total_timesteps=200)
    made.train(1, 2)
    made.state.when_acting = lambda: made.run.request_stop("enough")
    result = made.end()

    assert (result.status, result.stopped_by, result.exit_code) == ("finished", "timesteps", 0)
    assert (made.steps(), made.saved()[200]) == ([100], "final")


def test_a_run_that_was_ended_early_can_be_hurried_too(make: Callable[..., Made]) -> None:
    """A request ends the evaluation that a run ended by early stopping still makes of its last policy."""
    made = make(**evaluated(), early_stopping={"metric": "training", "threshold": 1})
    made.train(1)
    for _ in range(100):
        made.run.record_episode(2.0, 1)
    made.train(2)
    made.state.when_acting = lambda: made.run.request_stop("enough")
    result = made.end()

    assert (result.status, result.stopped_by, made.steps()) == ("finished", "early_stopping", [100])


def test_a_training_that_attaches_nothing_cannot_be_evaluated(make: Callable[..., Made]) -> None:
    """A worker that declares `evaluate` and gives nothing to evaluate is told so, and not passed over."""
    made = make(**evaluated())
    made.run._safe_points.state = None

    with pytest.raises(RlctlError, match="toy attaches no state, so its policy cannot be evaluated"):
        made.train(1)


def test_a_wish_of_a_callback_does_not_tear_an_evaluation(make: Callable[..., Made]) -> None:
    """What ends the run as finished waits: the evaluation is made to its end."""
    made = make(**evaluated())
    made.state.when_acting = lambda: made.run.request_stop("solved", kind="hook")
    made.train(1, 2)
    result = made.end()

    assert (result.status, result.stopped_by, made.steps()) == ("finished", "hook", [100])


# ---- early stopping ------------------------------------------------------------------------------------------------


def test_early_stopping_ends_a_run_as_finished(make: Callable[..., Made]) -> None:
    """It is done: status finished, exit code 0, the reason in words and in one, and no evaluation more."""
    made = make(**evaluated(), early_stopping={"patience": 2})
    made.train(1, 5, 4, 3, 9)
    result = made.end()

    assert (result.status, result.exit_code, result.stopped_by, result.step) == ("finished", 0, "early_stopping", 400)
    assert result.reason == "early stopping: 2 evaluations without improvement on 15 (mean return of the evaluation)"
    assert (made.steps(), made.best()) == ([100, 200, 300, 400], 200)
    assert result.best_step == 200


def test_a_threshold_ends_a_run_at_that_evaluation(make: Callable[..., Made]) -> None:
    """The run that is solved is saved as it was measured."""
    made = make(**evaluated(), early_stopping={"threshold": 9})
    made.train(1, 3, 9)
    result = made.end()

    assert (result.step, result.stopped_by) == (200, "early_stopping")
    assert made.lines()[-1]["checkpoint"] == made.bundles.find("latest").sha256()


def test_patience_is_counted_on_by_a_resumed_run(make: Callable[..., Made]) -> None:
    """What was lost before a stop is not given back: evaluations.jsonl is the memory."""
    made = make(**evaluated(), early_stopping={"patience": 2})
    made.train(5, 4)
    made.run.request_stop("enough")
    made.train(3, every=50)
    made.end()

    resumed = make(**evaluated(), early_stopping={"patience": 2}, resumed=250)
    resumed.train(3, every=50)
    assert (resumed.steps(), resumed.run.stop.kind) == ([100, 200, 300], "early_stopping")  # type: ignore[union-attr]


# ---- the real thing: stopped, resumed, refused ---------------------------------------------------------------------


@pytest.fixture
def runs(cli: Cli, tmp_path: Path, site: Callable[..., Any]) -> Callable[[str], RunDirectory]:
    """Return `runs(id)`, the directory of a run; the toy worker is installed, whose policy gets better all the time."""
    site("toy_worker")
    return lambda run_id: RunDirectory(tmp_path / "runs" / run_id)


TOY = ("run", "toy", "--run-id", "r", "-n", "1000", "--evaluate-every", "100")


def found(directory: RunDirectory) -> list[tuple[Any, ...]]:
    """Return step and episodes of a run's evaluations; of their lines every one must be whole."""
    lines = directory.evaluations.read_text().splitlines()
    return [(item.step, item.measured) for item in evaluations_of(map(json.loads, lines))]


def test_a_run_that_is_cut_back_evaluates_again_and_has_another_best(
    cli: Cli, runs: Callable[[str], RunDirectory]
) -> None:
    """Going back forgets evaluations as it forgets episodes: `best` is one of the curve that there is now."""
    keep = ("--set", "checkpoint.keep_last=null")
    assert cli(*TOY, *keep, "--stop-at", 850).code == 75
    before = found(runs("r"))
    bundles = CheckpointFolder(runs("r").path / "checkpoints")
    assert ([step for step, _ in before], bundles.find("best").step) == ([*range(100, 900, 100)], 800)

    assert cli("resume", "r", "--checkpoint", "400", "--stop-at", "450").code == 75

    assert found(runs("r")) == before[:4]
    assert bundles.find("best").step == 400
    (last,) = (line for line in read_lines(runs("r").evaluations) if line["step"] == 400)
    assert last["checkpoint"] == bundles.find("400").sha256()


def test_a_stopped_and_resumed_run_has_the_evaluations_of_one_in_one_go(
    cli: Cli, runs: Callable[[str], RunDirectory]
) -> None:
    """Stopped at a multiple and between two, each time resumed: the same steps, seeds and returns."""
    assert cli(*TOY, "--stop-at", 300).code == 75
    assert cli("resume", "r", "--stop-at", 450).code == 75
    assert cli("resume", "r").code == 0
    assert cli("run", "toy", "--run-id", "whole", "-n", "1000", "--evaluate-every", "100").code == 0

    assert found(runs("r")) == found(runs("whole"))
    assert [step for step, _ in found(runs("r"))] == [*range(100, 1100, 100)]


def test_an_evaluation_at_the_end_stays_when_the_run_goes_on(cli: Cli, runs: Callable[[str], RunDirectory]) -> None:
    """With a longer budget its checkpoint is one among others: what was measured holds, is told once more, and not redone."""
    assert cli("run", "toy", "--run-id", "r", "-n", "250", "--evaluate-every", "100").code == 0
    before = list(read_lines(runs("r").evaluations))
    assert [line["step"] for line in before] == [100, 200, 250]

    assert cli("resume", "r", "-n", "400").code == 0

    lines = list(read_lines(runs("r").evaluations))
    assert (lines[:3], [line["step"] for line in lines[3:]]) == (before, [300, 400])
    told = [line["step"] for line in read_lines(runs("r").metrics) if "evaluation/return_mean" in line["values"]]
    assert told == [100, 200, 250, 300, 400]


def test_lines_that_are_no_evaluations_do_not_keep_a_run_from_going_on(
    cli: Cli, runs: Callable[[str], RunDirectory]
) -> None:
    """Half a line, or one of somebody else, costs only itself."""
    assert cli(*TOY, "--stop-at", 250).code == 75
    with runs("r").evaluations.open("a") as file:
        file.write('{"note": "mine"}\n{"step": 3')

    assert cli("resume", "r", "--stop-at", 350).code == 75

    assert [step for step, _ in found(runs("r"))] == [100, 200, 300]


def test_a_run_that_early_stopping_ended_is_resumed_only_without_it(
    cli: Cli, runs: Callable[[str], RunDirectory]
) -> None:
    """It has come to its end, says the refusal, and how to go on all the same; nothing is changed by it."""
    assert cli(*TOY, "--set", "early_stopping.threshold=4").code == 0
    result = read_json(runs("r").result) or {}
    assert (result["status"], result["stopped_by"], result["step"] < 1000) == ("finished", "early_stopping", True)

    refused = cli("resume", "r")
    assert (refused.code, refused.out) == (2, "")
    assert "run r was ended by early stopping: solved, mean return of the evaluation" in refused.err
    assert "Go on without early stopping: --no-early-stopping." in refused.err
    assert state_of(runs("r")) == "finished"

    assert cli("resume", "r", "--no-early-stopping").code == 0
    result = read_json(runs("r").result) or {}
    assert (result["step"], result["stopped_by"]) == (1000, "timesteps")
    assert [step for step, _ in found(runs("r"))] == [*range(100, 1100, 100)]
