"""What this package brings to rlctl: descriptors only."""

from rlctl import CallbackDescriptor, Parameter, Process, hookimpl

_FLUSH = Parameter(
    name="flush_seconds", kinds=("number",), default=10.0, exclusive_minimum=0, doc="Longest time until a point is on disk."
)  # fmt: skip
_INTERVAL = Parameter(
    name="interval", kinds=("number",), default=10.0, exclusive_minimum=0, doc="Seconds between lines without a terminal."
)  # fmt: skip
_WINDOW = Parameter(
    name="window", kinds=("integer",), default=100, minimum=1, doc="Episodes over which the return is smoothed."
)  # fmt: skip


@hookimpl
def rlctl_callbacks() -> list[CallbackDescriptor]:
    return [
        CallbackDescriptor(
            name="jsonl",
            summary="episodes.jsonl and metrics.jsonl in the run's directory",
            factory="rlctl_callbacks.jsonl:JsonLines",
            requires=("jsonlines", "orjson"),
        ),
        CallbackDescriptor(
            name="tensorboard",
            summary="event files for TensorBoard in the run's directory",
            factory="rlctl_callbacks.tensorboard:TensorBoard",
            options=(_FLUSH,),
            requires=("tensorboard",),
        ),
        CallbackDescriptor(
            name="curves",
            summary="plots/training_curves.png in the run's directory, at its end",
            factory="rlctl_callbacks.curves:Curves",
            options=(_WINDOW,),
            process=Process.HOST,
            requires=("matplotlib>=3.8",),
        ),
        CallbackDescriptor(
            name="progress",
            summary="a bar in a terminal, plain lines elsewhere",
            factory="rlctl_callbacks.progress:Progress",
            options=(_INTERVAL,),
            process=Process.HOST,
            requires=("rich",),
        ),
        CallbackDescriptor(name="empty", summary="nothing at all", factory="rlctl_callbacks.empty:Empty"),
    ]
