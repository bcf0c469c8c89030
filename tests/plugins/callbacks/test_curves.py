"""`curves`: what a run left in its files is in the picture, and nothing that is in them breaks it."""

import json
import math
import stat
import subprocess
import sys

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from rlctl import Result
from rlctl.testing import CallbackContract, fake_run
from rlctl_callbacks.curves import Curves, figure

END = Result(status="finished", reason="over")
LOST = "not finite: "


class TestCurves(CallbackContract):
    """A picture, drawn in the host."""

    callback = "curves"
    options = {"window": 10}


@pytest.fixture
def info(tmp_path):
    """A run to write into."""
    return fake_run(tmp_path / "runs").info


def leave(directory, name, lines, torn=""):
    """Write a file of JSON lines, with the beginning of another line if `torn` says so."""
    (directory / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines) + torn)


def episodes(returns, every=10):
    """Return lines of episodes.jsonl, one each `every` steps; None is a NaN, as `jsonl` writes it."""
    rest = {"length": every, "env": 0, "seconds": 0.5}
    lines = [{"episode": i, "step": every * (i + 1), "return": value, **rest} for i, value in enumerate(returns)]
    return [line if line["return"] is not None else {**line, "nonfinite": {"return": "nan"}} for line in lines]


def metrics(*values, every=100):
    """Return lines of metrics.jsonl, one each `every` steps; None is an infinity, as `jsonl` writes it."""
    lost = [{name: "inf" for name, value in found.items() if value is None} for found in values]
    lines = [{"step": every * (i + 1), "seconds": 0.5, "values": found} for i, found in enumerate(values)]
    return [{**line, "nonfinite": names} if names else line for line, names in zip(lines, lost, strict=True)]


def evaluations(*means, std=2.0, every=1000):
    """Return lines of evaluations.jsonl, one each `every` steps."""
    return [{"step": every * (i + 1), "return_mean": value, "return_std": std} for i, value in enumerate(means)]


def panels(drawn):
    """Return label of the y axis → axes, from the top to the bottom."""
    return {axes.get_ylabel(): axes for axes in drawn.axes}


def line(axes, beginning):
    """Return (x, y) of the one line whose label begins so."""
    (found,) = [item for item in axes.get_lines() if item.get_label().startswith(beginning)]
    return found.get_xdata(), found.get_ydata()


def labels(axes):
    """Return what stands in the legend."""
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


# ---- panels --------------------------------------------------------------------------------------------------------


def test_each_kind_of_data_has_a_panel(tmp_path):
    """Returns, each loss and each rate have a panel of their own; other metrics have none."""
    leave(tmp_path, "episodes.jsonl", episodes([1, 2]))
    names = ["exploration_rate", "value_loss", "loss", "policy_loss", "learning_rate", "q_value"]
    leave(tmp_path, "metrics.jsonl", metrics({f"train/{name}": 0.5 for name in names}))
    expected = ["return", "loss", "policy loss", "value loss", "exploration rate", "learning rate"]
    assert list(panels(figure(tmp_path))) == expected


@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [
        ("episodes.jsonl", episodes([1, 2]), "return"),
        ("evaluations.jsonl", evaluations(1), "return"),
        ("metrics.jsonl", metrics({"train/loss": 1.0}), "loss"),
    ],
)
def test_what_there_is_no_data_for_has_no_panel(tmp_path, name, lines, expected):
    """Of a run with one file only that file's panel is drawn."""
    leave(tmp_path, name, lines)
    assert list(panels(figure(tmp_path))) == [expected]


def test_panels_share_the_axis_of_steps(tmp_path):
    """All panels have the same steps, from 0 on; the lowest says what they are."""
    leave(tmp_path, "episodes.jsonl", episodes([1, 2]))
    leave(tmp_path, "metrics.jsonl", metrics({"train/loss": 1.0}, {"train/loss": 2.0}))
    upper, lower = figure(tmp_path).axes
    assert upper.get_xlim() == lower.get_xlim()
    assert lower.get_xlim()[0] == 0
    assert lower.get_xlim()[1] >= 200
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", "environment steps")


def test_numbers_are_grouped_by_thousands(tmp_path):
    """Ticks of steps and of returns have a space between groups of three digits."""
    leave(tmp_path, "episodes.jsonl", episodes([0, -25_000], every=1_000_000))
    drawn = figure(tmp_path)
    drawn.canvas.draw()
    (axes,) = drawn.axes
    assert "1 000 000" in [tick.get_text() for tick in axes.get_xticklabels()]
    assert "-20 000" in [tick.get_text() for tick in axes.get_yticklabels()]


# ---- returns -------------------------------------------------------------------------------------------------------


