"""A picture of the training, drawn when the run has ended: returns, evaluations, losses, and the rates of schedules.

matplotlib is imported when there is something to draw, and without pyplot: no window, no state that others would share.
"""

from __future__ import annotations

import math
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlctl import Metrics, Result, RunInfo, hookimpl
from rlctl.events import episodes_of
from rlctl.runs.files import read_lines

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Places = NDArray[np.intp]

_BLUE, _ORANGE, _PURPLE, _GREEN, _RED = "#33669a", "#e07b22", "#8e4585", "#3a8a4d", "#cc2233"
_GREY = "#555555"
_PANELS = {
    "train/loss": ("loss", _PURPLE),
    "train/policy_loss": ("policy loss", _PURPLE),
    "train/value_loss": ("value loss", _PURPLE),
    "train/exploration_rate": ("exploration rate", _GREEN),
    "train/learning_rate": ("learning rate", _GREEN),
}
"""The metrics that are drawn, each in a panel of its own, as their scales differ: name → label and colour."""

_COLUMNS = 2000
"""More than the columns of pixels in the picture: what is closer together than that cannot be seen."""

_LARGEST = 1e300
"""What is not smaller counts as not finite: matplotlib's own arithmetic would make it infinite."""


class Curves:
    """Writes `plots/training_curves.png` into the run's directory at its end, also of a run that failed or was killed.

    `window`: training episodes over which the mean return is taken; of hundreds of thousands it is taken over more, and the
    legend says how many. A run that left nothing to draw gets no file.
    """

    def __init__(self, run: RunInfo, window: int = 100) -> None:
        self._window = window

    @hookimpl
    def rlctl_run_ended(self, run: RunInfo, result: Result) -> None:
        title = f"{run.worker}/{run.algo} on {run.env_id}, seed {run.seed}, {result.status}"
        drawn = figure(run.directory, title, self._window)
        if drawn is not None:
            _save(drawn, run.directory / "plots" / "training_curves.png")


def figure(directory: Path, title: str = "", window: int = 100) -> Figure | None:
    """Return the curves of the run in `directory`, a panel for each kind of data; None when it left none.

    Read are episodes.jsonl, evaluations.jsonl and metrics.jsonl, as far as they are there, and the changes of a curriculum's
    stage from events.jsonl: a vertical line each. What is not finite is no point of a curve, but marked at the bottom of its
    panel.
    """
    episodes, evaluations, metrics = _Points(), _Points(), {name: _Points() for name in _PANELS}
    for episode in episodes_of(read_lines(directory / "episodes.jsonl")):
        episodes.add(episode.step, episode.episode_return)
    for line in read_lines(directory / "evaluations.jsonl"):
        evaluations.add(line.get("step"), line.get("return_mean"), line.get("return_std"))
    for reported in _metrics_of(read_lines(directory / "metrics.jsonl")):
        for name in reported.values.keys() & _PANELS:
            metrics[name].add(reported.step, reported.values[name])
    changes = _stage_changes(read_lines(directory / "events.jsonl"))
    return _draw(
        title, window, episodes, evaluations, {name: points for name, points in metrics.items() if points}, changes
    )


# ---- data ----------------------------------------------------------------------------------------------------------


