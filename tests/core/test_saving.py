"""When a run saves itself, and when it must not: by steps, by seconds, at its end, and at safe points only."""

from __future__ import annotations

import errno
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlctl import hookimpl
from rlctl.errors import RlctlError
from rlctl.events import RunInfo
from rlctl.runs.checkpoints import Checkpoint, CheckpointFolder
from rlctl.runs.directory import RunDirectory, create
from rlctl.worker import main as process
from rlctl.worker.beginning import Resumed
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.run import Run
from rlctl.worker.saving import Saver, positions, versions

CONFIG: dict[str, Any] = {"env": {"id": "toy"}, "device": "cpu"}


class Counter:
    """A training that is one number; `fail` is raised by its next save."""

    def __init__(self) -> None:
        self.value = 0
        self.fail: BaseException | None = None

    def write_state(self, folder: Path) -> None:
        (folder / "weights.json").write_text(json.dumps(self.value))
        if self.fail is not None:
            raise self.fail

    def read_state(self, folder: Path) -> None:
        self.value = json.loads((folder / "weights.json").read_text())

    def read_weights(self, folder: Path) -> None:
        raise NotImplementedError

    def read_artefact(self, path: Path, trust: bool) -> None:
        raise NotImplementedError

    def policy(self, seed: int) -> Any:
        raise NotImplementedError


class Clock:
    """Stands in for the clock of a run."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _raise(name: str, hook: str, error: BaseException) -> None:
    raise error


class Made:
    """A run in this process with all that saving needs, and what it said."""

    def __init__(self, root: Path, resumed: Checkpoint | None = None, **settings: Any) -> None:
        known = root / "r"
        self.directory = RunDirectory(known) if known.exists() else create(root, "r", {"config.json": CONFIG})
        self.saved: list[tuple[int, str]] = []
        self.said: list[str] = []
        self.state = Counter()
        self.dispatcher = Dispatcher(_raise)
        config = {**CONFIG, **settings.pop("config", {})}
        saver = Saver(
            self.directory, {"algo": "count"}, on_saved=lambda checkpoint, reason: self.saved.append((checkpoint.step, reason)),
            report=self.said.append, **settings,
        )  # fmt: skip
        info = RunInfo(
            run_id="r", directory=self.directory.path, worker="toy", algo="count", env_id="toy", seed=1,
            total_timesteps=config.get("total_timesteps"), total_episodes=config.get("total_episodes"), config=config,
        )  # fmt: skip
        self.run = Run(
            info, directory=self.directory, hyperparameters={}, horizon=1000, dispatcher=self.dispatcher, saver=saver,
            beginning=Resumed(resumed) if resumed else None,
        )  # fmt: skip
        self.run.begin()
        self.run.attach(self.state)

    @property
    def bundles(self) -> CheckpointFolder:
        return CheckpointFolder(self.directory.path / "checkpoints")

    def advance_to(self, last: int, stride: int = 1, *, safe: bool = True) -> None:
        """Advance until `last`, stride by stride."""
        while self.state.value < last and self.run.advance(self.state.value, safe=safe):
            self.state.value += stride
        self.run.advance(self.state.value, safe=safe)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Made]:
    """Return `make(**settings of the saver, config=...)`: a run over the test's only directory."""
    return lambda **settings: Made(tmp_path, **settings)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let runs go by a clock of the test's own."""
    clock = Clock()
    monkeypatch.setattr("rlctl.worker.pace.time.perf_counter", clock)
    return clock


# ---- when it is due ------------------------------------------------------------------------------------------------


def test_every_so_many_steps(make: Callable[..., Made]) -> None:
    """With `every_steps` each multiple is saved, and nothing else."""
    made = make(every_steps=100)
    made.advance_to(350)

    assert made.saved == [(100, "periodic"), (200, "periodic"), (300, "periodic")]
    assert [bundle.step for bundle in made.bundles.all()] == [100, 200, 300]


def test_steps_that_jump_over_a_multiple(make: Callable[..., Made]) -> None:
    """A backend that advances by 64 is saved at its first step past each multiple, once."""
    made = make(every_steps=100)
    made.advance_to(64 * 6, 64)

    assert [step for step, _ in made.saved] == [128, 256, 320]


def test_every_so_many_seconds(make: Callable[..., Made], clock: Clock) -> None:
    """With `every_seconds` a save is due so long after the one before it."""
    made = make(every_seconds=10.0)
    for step in range(1, 36):
        clock.now += 1
        made.run.advance(step)

    assert [step for step, _ in made.saved] == [10, 20, 30]


def test_seconds_go_on_where_the_checkpoint_was(make: Callable[..., Made], clock: Clock) -> None:
    """A resumed run counts its seconds on, and does not save at once for those before the checkpoint."""
    first = make(every_seconds=300.0)
    clock.now += 400
    first.run.advance(5)
    resumed = make(every_seconds=300.0, resumed=first.bundles.find("latest"))
    clock.now += 50
    resumed.run.begin()

    assert resumed.run.restore()
    assert resumed.run.progress().seconds == 400
    clock.now += 299
    resumed.run.advance(6)
    assert resumed.saved == []
    clock.now += 1
    resumed.run.advance(7)
    assert resumed.saved == [(7, "periodic")]


