"""The state of an environment as data, and back: what exact resume needs beside the agent.

An environment is a chain of wrappers around a base. Each link's attributes that are plain data (numbers, strings,
arrays, generators, containers of them) are its state; everything else (spaces, renderers, the link's inner environment)
is made anew by making the environment again. MuJoCo and Atari keep their state outside of Python and are asked for it;
that of MiniGrid is objects that know each other.

Known to be complete: gymnasium's classic control and toy text environments, MuJoCo's, ale-py's and minigrid's. For any
other the state is taken as well, but `is_exact` says that nobody has checked that it is all there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rlctl.gym.atari_state import atari_state, hidden, is_atari, set_atari_state
from rlctl.gym.curriculum import CurriculumEnv
from rlctl.gym.minigrid_state import is_minigrid, minigrid_state, set_minigrid_state

_EXACT = (
    "gymnasium.envs.classic_control", "gymnasium.envs.toy_text", "gymnasium.envs.mujoco", "ale_py.",
    "minigrid.envs", "stable_baselines3.common.envs.bit_flipping_env",
)  # fmt: skip
_EXACT_WRAPPERS = (
    *_EXACT, "gymnasium.wrappers", "stable_baselines3.common.monitor", "stable_baselines3.common.atari_wrappers",
    "sb3_contrib.common.wrappers",
    "cleanrl_utils.atari_wrappers", "minigrid.wrappers", "rlctl.", "rlctl_cleanrl.", "rlctl_sb3.",
)  # fmt: skip
_PLAIN = (bool, int, float, str, bytes, type(None), np.ndarray, np.generic)
_OBSERVERS = "observers"  # of a `rlctl.gym.observing.ObservedEnv`: they know where they are themselves
# What a link has by construction, or for drawing only.
_NOT_STATE = frozenset({
    "env", "spec", "_cached_spec", "action_space", "observation_space", "_action_space", "_observation_space", "metadata",
    "_metadata", "screen", "clock", "isopen", "surf", "window", "window_surface", "render_mode", "frames_per_sec",
})  # fmt: skip


def is_exact(env: gymnasium.Env[Any, Any]) -> bool:
    """Return whether `env_state` is known to hold all of this environment's state, and of all its wrappers."""
    return not list(inexact([env]))


def inexact(envs: Iterable[Any]) -> Iterator[str]:
    """Yield a sentence for each class of environment or wrapper whose state is not known to be held completely."""
    seen = set()
    for link in (link for env in envs for link in _all_links(env)):
        kind = type(link)
        if kind not in seen and not kind.__module__.startswith(_EXACT if link is link.unwrapped else _EXACT_WRAPPERS):
            yield f"nobody has checked that all of the state of {kind.__module__}.{kind.__qualname__} is saved"
        elif kind not in seen and is_atari(link) and hidden(link) is not None:
            yield f"the emulator keeps to itself {hidden(link)}"
        seen.add(kind)


