"""Does this run fit this worker? Pure functions of (configuration, descriptors, facts) to problems; nothing is imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from rlctl.config.schema import RunConfig
from rlctl.descriptors import (
    ActionSpace,
    AlgorithmDescriptor,
    CallbackDescriptor,
    Mode,
    ObservationSpace,
    Resume,
    WorkerDescriptor,
)
from rlctl.errors import Problem


@frozen(kw_only=True)
class EnvFacts:
    """What an environment really is, found by making it once in a process of its own (`rlctl.gym.facts`).

    `error` says why it could not be made; then only `hint` holds besides, with `path` and `unavailable` of the problem.
    `wrappers` are the classes around it, the outermost first; `inexact` says why its state may not be all that is saved.
    `problems` are those of a curriculum's stages, each a mapping of the fields of a `Problem`.
    `observation` describes the observation space as `rlctl.gym.facts.described` does. `render_modes` None: it does not say.
    """

    error: str | None = None
    hint: str | None = None
    path: str = "env.id"
    unavailable: bool = True
    action_space: ActionSpace = field(default=ActionSpace.OTHER, converter=ActionSpace)
    observation_space: ObservationSpace = field(default=ObservationSpace.OTHER, converter=ObservationSpace)
    action_text: str = ""
    observation_text: str = ""
    observation: Mapping[str, Any] | None = None
    num_agents: int = 1
    max_episode_steps: int | None = None
    spec: Mapping[str, Any] | None = None
    render_modes: Sequence[str] | None = None
    problems: Sequence[Mapping[str, Any]] = ()
    wrappers: Sequence[str] = ()
    inexact: Sequence[str] = ()


@frozen(kw_only=True)
class MachineFacts:
    """What this machine has. Memory in MiB; None where it cannot be told."""

    cpu_cores: int
    memory_mb: int | None
    has_gpu: bool


def check_fit(
    config: RunConfig,
    worker: WorkerDescriptor,
    algorithm: AlgorithmDescriptor,
    env: EnvFacts | None,
    machine: MachineFacts,
    callbacks: Iterable[CallbackDescriptor] = (),
) -> list[Problem]:
    """Return everything about the run that the worker cannot do; empty when it fits. `env` is None if it is not gymnasium's."""
    return [
        *_algorithm_problems(worker, algorithm),
        *_mode_problems(config, worker),
        *_curriculum_problems(config, worker),
        *_callback_problems(worker, callbacks),
        *(_env_problems(config, worker, algorithm, env) if env else ()),
        *_size_problems(config, worker, algorithm),
        *_machine_problems(config, worker, machine),
    ]


def check_render_mode(env_id: str, env: EnvFacts, mode: str, path: str) -> list[Problem]:
    """Return what is wrong with showing an environment as `mode`; gymnasium makes windows of pictures by itself."""
    modes = env.render_modes
    if env.error or modes is None or mode in modes or (mode == "human" and "rgb_array" in modes):
        return []
    return [Problem(path, f"{env_id} cannot be shown as {mode}; its render modes: {', '.join(modes) or 'none'}.")]


def _algorithm_problems(worker: WorkerDescriptor, algorithm: AlgorithmDescriptor) -> Iterator[Problem]:
    if algorithm.unavailable:
        yield Problem(
            "algo", f"{worker.name}/{algorithm.name} cannot run here: {algorithm.unavailable}", unavailable=True
        )


def _mode_problems(config: RunConfig, worker: WorkerDescriptor) -> Iterator[Problem]:
    if Mode.EVALUATE in worker.modes:
        return
    message = f"worker {worker.name} cannot lend its policy"
    for name in ("every_steps", "every_episodes"):
        if getattr(config.evaluation, name) is not None:
            yield Problem(f"evaluation.{name}", f"{message}, so it cannot be evaluated.")
    if config.init_from is not None and worker.resume is Resume.NONE:
        yield Problem("init_from", f"worker {worker.name} cannot begin with weights (resume: none).")