def test_without_any_interval_only_the_end_is_saved(make: Callable[..., Made]) -> None:
    """Neither steps nor seconds: a run that is stopped has its final checkpoint all the same."""
    made = make()
    made.advance_to(500)
    assert made.saved == []

    made.run.request_stop("enough")
    made.run.advance(501)
    assert made.saved == [(501, "final")]


def test_without_a_state_nothing_is_saved(make: Callable[..., Made]) -> None:
    """A backend that attaches nothing has no checkpoints, and no folder for them."""
    made = make(every_steps=10)
    made.run._safe_points.saver.state = None  # type: ignore[union-attr]
    made.advance_to(100)
    made.run.save("final")

    assert not made.bundles.path.exists()


def test_no_step_is_saved_twice(make: Callable[..., Made]) -> None:
    """The last periodic checkpoint is the final one if no step came after it."""
    made = make(every_steps=100)
    made.advance_to(200)
    made.run.save("final")

    assert made.saved == [(100, "periodic"), (200, "periodic")]


def test_only_the_last_ones_are_kept(make: Callable[..., Made]) -> None:
    """`keep_last` bounds what a long run costs."""
    made = make(every_steps=100, keep_last=2)
    made.advance_to(1000)

    assert [bundle.step for bundle in made.bundles.all()] == [900, 1000]


def test_milestones_are_saved_and_kept_for_good(make: Callable[..., Made]) -> None:
    """A step in `milestones`, or the first safe point after it, is saved and outlives every bound on what is kept."""
    made = make(milestones=[100, 250], every_steps=300, keep_last=1)
    made.advance_to(64 * 20, 64)

    assert made.saved == [(128, "milestone"), (256, "milestone"), (320, "periodic"), (640, "periodic"),
                          (960, "periodic"), (1216, "periodic")]  # fmt: skip
    assert [bundle.step for bundle in made.bundles.all()] == [128, 256, 1216]


def test_a_checkpoint_for_another_reason_can_be_a_milestone(make: Callable[..., Made]) -> None:
    """Where a milestone meets the end of the run, or an interval, there is one bundle, and it is kept as a milestone."""
    made = make(milestones=[200, 350], every_steps=100, keep_last=1)
    made.advance_to(340)
    made.run.request_stop("enough")
    made.run.advance(360)

    assert made.saved == [(100, "periodic"), (200, "milestone"), (300, "periodic"), (360, "milestone")]
    assert [bundle.step for bundle in made.bundles.all()] == [200, 360]


def test_a_milestone_before_the_checkpoint_is_not_saved_again(make: Callable[..., Made]) -> None:
    """A resumed run has those behind it that its checkpoint has."""
    first = make(milestones=[100, 200])
    first.advance_to(150)
    first.run.request_stop("enough")
    first.run.advance(151)
    resumed = make(milestones=[100, 200], resumed=first.bundles.find("latest"))
    resumed.run.restore()
    resumed.advance_to(250)

    assert (first.saved, resumed.saved) == ([(100, "milestone"), (151, "final")], [(200, "milestone")])


# ---- safe points ---------------------------------------------------------------------------------------------------


def test_nothing_is_saved_where_it_is_not_safe(make: Callable[..., Made]) -> None:
    """What falls due at an unsafe point is saved at the next safe one."""
    made = make(every_steps=100)
    made.advance_to(150, safe=False)
    assert made.saved == []

    made.run.advance(150)
    assert made.saved == [(150, "periodic")]


def test_a_stop_waits_for_a_safe_point_to_be_saved(make: Callable[..., Made]) -> None:
    """A request that comes at an unsafe point is saved where the backend next is safe."""
    made = make()
    made.run.request_stop("enough")
    assert not made.run.advance(7, safe=False)
    assert made.saved == []

    assert not made.run.advance(9)
    assert made.saved == [(9, "final")]


def test_a_used_up_budget_in_steps_is_saved_after_the_training(make: Callable[..., Made]) -> None:
    """A library may go on to its natural end then: what it leaves is the final checkpoint, not what it had before."""
    made = make(config={"total_timesteps": 100})
    made.advance_to(100)
    assert made.saved == []

    made.state.value += 28
    made.run.advance(128)
    made.run.save("final")
    assert made.saved == [(128, "final")]


def test_an_exception_at_a_safe_point_leaves_an_emergency_checkpoint(make: Callable[..., Made]) -> None:
    """A callback that fails the run in `advance` costs none of the training."""

    class Critical:
        @hookimpl
        def rlctl_step(self, progress: Any) -> None:
            if progress.step == 50:
                raise RuntimeError("critical")

    made = make()
    made.dispatcher.register("critical", Critical())
    with pytest.raises(RuntimeError, match="critical"):
        made.advance_to(100)
    process._save_what_is_sound(made.run)

    assert made.saved == [(50, "emergency")]


