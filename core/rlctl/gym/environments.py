"""Environments from a run's configuration: imports, gymnasium's registry, arguments and limits in one place."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from rlctl.errors import NotAvailableError, did_you_mean
from rlctl.gym.wrappers import wrap_env

ENTRY_POINT_GROUP = "rlctl.envs"
"""Entry points of this group name modules whose import registers environments."""

_PACKAGE_OF = {"ALE": "ale_py", "MiniGrid": "minigrid", "BabyAI": "minigrid", "minigrid": "minigrid"}
"""Well-known namespaces and the module that registers them: gymnasium 1.x no longer finds such packages by itself."""


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
    name = str(env.get("id") or "").rpartition(":")[2]
    namespace = "ALE" if "NoFrameskip" in name else name.partition("/")[0].partition("-")[0]
    if namespace in _PACKAGE_OF:
        with contextlib.suppress(ImportError):  # then gymnasium's own error names the environment
            importlib.import_module(_PACKAGE_OF[namespace])


@functools.cache
def _import_installed() -> None:
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        with contextlib.suppress(Exception):  # a broken package of environments must not cost the others
            entry_point.load()


def make_env(env: Mapping[str, Any], **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment of the configuration `env` (`RunConfig.env` as a mapping), in its wrappers.

    `kwargs` are added to those of `gymnasium.make`. Raises NotAvailableError with the nearest known ids for an unknown
    environment, or naming what is not installed; ConfigError for wrappers that cannot be put around it.
    """
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
        raise NotAvailableError(f"{env['id']} needs a package that is not installed: {error}") from error


def env_factory(env: Mapping[str, Any], **kwargs: Any) -> Callable[[], gymnasium.Env[Any, Any]]:
    """Return a function that makes one such environment each time it is called."""
    return functools.partial(make_env, env, **kwargs)


def _nearest(env_id: str) -> str | None:
    known = {spec_id: spec_id for spec_id in gymnasium.registry}
    hint = did_you_mean(env_id, known)
    if hint is None or not hint.startswith("Did"):
        hint = "If a package registers it, name that in env.imports (`--set env.imports=[package]`)."
    return hint
