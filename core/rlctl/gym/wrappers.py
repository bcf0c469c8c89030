"""The wrappers that a configuration names, put around an environment; what is wrong with one names its place."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.wrappers import RecordEpisodeStatistics

from rlctl.config.wrappers import WrapperEntry, wrapper_entries
from rlctl.errors import ConfigError, Problem, did_you_mean
from rlctl.gym.env_state import links

_KEY = "rlctl.episode"
"""What an episode was before the wrappers, in the info of its last step; a key of our own meets no other statistics."""


def wrap_env(
    made: gymnasium.Env[Any, Any], config: Mapping[str, Any], *, counted: bool = False
) -> gymnasium.Env[Any, Any]:
    """Return `made` inside the wrappers of `config` (`RunConfig.env` as a mapping), the first one innermost.

    Below them stands what counts rewards and steps as the environment gives them; if `counted`, also where there are none.
    Raises ConfigError, with the place and
    what is near, for what cannot be imported, takes other arguments, or is no wrapper.
    """
    entries = wrapper_entries(config)
    if not entries and not counted:
        return made
    wrapped: gymnasium.Env[Any, Any] = RecordEpisodeStatistics(made, stats_key=_KEY)
    try:
        for entry in entries:
            wrapped = _applied(entry, wrapped)
    except BaseException:
        made.close()
        raise
    return wrapped


def unwrapped_statistics(env: gymnasium.Env[Any, Any]) -> RecordEpisodeStatistics[Any, Any] | None:
    """Return what counts below the wrappers of a configuration; None where it has none."""
    found = (link for link in links(env) if isinstance(link, RecordEpisodeStatistics))
    return next((link for link in found if link._stats_key == _KEY), None)  # noqa: SLF001 - it says it nowhere else


def _applied(entry: WrapperEntry, env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    wrapper = _found(entry)
    parameters = _parameters(wrapper, entry, env)
    try:
        wrapped = wrapper(env, **_as_annotated(parameters, entry.kwargs))
    except Exception as error:
        message = " ".join(str(error).split())  # one line, whatever the wrapper's author wrote
        raise _refused(entry, f"{entry.use} cannot wrap it: {type(error).__name__}: {message}") from error
    if not isinstance(wrapped, gymnasium.Env):
        raise _refused(entry, f"{entry.use} returns a {type(wrapped).__name__}, which is no environment of gymnasium.")
    return wrapped


def _parameters(wrapper: Any, entry: WrapperEntry, env: gymnasium.Env[Any, Any]) -> Mapping[str, inspect.Parameter]:
    """Return what a wrapper takes; raises ConfigError where that is something else than it is given."""
    try:
        signature = inspect.signature(wrapper)
    except ValueError as error:
        raise _refused(entry, f"{entry.use} is no wrapper: {error}.") from error
    try:
        signature.bind(env, **entry.kwargs)
    except TypeError as error:
        unknown = [name for name in entry.kwargs if name not in signature.parameters]
        free = [name for name in signature.parameters if name not in entry.kwargs][1:]  # the first is the environment
        hint = did_you_mean(unknown[0], free) if unknown else None
        raise _refused(entry, f"{entry.use} cannot be called so: {error}.", hint) from error
    return signature.parameters


def _as_annotated(parameters: Mapping[str, inspect.Parameter], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with tuples for lists where the wrapper says so: a configuration has none, and some insist."""
    wants = {name for name, parameter in parameters.items() if "tuple" in str(parameter.annotation).lower()}
    return {
        name: tuple(value) if isinstance(value, list) and name in wants else value for name, value in kwargs.items()
    }


def _found(entry: WrapperEntry) -> Any:
    """Return the class or function that an entry names."""
    module, _, attribute = entry.use.partition(":")
    try:
        imported = importlib.import_module(module)
    except Exception as error:
        message = f'cannot import "{module}": {type(error).__name__}: {error}.'
        raise _refused(entry, message, "Is it installed, or a file of this folder?", unavailable=True) from error
    found: Any = imported
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            message = f'there is no "{attribute}" in {module}.'
            hint = did_you_mean(attribute, _wrappers_of(imported))
            raise _refused(entry, message, hint, unavailable=True) from error
    if not callable(found):
        raise _refused(entry, f"{entry.use} is a {type(found).__name__}: it cannot be put around an environment.")
    return found


def _wrappers_of(module: Any) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, gymnasium.Wrapper) and not name.startswith("_")
    ]


def _refused(entry: WrapperEntry, message: str, hint: str | None = None, *, unavailable: bool = False) -> ConfigError:
    return ConfigError([Problem(entry.path, message, hint, unavailable=unavailable)])