def test_an_exception_elsewhere_leaves_none(make: Callable[..., Made]) -> None:
    """Where the backend itself fails its state may be half of one: nothing is saved."""
    made = make()
    made.advance_to(50)
    process._save_what_is_sound(made.run)
    assert made.saved == []

    made.dispatcher.register("critical", type("Critical", (), {"rlctl_step": hookimpl(_fail)})())
    with pytest.raises(RuntimeError):
        made.run.advance(51, safe=False)
    process._save_what_is_sound(made.run)
    process._save_what_is_sound(None)
    assert made.saved == []


def _fail(self: Any) -> None:
    raise RuntimeError("critical")


def test_an_emergency_that_cannot_be_saved_hides_nothing(make: Callable[..., Made]) -> None:
    """If saving was what failed, the second failure is swallowed: the first one is reported."""
    made = make(every_steps=10)
    made.state.fail = TypeError("no data")
    with pytest.raises(TypeError, match="no data"):
        made.advance_to(10)
    process._save_what_is_sound(made.run)

    assert made.bundles.all() == []
    assert list(made.bundles.path.iterdir()) == []


# ---- what is saved -------------------------------------------------------------------------------------------------


def test_the_counts_come_back(make: Callable[..., Made]) -> None:
    """Step, episodes and the returns of the last hundred are restored, NaN and infinities too."""
    made = make()
    for index in range(120):
        made.run.record_episode(float(index), 5)
    for value in (math.inf, -math.inf, math.nan):
        made.run.record_episode(value, 5)
    made.state.value = 7
    made.run.advance(615)
    made.run.save("final")
    resumed = make(resumed=made.bundles.find("latest"))

    assert resumed.run.resume_path == made.bundles.find("latest").path
    assert resumed.run.restore()
    assert (resumed.run.step, resumed.run.episodes, resumed.state.value) == (615, 123, 7)
    assert repr(list(resumed.run.last_returns)) == repr(list(made.run.last_returns))
    assert resumed.run.resume_path is None
    assert not resumed.run.restore()


def test_the_files_lengths_are_saved(make: Callable[..., Made]) -> None:
    """A checkpoint knows how far the curve was, so that what came after it can be cut away."""
    made = make()
    (made.directory.path / "episodes.jsonl").write_text("{}\n" * 5)
    made.run.advance(10)
    made.run.save("final")

    assert made.bundles.find("latest").data["positions"] == {"episodes.jsonl": 15}
    assert positions(made.directory.path) == {"episodes.jsonl": 15}


def test_versions_are_of_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python and rlctl are named, and of libraries only those that this process has imported."""
    import rlctl

    monkeypatch.delitem(sys.modules, "ale_py", raising=False)  # another test's import
    found = versions()
    assert found["rlctl"] == rlctl.__version__
    assert "python" in found
    assert "ale-py" not in found


def test_nothing_is_saved_before_what_is_resumed_was_restored(make: Callable[..., Made]) -> None:
    """A resumed run that ends while it is still being built must not overwrite its checkpoint with a beginner."""
    made = make()
    made.state.value = 9
    made.run.advance(100)
    made.run.save("final")
    resumed = make(resumed=made.bundles.find("latest"), every_steps=1)
    resumed.run.request_stop("at once")
    with pytest.raises(RlctlError, match=r"toy began to train without `run.restore\(\)`"):
        resumed.run.advance(0)
    resumed.run.save("final")

    assert resumed.saved == []
    assert [bundle.step for bundle in made.bundles.all()] == [100]


# ---- disks ---------------------------------------------------------------------------------------------------------


def test_a_failing_disk_is_reported_and_tried_again_when_the_next_is_due(make: Callable[..., Made]) -> None:
    """The run goes on, what was saved stays, and the next one is saved when there is room again."""
    made = make(every_steps=100)
    made.advance_to(100)
    made.state.fail = OSError(errno.ENOSPC, "No space left on device")
    made.advance_to(250)
    assert made.said == ["checkpoint at step 200 could not be saved: No space left on device"]
    made.state.fail = None
    made.advance_to(300)

    assert made.saved == [(100, "periodic"), (300, "periodic")]
    assert sorted(path.name for path in made.bundles.path.iterdir()) == [
        "latest",
        "step-000000000100",
        "step-000000000300",
    ]


def test_a_failing_disk_ends_the_run_where_that_is_wanted(make: Callable[..., Made]) -> None:
    """With `on_error: stop` it is an error with the step and the reason."""
    made = make(every_steps=100, on_error="stop")
    made.state.fail = OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RlctlError, match="checkpoint at step 100 could not be saved: No space left on device"):
        made.advance_to(200)
    assert made.said == []


def test_a_milestone_that_could_not_be_saved_is_made_up_for(make: Callable[..., Made]) -> None:
    """On a full disk a milestone is lost; the next checkpoint takes its place, and is kept as one."""
    made = make(milestones=[100], every_steps=150, keep_last=1)
    made.state.fail = OSError(errno.ENOSPC, "No space left on device")
    made.advance_to(120, 10)
    made.state.fail = None
    made.advance_to(450, 10)

    assert made.saved == [(150, "milestone"), (300, "periodic"), (450, "periodic")]
    assert [bundle.step for bundle in made.bundles.all()] == [150, 450]
