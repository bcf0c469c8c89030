"""What the toy worker can be told."""

from typing import Any

from rlctl import AlgorithmDescriptor, Mode, Parameter, Resume, WorkerDescriptor, hookimpl


def _number(name: str, default: Any, doc: str, **limits: Any) -> Parameter:
    return Parameter(name=name, kinds=("number",), default=default, doc=doc, **limits)


def _at(name: str, doc: str) -> Parameter:
    return Parameter(name=name, kinds=("integer", "null"), default=None, doc=doc, minimum=0)


COUNT = (
    Parameter(name="steps_per_iteration", kinds=("integer",), default=1, doc="Steps per call of advance.", minimum=1),
    Parameter(name="episode_length", kinds=("integer",), default=10, doc="Longest episode.", minimum=1),
    Parameter(name="metrics_every", kinds=("integer",), default=50, doc="Steps between metrics.", minimum=1),
    _number("step_seconds", 0.0, "Sleep so long in each iteration.", minimum=0),
    _number("start_seconds", 0.0, "Sleep so long before the first step.", minimum=0),
    _at("raise_at", "Raise RuntimeError at this step."),
    _at("exit_at", "Call sys.exit at this step, as a library might."),
    Parameter(name="exit_code", kinds=("integer",), default=7, doc="What exit_at exits with.", minimum=0),
    Parameter(name="close_fds", kinds=("array",), default=[], doc="Descriptors to close before the first step."),
    Parameter(name="close_streams", kinds=("boolean",), default=False, doc="Close sys.stdout and sys.stderr, too."),
    _at("fill_disk_at", "Write to backend/filler until the disk is full."),
    _at("vanish_at", "End the process with code 9 at this step, leaving nothing."),
    _at("kill_at", "Send SIGKILL to itself at this step."),
    _at("nan_at", "From this step on all metrics and returns are NaN or infinite."),
    _at("print_bytes", "Print so many bytes of garbage to stdout before the first step."),
    _at("return_at", "Return at this step, whatever the budget."),
    Parameter(name="ignore_stop", kinds=("boolean",), default=False, doc="Go on for ever when asked to stop."),
    _at("kill_saving_at", "Send SIGKILL to itself in the midst of the first save from this step on."),
    _at("save_bytes", "Save so many bytes beside the state."),
    _number("child_seconds", 0.0, "Start a child that lives so long; its pid goes to backend/child.pid.", minimum=0),
)
BANDIT = (
    Parameter(name="arms", kinds=("integer",), default=5, doc="Arms of the bandit.", minimum=2, maximum=100),
    _number("epsilon", 0.1, "Probability of a random arm.", minimum=0, maximum=1),
    Parameter(name="prior", kinds=("string",), default="zero", doc="First values.", choices=("zero", "optimistic")),
)


def bandit_parameters(_: str) -> tuple[Parameter, ...]:
    """Return the bandit's parameters: the form in which a plugin computes them."""
    return BANDIT


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    made_for: dict[str, Any] = {
        "action_spaces": (),
        "observation_spaces": (),
        "default_env": "toy",
        "default_total_timesteps": 1000,
    }
    return [
        WorkerDescriptor(
            name="toy",
            summary="counts, for tests",
            entry_point="toy_worker.worker:ToyWorker",
            algorithms=(
                AlgorithmDescriptor(
                    name="count", summary="counts steps", hyperparameters=COUNT, max_num_envs=4, **made_for
                ),
                AlgorithmDescriptor(
                    name="bandit", summary="learns", hyperparameters="toy_worker.plugin:bandit_parameters", **made_for
                ),
                AlgorithmDescriptor(name="unavailable", unavailable="the moon is full", **made_for),
            ),
            env_families=("toy",),
            modes=(Mode.TRAIN, Mode.EVALUATE),
            curriculum=True,
            resume=Resume.EXACT,
            warm_up="toy_worker.worker:warm_up",
        )
    ]