def test_a_new_stage_of_a_curriculum_is_a_vertical_line_in_each_panel(tmp_path):
    """Those after a checkpoint from which the run went on are told anew."""
    leave(tmp_path, "episodes.jsonl", episodes([3, 1, 2]))
    leave(tmp_path, "metrics.jsonl", metrics({"train/loss": 1.0}, {"train/loss": 2.0}))
    told = [("stage_changed", 20), ("stage_changed", 90), ("run_resumed", 50), ("stage_changed", 100)]
    leave(tmp_path, "events.jsonl", [{"type": kind, "step": step} for kind, step in told])
    for axes in figure(tmp_path).axes:
        dotted = [drawn for drawn in axes.lines if drawn.get_linestyle() == ":"]
        assert [drawn.get_xdata()[0] for drawn in dotted] == [20, 100]
    assert "next stage of the curriculum" in labels(figure(tmp_path).axes[0])


def test_every_return_is_drawn_at_its_step(tmp_path):
    """The thin line has each training episode, at the step where it ended."""
    leave(tmp_path, "episodes.jsonl", episodes([3, 1, 2]))
    steps, returns = line(figure(tmp_path).axes[0], "training episodes")
    assert (list(steps), list(returns)) == ([10, 20, 30], [3, 1, 2])


def test_returns_are_smoothed_over_the_window(tmp_path):
    """The thick line is the mean of the last `window` episodes, of fewer where there are fewer."""
    leave(tmp_path, "episodes.jsonl", episodes([1, 3, 5, 10]))
    steps, means = line(figure(tmp_path, window=2).axes[0], "mean of the last 2")
    assert (list(steps), list(means)) == ([10, 20, 30, 40], [1, 2, 4, 7.5])


def test_an_outlier_that_has_left_the_window_leaves_no_trace(tmp_path):
    """A mean is exact however large a return was before its window."""
    leave(tmp_path, "episodes.jsonl", episodes([1e200, 0.1, 0.2, 0.3]))
    _, means = line(figure(tmp_path, window=1).axes[0], "mean of the last 1")
    assert list(means) == [1e200, 0.1, 0.2, 0.3]


def test_a_lone_episode_can_be_seen(tmp_path):
    """A line through one point is none, so that has a marker."""
    leave(tmp_path, "episodes.jsonl", episodes([7]))
    assert figure(tmp_path).axes[0].get_lines()[0].get_marker() == "."


def test_evaluations_are_points_in_a_band(tmp_path):
    """Evaluations are points at their mean, joined in the order of steps, in a band of one standard deviation."""
    leave(tmp_path, "evaluations.jsonl", evaluations(10, 30, 20)[::-1])
    (axes,) = figure(tmp_path).axes
    steps, means = line(axes, "evaluations ± std")
    assert (list(steps), list(means)) == ([1000, 2000, 3000], [10, 30, 20])
    corners = {tuple(corner) for corner in axes.collections[0].get_paths()[0].vertices}
    assert {(1000, 8), (1000, 12), (2000, 28), (2000, 32), (3000, 18), (3000, 22)} <= corners


def test_the_best_evaluation_has_a_dashed_line(tmp_path):
    """A dashed line across the panel is at the best mean; the legend has its value and step."""
    leave(tmp_path, "evaluations.jsonl", evaluations(10, 1234.567, 20))
    (axes,) = figure(tmp_path).axes
    _, height = line(axes, "best evaluation")
    assert list(height) == [1234.567, 1234.567]
    assert "best evaluation: 1 234.57 at step 2 000" in labels(axes)
    assert axes.get_lines()[-1].get_linestyle() == "--"


def test_of_equal_evaluations_the_later_is_the_best(tmp_path):
    """That is the one whose checkpoint is called `best`."""
    leave(tmp_path, "evaluations.jsonl", evaluations(500, 500, 20))
    assert "best evaluation: 500 at step 2 000" in labels(figure(tmp_path).axes[0])


# ---- losses and rates ----------------------------------------------------------------------------------------------


def test_a_metric_is_drawn_at_its_steps(tmp_path):
    """A panel has the points of its metric, also if that is not in every line."""
    leave(tmp_path, "metrics.jsonl", metrics({"train/loss": 1.5}, {"train/q_value": 1.0}, {"train/loss": 0.5}))
    (drawn,) = figure(tmp_path).axes[0].get_lines()
    assert drawn.get_xydata().tolist() == [[100, 1.5], [300, 0.5]]


@pytest.mark.parametrize(
    ("values", "scale"),
    [((1000.0, 10.0, 0.01), "log"), ((1.0, 2.0, 3.0), "linear"), ((1000.0, -0.01, 0.01), "linear"), ((0.0,), "linear")],
)
def test_orders_of_magnitude_have_a_logarithmic_axis(tmp_path, values, scale):
    """A loss that falls by more than a factor of thousand, and is never 0 or less, could not be read on a linear axis."""
    leave(tmp_path, "metrics.jsonl", metrics(*({"train/loss": value} for value in values)))
    assert figure(tmp_path).axes[0].get_yscale() == scale


