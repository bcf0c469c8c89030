"""Environments from a run's configuration: imports, gymnasium's registry, arguments and limits in one place."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from rlctl.config.curriculum import stage_envs
from rlctl.errors import NotAvailableError, did_you_mean
from rlctl.families import family_of
from rlctl.gym.curriculum import CurriculumEnv
from rlctl.gym.wrappers import wrap_env

ENTRY_POINT_GROUP = "rlctl.envs"
"""Entry points of this group name modules whose import registers environments."""


def import_environments(env: Mapping[str, Any]) -> None:
    """Import what registers the environment: the configuration's `imports`, installed `rlctl.envs`, known namespaces.

    Raises NotAvailableError when a module that the configuration names cannot be imported.
    """
    for module in env.get("imports") or ():
        try:
            importlib.import_module(module)
        except Exception as error:
            raise NotAvailableError(
                f'env.imports: cannot import "{module}": {type(error).__name__}: {error}'
            ) from error
    _import_installed()
    family = family_of(str(env.get("id") or ""))
    if family is not None and family.registers is not None:  # gymnasium 1.x no longer finds such packages by itself
        with contextlib.suppress(ImportError):  # then gymnasium's own error names the environment
            importlib.import_module(family.registers)


@functools.cache
def _import_installed() -> None:
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        with contextlib.suppress(Exception):  # a broken package of environments must not cost the others
            entry_point.load()


def make_env(env: Mapping[str, Any], **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment of the configuration `env` (`RunConfig.env` as a mapping), in its wrappers.

    With a curriculum it is a `CurriculumEnv`, which is to be told of its stages: `Run.follow_curriculum`. `kwargs` are added
    to those of `gymnasium.make`. Raises NotAvailableError with the nearest known ids for an unknown environment, or naming
    what is not installed; ConfigError for wrappers that cannot be put around it.
    """
    stages = stage_envs(env)
    if stages:
        # Each in wrappers of its own: around all of them, they would know no other than the first.
        return CurriculumEnv([wrap_env(make_bare_env(stage, **kwargs), stage, counted=True) for stage in stages])
    return wrap_env(make_bare_env(env, **kwargs), env)


def make_bare_env(env: Mapping[str, Any], **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Make it without the wrappers; raises NotAvailableError as `make_env` does."""
    import_environments(env)
    arguments = {**(env.get("kwargs") or {}), **kwargs}
    if env.get("max_episode_steps") is not None:
        arguments["max_episode_steps"] = env["max_episode_steps"]
    try:
        return gymnasium.make(str(env["id"]), **arguments)
    except gymnasium.error.UnregisteredEnv as error:
        raise NotAvailableError(f'there is no environment "{env["id"]}".', hint=_nearest(str(env["id"]))) from error
    except gymnasium.error.DependencyNotInstalled as error:
        family = family_of(str(env["id"]), str(gymnasium.spec(str(env["id"])).entry_point))
        hint = f"pip install '{family.install}'" if family is not None and family.install else None
        raise NotAvailableError(f"{env['id']} needs a package that is not installed: {error}", hint=hint) from error


def env_factory(env: Mapping[str, Any], **kwargs: Any) -> Callable[[], gymnasium.Env[Any, Any]]:
    """Return a function that makes one such environment each time it is called."""
    return functools.partial(make_env, env, **kwargs)


def _nearest(env_id: str) -> str | None:
    known = {spec_id: spec_id for spec_id in gymnasium.registry}
    hint = did_you_mean(env_id, known)
    if hint is not None and hint.startswith("Did"):
        return hint
    family = family_of(env_id)
    if family is not None and any(importlib.util.find_spec(module) is None for module in family.needs):
        return f"pip install '{family.install}'"
    return "If a package registers it, name that in env.imports (`--set env.imports=[package]`)."