def _curriculum_problems(config: RunConfig, worker: WorkerDescriptor) -> Iterator[Problem]:
    if config.env.curriculum and not worker.curriculum:
        message = f"worker {worker.name} trains in one environment: it follows no curriculum."
        yield Problem("env.curriculum", message, "Train the stages one after the other, with init_from.")


def _callback_problems(worker: WorkerDescriptor, callbacks: Iterable[CallbackDescriptor]) -> Iterator[Problem]:
    """Yield what callbacks need of the worker that it does not give."""
    for callback in callbacks:
        path = f"callbacks.{callback.name}"
        if callback.env_observer is not None and not worker.shows_steps:
            yield Problem(path, f"worker {worker.name} does not show the steps of its environments.")
        if callback.needs_policy and Mode.EVALUATE not in worker.modes:
            yield Problem(path, f"worker {worker.name} cannot lend its policy.")


def _env_problems(
    config: RunConfig, worker: WorkerDescriptor, algorithm: AlgorithmDescriptor, env: EnvFacts
) -> Iterator[Problem]:
    name = f"{worker.name}/{algorithm.name}"
    if env.problems:
        yield from (Problem(**problem) for problem in env.problems)
        return
    if env.error:
        yield Problem(env.path, env.error, env.hint, unavailable=env.unavailable)
        return
    if env.num_agents > worker.max_agents:
        yield Problem(
            "env.id", f"{config.env.id} has {env.num_agents} agents, {worker.name} trains {worker.max_agents}"
        )
        return
    if not _accepts(algorithm.action_spaces, env.action_space):
        takes = " or ".join(space.value for space in algorithm.action_spaces)
        message = f"{config.env.id} has {env.action_space.value} actions ({env.action_text}), {name} needs {takes}."
        yield Problem("env.id", message, _other_algorithms(worker, env))
    if not _accepts(algorithm.observation_spaces, env.observation_space):
        takes = " or ".join(space.value for space in algorithm.observation_spaces)
        message = f"{config.env.id} has {env.observation_space.value} observations ({env.observation_text}), {name} needs {takes}."
        yield Problem("env.id", message, _other_algorithms(worker, env))


def _accepts(declared: Sequence[Any], space: Any) -> bool:
    return not declared or space in declared


def _other_algorithms(worker: WorkerDescriptor, env: EnvFacts) -> str | None:
    fitting = [
        algorithm.name
        for algorithm in worker.algorithms
        if _accepts(algorithm.action_spaces, env.action_space)
        and _accepts(algorithm.observation_spaces, env.observation_space)
        and not algorithm.unavailable
    ]
    return f"These of {worker.name} fit: {', '.join(fitting)}." if fitting else None


def _size_problems(config: RunConfig, worker: WorkerDescriptor, algorithm: AlgorithmDescriptor) -> Iterator[Problem]:
    asked = config.env.num_envs
    if asked is not None and algorithm.max_num_envs is not None and asked > algorithm.max_num_envs:
        yield Problem(
            "env.num_envs", f"{worker.name}/{algorithm.name} steps at most {algorithm.max_num_envs}, got {asked}"
        )


def _machine_problems(config: RunConfig, worker: WorkerDescriptor, machine: MachineFacts) -> Iterator[Problem]:
    wants_gpu = config.device.startswith("cuda") or worker.requires_gpu
    if wants_gpu and not machine.has_gpu:
        what = f"worker {worker.name} needs a GPU" if worker.requires_gpu else f"device {config.device} was asked for"
        yield Problem("device", f"{what}, and this machine shows none.", "Use --device cpu or auto.", unavailable=True)
    if worker.cpu_cores > machine.cpu_cores:
        message = f"{worker.name} needs {worker.cpu_cores} CPU cores, this machine has {machine.cpu_cores}"
        yield Problem("worker", message, unavailable=True)
    if machine.memory_mb is not None and worker.estimated_memory_mb > machine.memory_mb:
        message = f"{worker.name} needs about {worker.estimated_memory_mb} MiB, this machine has {machine.memory_mb}"
        yield Problem("worker", message, unavailable=True)