def env_state(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """Return the state of an environment and all its wrappers as data."""
    base = env.unwrapped
    state: dict[str, Any] = {"links": [_attributes(link) for link in links(env)]}
    curriculum = _curriculum(env)
    if curriculum is not None:
        state["stage"] = curriculum.stage
    model, data = getattr(base, "model", None), getattr(base, "data", None)
    if type(base).__module__.startswith("gymnasium.envs.mujoco") and model is not None:
        state["mujoco"] = _mujoco_state(model, data)
    if is_atari(base):
        state["atari"] = atari_state(base)
    if is_minigrid(base):
        state["minigrid"] = minigrid_state(base, is_data, _NOT_STATE)
    return state


def set_env_state(env: gymnasium.Env[Any, Any], state: dict[str, Any]) -> None:
    """Put a freshly made environment of the same kind into `state`; raises ValueError if its wrappers are others."""
    curriculum = _curriculum(env)
    if curriculum is not None:
        curriculum.restore_stage(state["stage"])  # first: what follows is the state of that stage's environment
    chain = list(links(env))
    if len(chain) != len(state["links"]):
        raise ValueError(f"{env} has {len(chain)} links, the saved state {len(state['links'])}")
    if "mujoco" in state:
        env.reset()  # allocates what the physics needs; everything it sets is overwritten now
        _set_mujoco_state(env.unwrapped.model, env.unwrapped.data, state["mujoco"])  # type: ignore[attr-defined]
    if "atari" in state:
        set_atari_state(env.unwrapped, state["atari"])
    if "minigrid" in state:
        set_minigrid_state(env.unwrapped, state["minigrid"])
    for link, attributes in zip(chain, state["links"], strict=True):
        _set_attributes(link, attributes)


def links(env: gymnasium.Env[Any, Any]) -> Iterator[Any]:
    """Yield an environment's wrappers, the outermost first, and its base."""
    link: Any = env
    while True:
        yield link
        if not isinstance(link, gymnasium.Wrapper):
            return
        link = link.env


def _all_links(env: gymnasium.Env[Any, Any]) -> Iterator[Any]:
    """Yield the links of an environment, and of what it becomes in later stages of a curriculum."""
    yield from links(env)
    curriculum = _curriculum(env)
    for stage in () if curriculum is None else curriculum.stages:
        yield from links(stage)


def _curriculum(env: gymnasium.Env[Any, Any]) -> CurriculumEnv | None:
    return next((link for link in links(env) if isinstance(link, CurriculumEnv)), None)


def data_attributes(holder: Any) -> dict[str, Any]:
    """Return the attributes of an object that are plain data: numbers, strings, arrays, containers of them."""
    return {name: value for name, value in vars(holder).items() if is_data(value)}


def _attributes(link: Any) -> dict[str, Any]:
    values = {name: value for name, value in data_attributes(link).items() if name not in _NOT_STATE}
    found: dict[str, Any] = {"class": type(link).__name__, "values": values, "generators": {}, "objects": {}}
    for name, value in vars(link).items():
        if name in _NOT_STATE:
            continue
        if isinstance(value, np.random.Generator):
            found["generators"][name] = value.bit_generator.state
        elif _is_holder(value):
            found["objects"][name] = _attributes(value)
    if _OBSERVERS in vars(link):
        found[_OBSERVERS] = getattr(link, _OBSERVERS).state()
    for name, space in _spaces(link).items():
        found["generators"] |= {f"{name}/{path}": state for path, state in space_generators(space)}
    return found


def _spaces(link: Any) -> dict[str, Any]:
    """Return the two spaces that every link has, its own or those of the link inside, and any other that it draws from."""
    own = {
        name: value for name, value in vars(link).items() if name not in _NOT_STATE and isinstance(value, spaces.Space)
    }
    return own | {name: getattr(link, name, None) for name in ("action_space", "observation_space")}


def _set_attributes(link: Any, state: dict[str, Any]) -> None:
    if state["class"] != type(link).__name__:
        raise ValueError(f"the saved state is of {state['class']}, the environment has {type(link).__name__}")
    for name, value in state["values"].items():
        setattr(link, name, value)
    for name, inner in state["objects"].items():
        _set_attributes(getattr(link, name), inner)
    if _OBSERVERS in state:
        getattr(link, _OBSERVERS).set_state(state[_OBSERVERS])
    for name, value in state["generators"].items():
        space, separator, path = name.partition("/")
        if separator:
            set_space_generator(getattr(link, space), path, value)
        else:
            setattr(link, name, generator_from(value))


def is_data(value: Any) -> bool:
    """Return whether a value is made of numbers, strings, arrays and containers of them only."""
    if isinstance(value, (list, tuple, deque, set, frozenset)):
        return all(is_data(item) for item in value)
    if isinstance(value, dict):
        return all(is_data(key) and is_data(item) for key, item in value.items())
    if isinstance(value, (np.ndarray, np.generic)):
        return not (value.dtype.hasobject or value.dtype.names)
    return isinstance(value, _PLAIN) and not isinstance(value, Enum)  # an enumeration's members are made anew


def _is_holder(value: Any) -> bool:
    """Return whether a value is a small object of data of its own, such as the running statistics of a normalisation."""
    return type(value).__module__.startswith(("gymnasium.wrappers", "rlctl_cleanrl.")) and hasattr(value, "__dict__")


# ---- generators ----------------------------------------------------------------------------------------------------


def generator_from(state: dict[str, Any]) -> np.random.Generator:
    """Return a generator in `state`, of the same bit generator."""
    bits = getattr(np.random, state["bit_generator"])()
    bits.state = state
    return np.random.Generator(bits)


def space_generators(space: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, state) of the generators of a space and the spaces inside it; those never drawn from have none."""
    if not isinstance(space, spaces.Space):
        return
    if getattr(space, "_np_random", None) is not None:
        yield path, space.np_random.bit_generator.state  # type: ignore[misc]
    for key, inner in _inner_spaces(space):
        yield from space_generators(inner, f"{path}.{key}")


def set_space_generator(space: Any, path: str, state: dict[str, Any]) -> None:
    """Put the generator at `path` of `space_generators` into `state`."""
    for key in path.split(".")[1:]:
        space = dict(_inner_spaces(space))[key]
    space._np_random = generator_from(state)  # noqa: SLF001 - gymnasium has no other way in


def _inner_spaces(space: Any) -> list[tuple[str, Any]]:
    inner = getattr(space, "spaces", None)
    items = inner.items() if isinstance(inner, dict) else enumerate(inner or ())
    return [(str(key), value) for key, value in items]


# ---- MuJoCo --------------------------------------------------------------------------------------------------------


def _mujoco_state(model: Any, data: Any) -> dict[str, Any]:
    """Return the integration state, and what the last step derived from it: rewards look at that, and it is not the same
    as deriving it anew, as a step derives first and then integrates.
    """
    import mujoco

    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, kind), np.float64)
    mujoco.mj_getState(model, data, state, kind)
    derived = {name: np.array(array) for name, array in _arrays(data)}
    return {"integration": state, "derived": derived}


def _set_mujoco_state(model: Any, data: Any, state: dict[str, Any]) -> None:
    import mujoco

    mujoco.mj_setState(model, data, state["integration"], mujoco.mjtState.mjSTATE_INTEGRATION)
    mujoco.mj_forward(model, data)  # makes room for contacts, which the arrays below then fill
    mujoco.mj_setState(
        model, data, state["integration"], mujoco.mjtState.mjSTATE_INTEGRATION
    )  # forward warms the solver
    for name, array in _arrays(data):
        saved = state["derived"].get(name)
        if saved is not None and saved.shape == array.shape:
            array[...] = saved


def _arrays(data: Any) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for name in dir(data):
        value = None if name.startswith("_") else getattr(data, name)
        if isinstance(value, np.ndarray) and value.dtype != object and value.flags.writeable:
            yield name, value
