"""What this package brings to rlctl: a worker whose algorithms are the scripts of all sources of CleanRL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rlctl import (
    ActionSpace,
    AlgorithmDescriptor,
    ConverterDescriptor,
    EnvFacts,
    Mode,
    ObservationSpace,
    Resume,
    RunConfig,
    WorkerDescriptor,
    hookimpl,
)
from rlctl.errors import Problem

if TYPE_CHECKING:
    from rlctl_cleanrl.observations import Change

_DEFAULT = "ppo"
_DEFAULT_STEPS = 500_000
# What a script says by default may need MuJoCo; an environment that is there everywhere starts without a detour.
_DEFAULT_ENVS = {"discrete": "CartPole-v1", "box": "Pendulum-v1"}
_IMAGE_ENV = "BreakoutNoFrameskip-v4"
_NO_LOOP = 'it has no main loop: a `for … in range(…)` directly under `if __name__ == "__main__":`.'
_FITTED = tuple(space for space in ObservationSpace if space is not ObservationSpace.OTHER)
"""What can be made a vector, for scripts that learn from one."""
_OTHER_MAKERS = ("envpool", "procgen", "isaacgym", "pettingzoo")


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    algorithms = sorted(_algorithms(), key=_place)
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
            curriculum=True,
            shows_steps=True,
            setup="rlctl_cleanrl.setup:setup",
            sources=_sources(),
            remove_source="rlctl_cleanrl.setup:remove",
        )
    ]


def _place(algorithm: AlgorithmDescriptor) -> tuple[str, int, str]:
    """Return where an algorithm stands in lists: by source, family and name, so that the first of all is ppo."""
    from rlctl_cleanrl.catalogue import FAMILIES

    families = [*FAMILIES, ""]
    return algorithm.name.rpartition("/")[0], families.index(algorithm.family), algorithm.name


@hookimpl
def rlctl_converters() -> list[ConverterDescriptor]:
    return [
        ConverterDescriptor(
            name="mosaic",
            summary="a configuration of MOSAIC's CleanRL worker, or a job with one (JSON)",
            convert="rlctl_cleanrl.conversions.mosaic:convert",
        )
    ]


@hookimpl
def rlctl_check_run(config: RunConfig, worker: WorkerDescriptor, env: EnvFacts | None) -> Iterator[Problem]:
    if worker.name != "cleanrl":
        return
    if config.device == "mps":
        yield Problem("device", "CleanRL's scripts know cpu and cuda, got mps.", "Use --device cpu.")
    for setting in ("wrappers", "curriculum"):
        if getattr(config.env, setting):
            yield from _unwrappable(config.algo or _DEFAULT, f"env.{setting}")
    yield from _unfit(config, env)


def _unwrappable(algorithm: str, path: str) -> Iterator[Problem]:
    """Yield a problem, at `path`, for a script whose environments `gymnasium.make` does not make."""
    from rlctl_cleanrl.index import indexed_scripts, split_algorithm

    source, name = split_algorithm(algorithm)
    imported = {module for script in indexed_scripts(source) if script["name"] == name for module in script["imports"]}
    for maker in _OTHER_MAKERS:
        if maker in imported:
            message = (
                f"{name}.py has its environments made by {maker}, and not by gymnasium.make: they cannot be wrapped."
            )
            yield Problem(path, message, "Leave it out, or take another script.")


def _sources() -> list[dict[str, Any]]:
    """Return what is known of each source that there is, the one without a name first; a damaged one has no version."""
    from contextlib import suppress

    from rlctl_cleanrl.index import indexed_scripts, named_sources, pointed_to, pointer_of

    found = []
    for name in ("", *named_sources()):
        if pointer_of(name).exists():
            said = {"kind": "damaged", "origin": str(pointer_of(name)), "version": ""}
            with suppress(OSError, ValueError, KeyError, TypeError):
                said = pointed_to(name)
            facts = {key: said[key] for key in ("kind", "origin", "version")}
            found.append({"name": name, **facts, "scripts": len(indexed_scripts(name))})
    return found


@hookimpl
def rlctl_declare_run(config: RunConfig, worker: WorkerDescriptor, env: EnvFacts | None) -> dict[str, str]:
    script = _indexed(config) if worker.name == "cleanrl" else None
    change = None if script is None else _change(config, script, env)
    return {"observations": change.words} if change is not None and change.steps else {}


def _indexed(config: RunConfig) -> dict[str, Any] | None:
    """Return what the index says of a run's script; None where it does not have it."""
    from rlctl_cleanrl.index import indexed_scripts, split_algorithm

    source, name = split_algorithm(config.algo or _DEFAULT)
    return next((script for script in indexed_scripts(source) if script["name"] == name), None)