# ---- what is not as it should be -----------------------------------------------------------------------------------


def test_what_is_not_finite_is_marked_where_it_was(tmp_path):
    """A NaN or infinity is no point of a curve; a mark is at its step, and the legend counts them."""
    leave(tmp_path, "episodes.jsonl", episodes([1, None, 3, None]))
    leave(tmp_path, "evaluations.jsonl", [*evaluations(5), {"step": 1500, "return_mean": "nan", "return_std": "nan"}])
    leave(tmp_path, "metrics.jsonl", metrics({"train/loss": 1.0}, {"train/loss": None}))
    returns, losses = figure(tmp_path).axes
    assert list(line(returns, "training episodes")[1]) == [1, 3]
    assert list(line(returns, "evaluations")[0]) == [1000]
    assert list(line(returns, LOST)[0]) == [20, 40, 1500]
    assert list(line(losses, LOST)[0]) == [200]
    assert labels(losses) == ["not finite: 1, the first at step 200"]


def test_a_mean_with_a_spread_that_is_none_is_drawn_without(tmp_path):
    """An evaluation whose standard deviation is no number is a point all the same."""
    leave(tmp_path, "evaluations.jsonl", evaluations(10, 20, std="nan"))
    (axes,) = figure(tmp_path).axes
    assert list(line(axes, "evaluations")[1]) == [10, 20]
    assert {y for _, y in axes.collections[0].get_paths()[0].vertices} == {10, 20}


def test_a_run_with_nothing_finite_is_a_picture_that_says_so(info):
    """Panels whose every value is NaN are drawn, with the marks alone."""
    leave(info.directory, "episodes.jsonl", episodes([None, None]))
    leave(info.directory, "metrics.jsonl", metrics({"train/loss": None}))
    Curves(info).rlctl_run_ended(info, END)
    assert (info.directory / "plots" / "training_curves.png").stat().st_size > 1000
    assert [labels(axes) for axes in figure(info.directory).axes] == [
        ["not finite: 2, the first at step 10"],
        ["not finite: 1, the first at step 100"],
    ]


@pytest.mark.parametrize("value", [1.79e308, -1.79e308, 10**400, "text", [1], True])
def test_no_value_breaks_it(info, value):
    """What is too large for a picture, or no number at all, costs at most its own point."""
    leave(info.directory, "episodes.jsonl", episodes([1, value, 3]))
    leave(info.directory, "evaluations.jsonl", evaluations(1, value, std=value))
    leave(info.directory, "metrics.jsonl", metrics({"train/loss": 1}, {"train/loss": value}))
    Curves(info).rlctl_run_ended(info, END)
    assert (info.directory / "plots" / "training_curves.png").exists()
    assert {1, 3} <= set(line(figure(info.directory).axes[0], "training episodes")[1])


@pytest.mark.parametrize("name", ["episodes.jsonl", "evaluations.jsonl", "metrics.jsonl"])
def test_torn_and_foreign_lines_are_passed_over(tmp_path, name):
    """A last line that a kill has torn is not read, and neither is one of something else."""
    whole = {
        "episodes.jsonl": episodes([1, 2]),
        "evaluations.jsonl": evaluations(1, 2),
        "metrics.jsonl": metrics({"train/loss": 1.0}, {"train/loss": 2.0}),
    }
    torn = json.dumps(whole[name][0])[:-3]
    foreign = [{"step": None}, {"values": 3}, {"step": 7, "values": {"train/loss": None}}, [1], "x"]
    if name == "evaluations.jsonl":
        foreign = [{"step": None}, {"return_mean": 3.0}, [1], "x"]
    leave(tmp_path, name, [*foreign, *whole[name]], torn)
    first = figure(tmp_path).axes[0].get_lines()[0]
    assert list(first.get_ydata()) == [1, 2]
    assert not [item for item in figure(tmp_path).axes[0].get_lines() if item.get_label().startswith(LOST)]


def test_a_run_that_left_nothing_has_no_picture(info):
    """Without episodes, evaluations and metrics there is no file, no folder and no error; a line without a step is none."""
    leave(info.directory, "episodes.jsonl", [])
    leave(info.directory, "evaluations.jsonl", [{"step": None, "return_mean": 3.0}])
    Curves(info).rlctl_run_ended(info, END)
    assert not (info.directory / "plots").exists()


