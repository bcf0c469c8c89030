"""What this package brings to rlctl: a worker whose algorithms are the scripts of all sources of CleanRL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    if config.env.wrappers:
        yield from _unwrappable(config.algo or _DEFAULT)
    yield from _unfit(config, env)


def _unwrappable(algorithm: str) -> Iterator[Problem]:
    """Yield a problem for a script whose environments `gymnasium.make` does not make."""
    from rlctl_cleanrl.index import indexed_scripts, split_algorithm

    source, name = split_algorithm(algorithm)
    imported = {module for script in indexed_scripts(source) if script["name"] == name for module in script["imports"]}
    for maker in _OTHER_MAKERS:
        if maker in imported:
            message = (
                f"{name}.py has its environments made by {maker}, and not by gymnasium.make: they cannot be wrapped."
            )
            yield Problem("env.wrappers", message, "Leave them out, or take another script.")


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


def _unfit(config: RunConfig, env: EnvFacts | None) -> Iterator[Problem]:
    """Yield a problem for a network that the script cannot have, and for observations that it cannot take."""
    from rlctl_cleanrl.agents import network_problems
    from rlctl_cleanrl.index import indexed_scripts, split_algorithm
    from rlctl_cleanrl.observations import UnfitError, change_for, needs_of

    source, name = split_algorithm(config.algo or _DEFAULT)
    script = next((script for script in indexed_scripts(source) if script["name"] == name), None)
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
