"""What this package brings to rlctl: descriptors, and what it checks of a run before it starts."""

from collections.abc import Iterable
from typing import Any

from rlctl import CallbackDescriptor, EnvFacts, ExportDescriptor, Parameter, Problem, Process, RunConfig, hookimpl
from rlctl_callbacks.recorders import formats_of_records, recorders

_PATIENCE = Parameter(
    name="patience", kinds=("number",), default=60.0, exclusive_minimum=0,
    doc="Seconds that the end of the run waits for what is still to be sent.",
)  # fmt: skip
_FLUSH = Parameter(
    name="flush_seconds", kinds=("number",), default=10.0, exclusive_minimum=0, doc="Longest time until a point is on disk."
)  # fmt: skip
_INTERVAL = Parameter(
    name="interval", kinds=("number",), default=10.0, exclusive_minimum=0, doc="Seconds between lines without a terminal."
)  # fmt: skip


def _whole(name: str, default: int, doc: str) -> Parameter:
    return Parameter(name=name, kinds=("integer",), default=default, minimum=1, doc=doc)


def _text(name: str, default: str, doc: str, choices: tuple[str, ...] = ()) -> Parameter:
    return Parameter(name=name, kinds=("string",), default=default, choices=choices, doc=doc)


def _maybe(name: str, doc: str) -> Parameter:
    return Parameter(name=name, kinds=("string", "null"), doc=doc)


def _callback(name: str, summary: str, factory: str, *options: Parameter, **more: Any) -> CallbackDescriptor:
    return CallbackDescriptor(name=name, summary=summary, factory=f"rlctl_callbacks.{factory}", options=options, **more)


@hookimpl
def rlctl_callbacks() -> list[CallbackDescriptor]:
    return [*_files(), *_displays(), *_services(), *recorders(), _callback("empty", "nothing at all", "empty:Empty")]


def _files() -> list[CallbackDescriptor]:
    return [
        _callback(
            "jsonl", "episodes.jsonl and metrics.jsonl in the run's directory", "jsonl:JsonLines",
            requires=("jsonlines", "orjson"),
        ),
        _callback("csv", "episodes.csv and metrics.csv in the run's directory", "csv:Csv"),
        _callback(
            "tensorboard", "event files for TensorBoard in the run's directory, metrics averaged",
            "tensorboard:TensorBoard",
            _whole("flush_every", 1000, "Steps whose values of a metric become one point."),
            _text("aggregate", "mean", "What the point is of them: their mean or the last.", ("mean", "last")),
            _FLUSH,
            requires=("google-crc32c", "tensorboard"),
        ),
        _callback(
            "tensorboard_basic", "event files for TensorBoard in the run's directory, every value",
            "tensorboard:TensorBoardBasic", _FLUSH, requires=("google-crc32c", "tensorboard"),
        ),
        _callback(
            "curves", "plots/training_curves.png in the run's directory, at its end", "curves:Curves",
            _whole("window", 100, "Episodes over which the return is smoothed."),
            process=Process.HOST, requires=("matplotlib>=3.8",),
        ),
    ]  # fmt: skip


def _displays() -> list[CallbackDescriptor]:
    return [
        _callback(
            "progress", "a bar in a terminal, plain lines elsewhere", "progress:Progress", _INTERVAL,
            process=Process.HOST, requires=("rich",),
        ),
        _callback(
            "console", "a line for each so many episodes", "console:Console",
            _whole("every", 10, "Episodes that a line is of."), process=Process.HOST,
        ),
    ]  # fmt: skip


def _services() -> list[CallbackDescriptor]:
    return [
        _callback(
            "wandb", "a page of Weights & Biases, offline without a key", "wandb:Wandb",
            _text("project", "rlctl", "Project of the page."),
            _maybe("entity", "User or team; null: the user's own."),
            _maybe("group", "What W&B groups the page under."),
            Parameter(name="tags", kinds=("array",), default=(), doc="Tags of the page."),
            _text("mode", "auto", "auto: online with a key, else offline.", ("auto", "online", "offline")),
            _PATIENCE,
            requires=("wandb",),
        ),
        _callback(
            "mlflow", "a run of an MLflow experiment, in a folder of files by default", "mlflow:MLflow",
            _maybe("uri", "Tracking store; null: MLFLOW_TRACKING_URI, or mlruns in the current folder."),
            _text("experiment", "rlctl", "Experiment that the run belongs to."),
            _PATIENCE,
            requires=("mlflow-skinny",),
        ),
        _callback(
            "trackio", "a run of a Trackio project, on this machine", "trackio:Trackio",
            _text("project", "rlctl", "Project of the run."),
            _maybe("group", "What Trackio groups the run under."),
            _PATIENCE,
            requires=("trackio",),
        ),
    ]  # fmt: skip


@hookimpl
def rlctl_exports() -> list[ExportDescriptor]:
    return formats_of_records()


@hookimpl
def rlctl_check_run(config: RunConfig, env: EnvFacts | None) -> Iterable[Problem]:
    from rlctl_callbacks.checks import problems_in

    return problems_in(config, env)