def test_the_extremes_of_a_long_run_are_drawn(tmp_path):
    """Of many episodes no more points are drawn than can be seen, but the least and the greatest return are."""
    returns = [float(i % 7) for i in range(20_000)]
    returns[12_345], returns[777] = 1000.0, -1000.0
    leave(tmp_path, "episodes.jsonl", episodes(returns))
    (axes,) = figure(tmp_path).axes
    steps, seen = line(axes, "training episodes")
    assert len(seen) <= 4000
    assert {(7_780, -1000.0), (123_460, 1000.0)} <= set(zip(steps, seen, strict=True))


def test_no_episode_of_a_long_run_is_outside_of_all_means(tmp_path):
    """Where there are more episodes than means can be seen, each mean is of more than `window`, and the legend says so."""
    leave(tmp_path, "episodes.jsonl", episodes([float(i % 10) for i in range(20_000)]))
    _, means = line(figure(tmp_path, window=3).axes[0], "mean of the last 10")
    assert len(means) <= 2000
    assert all(math.isclose(mean, 4.5) for mean in means[1:])


# ---- the file ------------------------------------------------------------------------------------------------------


def test_the_picture_says_which_run_it_is_of(info, monkeypatch):
    """The title has worker, algorithm, environment, seed and status; signs of a formula in it are just signs."""
    import attrs

    titles = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: titles.append(self.get_suptitle()))
    info = attrs.evolve(info, env_id="$x_1$", seed=7)
    leave(info.directory, "episodes.jsonl", episodes([1, 2]))
    Curves(info).rlctl_run_ended(info, Result(status="failed", reason="it was told to"))
    assert titles == ["test/test on $x_1$, seed 7, failed"]
    monkeypatch.undo()
    Curves(info).rlctl_run_ended(info, END)


def test_the_picture_can_be_opened(info):
    """The file is a PNG of ten inches at 150 dots each, that others may read, and the only one in its folder."""
    leave(info.directory, "episodes.jsonl", episodes([1, 2]))
    Curves(info).rlctl_run_ended(info, END)
    (path,) = (info.directory / "plots").iterdir()
    assert path.name == "training_curves.png"
    assert imread(path).shape[1] == 1500
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_picture_is_replaced_whole(info, monkeypatch):
    """A write that fails half-way is raised, leaves the picture that was there, and no other file."""
    leave(info.directory, "episodes.jsonl", episodes([1, 2]))
    Curves(info).rlctl_run_ended(info, END)
    path = info.directory / "plots" / "training_curves.png"
    before = path.read_bytes()

    def full_disk(self, file, **_):
        file.write(b"\x89PNG")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    with pytest.raises(OSError, match="No space left"):
        Curves(info).rlctl_run_ended(info, END)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


def test_matplotlib_is_imported_only_to_draw_and_never_pyplot(tmp_path):
    """Making the callback imports neither matplotlib nor numpy; drawing imports no pyplot and changes no settings."""
    leave(tmp_path, "episodes.jsonl", episodes([1, 2]))
    program = f"""
import sys
from pathlib import Path
from rlctl_callbacks.curves import Curves, _save, figure
Curves(None)
print([name for name in ("matplotlib", "numpy", "torch") if name in sys.modules])
import matplotlib
before = matplotlib.rcParams.copy()
_save(figure(Path({str(tmp_path)!r})), Path({str(tmp_path)!r}) / "plots" / "x.png")
print("matplotlib.pyplot" in sys.modules, matplotlib.rcParams.copy() == before)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == ["[]", "False True"]


# ---- runs ----------------------------------------------------------------------------------------------------------


def test_a_real_run_leaves_a_picture(tmp_path):
    """A short training of `dqn` that names the callback has the file at its end."""
    pytest.importorskip("rlctl_dqn")
    from rlctl import RunConfig, run

    callbacks = {"jsonl": {}, "curves": {}, "progress": False}
    settings = {"learning_starts": 200}
    config = RunConfig(worker="dqn", total_timesteps=600, hyperparameters=settings, callbacks=callbacks)
    outcome = run(config, runs_dir=tmp_path)
    assert outcome.result.status == "finished", outcome.result.reason
    assert imread(outcome.directory / "plots" / "training_curves.png").shape[1] == 1500
    steps, _ = line(figure(outcome.directory).axes[0], "training episodes")
    assert list(steps) == [episode.step for episode in outcome.episodes()]


def test_a_run_that_fails_leaves_a_picture(site, tmp_path):
    """A run whose worker raises is drawn up to that point."""
    from rlctl import RunConfig, run

    site("toy_worker")
    config = RunConfig(worker="toy", hyperparameters={"raise_at": 200}, callbacks={"progress": False, "curves": {}})
    outcome = run(config, runs_dir=tmp_path)
    assert outcome.result.status == "failed"
    assert (outcome.directory / "plots" / "training_curves.png").exists()
