"""What this package brings to rlctl: a worker whose algorithms are the scripts of the CleanRL that is in use."""

from __future__ import annotations

from collections.abc import Iterator

from rlctl import (
    ActionSpace,
    AlgorithmDescriptor,
    EnvFacts,
    Mode,
    ObservationSpace,
    Resume,
    RunConfig,
    WorkerDescriptor,
    hookimpl,
)
from rlctl.errors import Problem

_DEFAULT = "ppo"
_DEFAULT_STEPS = 500_000
# What a script says by default may need MuJoCo; an environment that is there everywhere starts without a detour.
_DEFAULT_ENVS = {"discrete": "CartPole-v1", "box": "Pendulum-v1"}
_IMAGE_ENV = "BreakoutNoFrameskip-v4"
_FITTED = tuple(space for space in ObservationSpace if space is not ObservationSpace.OTHER)
"""What can be made a vector, for scripts that learn from one."""
_OTHER_MAKERS = ("envpool", "procgen", "isaacgym", "pettingzoo")


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    algorithms = sorted(_algorithms(), key=lambda algorithm: (algorithm.name != _DEFAULT, algorithm.name))
    return [
        WorkerDescriptor(
            name="cleanrl",
            summary="CleanRL's scripts, unmodified",
            entry_point="rlctl_cleanrl.worker:CleanrlWorker",
            algorithms=algorithms,
            requires=("torch>=2.3", "gymnasium>=1.0", "stable-baselines3>=2.4", "tyro"),
            estimated_memory_mb=500,
            upstream="cleanrl",
            resume=Resume.EXACT,
            modes=(Mode.TRAIN, Mode.EVALUATE),
            setup="rlctl_cleanrl.setup:setup",
        )
    ]


@hookimpl
def rlctl_check_run(config: RunConfig, worker: WorkerDescriptor, env: EnvFacts | None) -> Iterator[Problem]:
    if worker.name != "cleanrl":
        return
    if config.device == "mps":
        yield Problem("device", "CleanRL's scripts know cpu and cuda, got mps.", "Use --device cpu.")
    if config.env.wrappers:
        yield from _unwrappable(config.algo or _DEFAULT)
    yield from _unfit(config, env)


def _unwrappable(name: str) -> Iterator[Problem]:
    """Yield a problem for a script whose environments `gymnasium.make` does not make."""
    from rlctl_cleanrl.index import indexed_scripts

    imported = {module for script in indexed_scripts() if script["name"] == name for module in script["imports"]}
    for maker in _OTHER_MAKERS:
        if maker in imported:
            message = (
                f"{name}.py has its environments made by {maker}, and not by gymnasium.make: they cannot be wrapped."
            )
            yield Problem("env.wrappers", message, "Leave them out, or take another script.")


def _unfit(config: RunConfig, env: EnvFacts | None) -> Iterator[Problem]:
    """Yield a problem for a network that the script cannot have, and for observations that it cannot take."""
    from rlctl_cleanrl.agents import network_problems
    from rlctl_cleanrl.index import indexed_scripts
    from rlctl_cleanrl.observations import UnfitError, change_for, needs_of

    script = next((script for script in indexed_scripts() if script["name"] == (config.algo or _DEFAULT)), None)
    network = config.hyperparameters.get("network")
    if script is None:
        return
    if network is not None and (problems := list(network_problems(script, network))):
        yield from problems
        return
    needs = needs_of(script, network)
    if needs is None or env is None or env.observation is None:
        return
    try:
        change_for(env.observation, needs)
    except UnfitError as error:
        message = f"{config.env.id} has {env.observation_space.value} observations ({env.observation_text}): {error}."
        hint = "env.wrappers may make something else of them; scripts named *_atari learn from pictures."
        yield Problem("env.id", message, hint)


def _algorithms() -> Iterator[AlgorithmDescriptor]:
    """Yield the scripts of the source in use; before there is one, the names of those that would be fetched."""
    from rlctl_cleanrl.index import indexed_scripts
    from rlctl_cleanrl.needs import why_unavailable

    indexed = indexed_scripts()
    for script in indexed:
        yield _descriptor(
            script["name"],
            tuple(script["action_spaces"]),
            image=script["image"],
            steps=script["default_total_timesteps"],
            fixed_num_envs=script["fixed_num_envs"],
            unavailable=why_unavailable(script["imports"]),
        )
    if not indexed:
        from rlctl_cleanrl.catalogue import CATALOGUE

        for known in CATALOGUE:
            yield _descriptor(known.name, known.action_spaces, image=known.image)


def _descriptor(
    name: str,
    action_spaces: tuple[str, ...],
    *,
    image: bool,
    steps: int = _DEFAULT_STEPS,
    fixed_num_envs: bool = False,
    unavailable: str | None = None,
) -> AlgorithmDescriptor:
    return AlgorithmDescriptor(
        name=name,
        summary=f"CleanRL's {name}.py",
        action_spaces=[ActionSpace(space) for space in action_spaces],
        observation_spaces=(ObservationSpace.IMAGE,) if image else _FITTED,
        hyperparameters="rlctl_cleanrl.setup:hyperparameters",
        default_env=_IMAGE_ENV if image else _DEFAULT_ENVS.get("".join(action_spaces), "CartPole-v1"),
        default_total_timesteps=steps,
        max_num_envs=1 if fixed_num_envs else None,
        unavailable=unavailable,
    )