def _change(config: RunConfig, script: dict[str, Any], env: EnvFacts | None) -> Change | None:
    """Return what is done to the environment's observations, None where that is the script's affair or nothing is known.

    Raises UnfitError where nothing helps.
    """
    from rlctl_cleanrl.observations import change_for, needs_of

    needs = needs_of(script, config.hyperparameters.get("network"))
    if needs is None or env is None or env.observation is None:
        return None
    return change_for(env.observation, needs)


def _unfit(config: RunConfig, env: EnvFacts | None) -> Iterator[Problem]:
    """Yield a problem for a network that the script cannot have, and for observations that it cannot take."""
    from rlctl_cleanrl.agents import network_problems
    from rlctl_cleanrl.observations import UnfitError

    script, network = _indexed(config), config.hyperparameters.get("network")
    if script is None:
        return
    if network is not None and (problems := list(network_problems(script, network))):
        yield from problems
        return
    try:
        _change(config, script, env)
    except UnfitError as error:
        assert env is not None
        message = f"{config.env.id} has {env.observation_space.value} observations ({env.observation_text}): {error}."
        hint = "env.wrappers may make something else of them; scripts named *_atari learn from pictures."
        yield Problem("env.id", message, hint)


def _algorithms() -> Iterator[AlgorithmDescriptor]:
    """Yield the scripts of all sources; before there is one without a name, the names of those that would be fetched."""
    from rlctl_cleanrl.index import indexed_scripts, join_algorithm, named_sources
    from rlctl_cleanrl.needs import why_unavailable

    plain = indexed_scripts("")
    if not plain:
        from rlctl_cleanrl.catalogue import CATALOGUE

        for known in CATALOGUE:
            reason = why_unavailable(known.needs)
            yield _descriptor(known.name, known.name, known.action_spaces, image=known.image, unavailable=reason)
    for source in ("", *named_sources()):
        for script in plain if not source else indexed_scripts(source):
            yield _descriptor(
                join_algorithm(source, script["name"]),
                script["name"],
                tuple(script["action_spaces"]),
                image=script["image"],
                steps=script["default_total_timesteps"],
                fixed_num_envs=script["fixed_num_envs"],
                unavailable=why_unavailable(script["imports"]) or (None if script["has_main_loop"] else _NO_LOOP),
            )


def _descriptor(
    name: str,
    script: str,
    action_spaces: tuple[str, ...],
    *,
    image: bool,
    steps: int = _DEFAULT_STEPS,
    fixed_num_envs: bool = False,
    unavailable: str | None = None,
) -> AlgorithmDescriptor:
    from rlctl_cleanrl.catalogue import family_of

    source = name.rpartition("/")[0]
    return AlgorithmDescriptor(
        name=name,
        family=family_of(script),
        summary=f"{script}.py of the source {source}" if source else f"CleanRL's {script}.py",
        action_spaces=[ActionSpace(space) for space in action_spaces],
        # A script that asserts no action space says nothing of what it takes, unless it is made for images.
        observation_spaces=(ObservationSpace.IMAGE,) if image else _FITTED if action_spaces else (),
        hyperparameters="rlctl_cleanrl.setup:hyperparameters",
        default_env=_IMAGE_ENV if image else _DEFAULT_ENVS.get("".join(action_spaces), "CartPole-v1"),
        default_total_timesteps=steps,
        max_num_envs=1 if fixed_num_envs else None,
        unavailable=unavailable,
    )