class _Points:
    """What there is to draw of one kind: rows of step, value and spread, as they were read."""

    def __init__(self) -> None:
        self._rows = array("d")

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, step: Any, value: Any, spread: Any = 0.0) -> None:
        """Add a value at a step, if there is one; a text such as "nan" is the number that it names."""
        at = _number(step)
        if abs(at) < _LARGEST:  # which NaN is not
            self._rows.extend((at, _number(value), _number(spread)))

    def columns(self) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Return steps, values and spreads of what can be drawn, in the order of steps, and the steps of what cannot."""
        import numpy as np

        table = np.array(self._rows).reshape(-1, 3)
        table = table[np.argsort(table[:, 0], kind="stable")]
        drawable = np.abs(table) < _LARGEST
        table[~drawable[:, 2], 2] = 0.0
        steps, values, spreads = table[drawable[:, 1]].T
        return steps, values, spreads, table[~drawable[:, 1], 0]


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _metrics_of(lines: Iterable[Mapping[str, Any]]) -> Iterator[Metrics]:
    for line in lines:
        try:
            metrics = Metrics.from_json(line)
        except (KeyError, TypeError, AttributeError):
            continue
        yield metrics


def _stage_changes(lines: Iterable[Mapping[str, Any]]) -> list[float]:
    """Return the steps at which stages of a curriculum began; those after a checkpoint that was resumed are forgotten."""
    steps: list[float] = []
    for line in lines:
        step = _number(line.get("step"))
        if line.get("type") == "run_resumed":
            steps = [known for known in steps if known <= step]
        elif line.get("type") == "stage_changed" and abs(step) < _LARGEST:
            steps.append(step)
    return steps


def _visible(values: Numbers) -> Places:
    """Return the places of what can be seen of a long line: the least and the greatest of each of many short stretches."""
    import numpy as np

    places = np.arange(len(values))
    if len(places) <= 2 * _COLUMNS:
        return places
    stretches = np.array_split(places, _COLUMNS)
    return np.unique([(part[values[part].argmin()], part[values[part].argmax()]) for part in stretches])


def _moving_mean(values: Numbers, window: int) -> tuple[Places, Numbers]:
    """Return places along a line, all if there are few, and at each the mean of the last `window` values up to it.

    Each is summed anew: a sum that is carried along keeps the rounding errors of a value that has long left the window.
    """
    import numpy as np

    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), _COLUMNS)).astype(np.intp))
    return places, np.array([values[max(0, place + 1 - window) : place + 1].mean() for place in places])


# ---- drawing -------------------------------------------------------------------------------------------------------


def _draw(
    title: str,
    window: int,
    episodes: _Points,
    evaluations: _Points,
    metrics: Mapping[str, _Points],
    changes: Iterable[float],
) -> Figure | None:
    heights = [3.6] * bool(episodes or evaluations) + [1.7] * len(metrics)
    if not heights:
        return None

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(10, sum(heights) + 0.9), layout="constrained")
    FigureCanvasAgg(drawn)
    drawn.suptitle(title, parse_math=False, fontweight="bold")
    panels = list(drawn.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    if episodes or evaluations:
        _draw_returns(panels[0], window, episodes, evaluations)
    for panel, (name, points) in zip(panels[len(heights) - len(metrics) :], metrics.items(), strict=True):
        _draw_metric(panel, *_PANELS[name], points)
    for panel in panels:
        for number, step in enumerate(changes):
            label = "next stage of the curriculum" if number == 0 and panel is panels[0] else None
            panel.axvline(step, color=_GREY, linestyle=":", linewidth=1.2, label=label)
        _finish(panel)
    panels[-1].set_xlabel("environment steps")
    panels[-1].set_xlim(left=0)
    drawn.align_ylabels()
    return drawn


def _draw_returns(panel: Axes, window: int, episodes: _Points, evaluations: _Points) -> None:
    panel.set_ylabel("return")
    steps, values, _, lost = episodes.columns()
    if len(steps):
        _draw_line(panel, steps, values, color=_BLUE, alpha=0.4, linewidth=0.7, label="training episodes")
        window = max(window, math.ceil(len(values) / _COLUMNS))  # or some episodes would be in none of the means
        places, means = _moving_mean(values, window)
        panel.plot(steps[places], means, color=_BLUE, linewidth=1.8, label=f"mean of the last {_text(window)}")
    steps, means, spreads, lost_means = evaluations.columns()
    if len(steps):
        low, high = means - spreads, means + spreads
        panel.fill_between(steps, low, high, color=_ORANGE, alpha=0.2, linewidth=0)
        panel.vlines(steps, low, high, color=_ORANGE, alpha=0.4, linewidth=0.8)
        panel.plot(steps, means, color=_ORANGE, marker="o", markersize=4, linewidth=1.2, label="evaluations ± std")
        best, step = max(zip(means, steps, strict=True))  # of equal ones the later, as the checkpoint `best` is
        said = f"best evaluation: {_text(round(best, 2))} at step {_text(step)}"
        panel.axhline(best, color=_ORANGE, linestyle="--", linewidth=1, label=said)
    _mark_lost(panel, sorted([*lost, *lost_means]))


def _draw_metric(panel: Axes, label: str, color: str, points: _Points) -> None:
    import numpy as np

    panel.set_ylabel(label)
    steps, values, _, lost = points.columns()
    if len(steps):
        _draw_line(panel, steps, values, color=color, linewidth=0.8)
        low, high = np.percentile(values, (1, 99))
        if values.min() > 0 and high > 1000 * low:
            panel.set_yscale("log")
    else:
        panel.set_yticks([])
    _mark_lost(panel, list(lost))


def _draw_line(panel: Axes, steps: Numbers, values: Numbers, **style: Any) -> None:
    seen = _visible(values)
    marker = "." if len(steps) == 1 else ""  # a line through one point is none
    panel.plot(steps[seen], values[seen], marker=marker, **style)


def _mark_lost(panel: Axes, steps: list[float]) -> None:
    """Mark at the bottom where values are not finite: a curve that just ends would not say why."""
    if steps:
        said = f"not finite: {_text(len(steps))}, the first at step {_text(steps[0])}"
        seen = steps[:: 1 + len(steps) // _COLUMNS]
        bottom = panel.get_xaxis_transform()
        panel.plot(seen, [0.0] * len(seen), "|", color=_RED, markersize=10, transform=bottom, label=said)


def _finish(panel: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.grid(alpha=0.25)
    panel.margins(x=0.02)
    panel.spines[["top", "right"]].set_visible(False)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, steps=[1, 2, 2.5, 5, 10]))
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(lambda value, _: _text(value))
    if panel.get_legend_handles_labels()[0]:
        panel.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize="small", borderaxespad=0.2
        )


def _text(value: float) -> str:
    """Return a number in groups of three digits."""
    return f"{value:,.12g}".replace(",", " ")


def _save(drawn: Figure, path: Path) -> None:
    """Write the picture whole or not at all; raises OSError."""
    path.parent.mkdir(exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            drawn.savefig(file, format="png", dpi=150)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
