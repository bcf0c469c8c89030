"""RunConfig and its parts: what a run's configuration may say. docs/configuration.md is generated from this file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field, frozen

from rlctl.config.curriculum import expanded

SEED_MAXIMUM = 2**32 - 1_000_000
"""numpy takes seeds below 2**32; the margin is for `seed + i` of parallel environments."""


def _doc(text: str, **limits: Any) -> dict[str, Any]:
    return {"doc": text, **limits}


@frozen(kw_only=True)
class EnvConfig:
    """The environment. A plain string stands for its id."""

    id: str | None = field(
        default=None,
        metadata=_doc(
            "Gymnasium id, `[module:][namespace/]Name-vN`; by default the one that the algorithm is made for."
        ),
    )
    kwargs: dict[str, Any] = field(factory=dict, metadata=_doc("Arguments of `gymnasium.make` for this environment."))
    imports: list[str] = field(
        factory=list, metadata=_doc("Modules to import first, for environments that register themselves on import.")
    )
    num_envs: int | None = field(
        default=None,
        metadata=_doc(
            "Environments stepped side by side; by default what the algorithm uses.", minimum=1, maximum=65536
        ),
    )
    max_episode_steps: int | None = field(
        default=None, metadata=_doc("Truncate episodes after so many steps, instead of the environment's own limit.", minimum=1)
    )  # fmt: skip
    wrappers: list[Any] = field(
        factory=list,
        metadata=_doc(
            "Wrappers around the environment, the innermost first: `package.module:Class`, or `{use: that, kwargs: {...}}`."
        ),
    )
    curriculum: list[Any] | str = field(
        factory=list,
        converter=expanded,
        metadata=_doc(
            "Stages, one after the other: what each changes of the environment, and when it ends; or a preset's name. See "
            "[environments](environments.md#curricula)."
        ),
    )


@frozen(kw_only=True)
class CheckpointConfig:
    """When the training's state is saved. A run that ends while its state is sound is saved in any case."""

    every_steps: int | None = field(
        default=None, metadata=_doc("Save each time so many steps have been taken.", minimum=1)
    )
    every_seconds: float | None = field(
        default=300.0,
        metadata=_doc(
            "Save each time so many seconds have passed: the most that a kill can cost.", exclusive_minimum=0
        ),
    )
    keep_last: int | None = field(
        default=3, metadata=_doc("Keep so many, and those that `latest` and `best` mean; null keeps all.", minimum=1)
    )
    keep_best: int = field(
        default=1, metadata=_doc("Keep so many of the best by evaluation; `best` means the first of them.", minimum=1)
    )
    milestones: list[int] = field(
        factory=list,
        metadata=_doc("Save at these steps, or at the first safe point after them, and keep those for good."),
    )
    replay_buffer: bool = field(
        default=True, metadata=_doc("Save the replay buffer too; without it a resumed run is no longer exact.")
    )
    on_error: str = field(
        default="continue",
        metadata=_doc("When one cannot be saved, on a full disk say.", choices=("continue", "stop")),
    )


@frozen(kw_only=True)
class EvaluationConfig:
    """Evaluation during training, in environments and with seeds of its own. Off unless one of `every_*` is set."""

    every_steps: int | None = field(
        default=None, metadata=_doc("Evaluate each time so many steps have been taken.", minimum=1)
    )
    every_episodes: int | None = field(
        default=None, metadata=_doc("Evaluate each time so many training episodes have ended.", minimum=1)
    )
    episodes: int = field(default=10, metadata=_doc("Episodes in one evaluation.", minimum=1, maximum=100_000))
    seed: int | None = field(
        default=None,
        metadata=_doc(
            "Seed of the first episode, the next ones count up; by default some that follow from the run's seed and are "
            "none of the training's.",
            minimum=0,
            maximum=SEED_MAXIMUM,
        ),
    )
    stochastic: bool = field(
        default=False, metadata=_doc("Let the policy sample its actions, instead of the best one.")
    )
    gamma: float | None = field(
        default=None,
        metadata=_doc("Discount of the discounted return; by default the algorithm's gamma.", minimum=0, maximum=1),
    )
    num_envs: int | None = field(
        default=None,
        metadata=_doc("Environments stepped side by side; by default one for each episode, 16 at most.", minimum=1),
    )
    max_episode_steps: int | None = field(
        default=None,
        metadata=_doc("Truncate evaluated episodes after so many steps; by default as in training.", minimum=1),
    )


@frozen(kw_only=True)
class EarlyStoppingConfig:
    """When the run ends before its budget. Off unless `threshold` or `patience` is set."""

    metric: str = field(
        default="evaluation",
        metadata=_doc(
            "`evaluation`: the mean return of an evaluation; `training`: that of the last 100 training episodes.",
            choices=("evaluation", "training"),
        ),
    )
    threshold: float | None = field(default=None, metadata=_doc("Solved: end as soon as the metric reaches this."))
    patience: int | None = field(
        default=None, metadata=_doc("End after so many evaluations in a row without improvement.", minimum=1)
    )
    min_delta: float = field(
        default=0.0, metadata=_doc("A metric has improved if it is better by more than this.", minimum=0)
    )
    min_timesteps: int = field(default=0, metadata=_doc("Never end before so many steps.", minimum=0))


def _checkpoint(value: Any) -> Any:
    return CheckpointConfig(**value) if isinstance(value, Mapping) else value


def _evaluation(value: Any) -> Any:
    return EvaluationConfig(**value) if isinstance(value, Mapping) else value


def _early_stopping(value: Any) -> Any:
    return EarlyStoppingConfig(**value) if isinstance(value, Mapping) else value


def _env(value: Any) -> Any:
    return (
        EnvConfig(id=value) if isinstance(value, str) else EnvConfig(**value) if isinstance(value, Mapping) else value
    )


def _callbacks(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {name: {} for name in value}


@frozen(kw_only=True)
class RunConfig:
    """One training run. Exactly one budget holds: `total_timesteps` or `total_episodes`."""

    worker: str = field(metadata=_doc("The backend that trains; `rlctl workers list` shows which there are."))
    algo: str | None = field(default=None, metadata=_doc("The worker's algorithm; by default its first."))
    env: EnvConfig = field(
        factory=EnvConfig, converter=_env, metadata=_doc("The environment: an id, or a mapping of the keys below.")
    )
    total_timesteps: int | None = field(
        default=None,
        metadata=_doc(
            "Budget in environment steps, over all parallel environments. Without any budget: the algorithm's default.",
            minimum=1,
        ),
    )
    total_episodes: int | None = field(
        default=None,
        metadata=_doc(
            "Budget in finished episodes. Schedules that need a number of steps then use the algorithm's default budget.",
            minimum=1,
        ),
    )
    seed: int = field(
        default=1,
        metadata=_doc("Seeds the algorithm and the environments; 0 is a seed.", minimum=0, maximum=SEED_MAXIMUM),
    )
    device: str = field(default="auto", metadata=_doc("`auto`, `cpu`, `cuda`, `cuda:N` or `mps`."))
    threads: int | None = field(
        default=1,
        metadata=_doc(
            "CPU threads of numeric libraries in the worker; null leaves it to them. One is fastest for small networks, "
            "keeps runs side by side from slowing each other many times over, and gives the same numbers on any machine.",
            minimum=1,
        ),
    )
    hyperparameters: dict[str, Any] = field(
        factory=dict, metadata=_doc("The algorithm's own settings; `rlctl workers show WORKER --algo ALGO` lists them.")
    )
    callbacks: dict[str, Any] = field(
        factory=dict,
        converter=_callbacks,
        metadata=_doc(
            "What sees the run's events: name → options. `jsonl` and `progress` are on; `false` switches one off."
        ),
    )
    checkpoint: CheckpointConfig = field(
        factory=CheckpointConfig,
        converter=_checkpoint,
        metadata=_doc("When the state is saved, so that the run can be resumed: a mapping of the keys below."),
    )
    evaluation: EvaluationConfig = field(
        factory=EvaluationConfig,
        converter=_evaluation,
        metadata=_doc("When and how the policy is evaluated during training: a mapping of the keys below."),
    )
    early_stopping: EarlyStoppingConfig = field(
        factory=EarlyStoppingConfig,
        converter=_early_stopping,
        metadata=_doc("When the run ends before its budget: a mapping of the keys below."),
    )
    init_from: str | None = field(
        default=None,
        metadata=_doc(
            "Begin with the weights of another run, `RUN` or `RUN:CHECKPOINT`, or with a library's own file of a model."
        ),
    )
    trust: bool = field(
        default=False,
        metadata=_doc("Read `init_from` even if only unpickling can, which runs whatever code is in the file."),
    )
    stop_at: int | None = field(
        default=None,
        metadata=_doc("Stop after so many steps, resumable, as if interrupted: for training in slices.", minimum=1),
    )
    time_limit: float | None = field(
        default=None,
        metadata=_doc(
            "Seconds of training in this process, after which it stops, resumable; leave room for saving.",
            exclusive_minimum=0,
        ),
    )
    executor: str = field(default="local", metadata=_doc("Where the worker process is placed."))
    address: str | None = field(
        default=None,
        metadata=_doc("Where its engine is, `tcp://host:8786`, or what is asked of it, `partition=gpu`."),
    )
    save_uri: str | None = field(
        default=None,
        metadata=_doc("Where it is [mirrored](save-uri.md) while it trains: `file:///folder`, `s3://bucket/folder`."),
    )
    grace: float = field(
        default=30.0,
        metadata=_doc(
            "Seconds a stopping run may take to end by itself before its processes are killed.",
            minimum=0.0,
            maximum=86_400.0,
        ),
    )
    name: str | None = field(default=None, metadata=_doc("A name for people; runs can be referred to by it."))
    labels: dict[str, Any] = field(factory=dict, metadata=_doc("Free labels, name → text, for finding runs again."))


NESTED: dict[str, type] = {
    "env": EnvConfig,
    "checkpoint": CheckpointConfig,
    "evaluation": EvaluationConfig,
    "early_stopping": EarlyStoppingConfig,
}
"""Keys whose value is a mapping with a schema of its own."""

DEFAULT_CALLBACKS: dict[str, dict[str, Any]] = {"jsonl": {}, "progress": {}}


def to_tree(config: RunConfig) -> dict[str, Any]:
    """Return a configuration as plain data, without what was left at its default, as a file would say it."""

    def said(instance: Any) -> dict[str, Any]:
        tree = {}
        for item in attrs.fields(type(instance)):
            value = getattr(instance, item.name)
            default = item.default.factory() if isinstance(item.default, attrs.Factory) else item.default  # type: ignore[arg-type]
            if attrs.has(type(value)):
                value, default = said(value), {}
            if value != default:
                tree[item.name] = value
        return tree

    return said(config)
