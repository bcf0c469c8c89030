"""Facts about an environment, found by making it once in a process of its own: `python -m rlctl.gym.facts IN OUT`.

A process of its own, because the environment belongs to the worker's Python and not to the host's: importing it must
neither slow the command line down nor be able to break it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium import spaces
from numpy.typing import NDArray

from rlctl.descriptors import ActionSpace, ObservationSpace
from rlctl.errors import ConfigError, RlctlError
from rlctl.gym.environments import import_environments, make_env
from rlctl.gym.values import plain

_KINDS: tuple[tuple[type, str], ...] = (
    (spaces.Discrete, "discrete"),
    (spaces.MultiDiscrete, "multi_discrete"),
    (spaces.MultiBinary, "multi_binary"),
    (spaces.Tuple, "tuple"),
    (spaces.Dict, "dict"),
)


def action_space_kind(space: spaces.Space[Any]) -> ActionSpace:
    """Return the kind of an action space."""
    return ActionSpace("box" if isinstance(space, spaces.Box) else _kind(space))


def observation_space_kind(space: spaces.Space[Any]) -> ObservationSpace:
    """Return the kind of an observation space: a Box of rank 1 is a vector, any other an image."""
    if isinstance(space, spaces.Box):
        return ObservationSpace.VECTOR if len(space.shape) == 1 else ObservationSpace.IMAGE
    return ObservationSpace(_kind(space))


def _kind(space: spaces.Space[Any]) -> str:
    return next((kind for cls, kind in _KINDS if isinstance(space, cls)), "other")


def described(space: spaces.Space[Any]) -> dict[str, Any]:
    """Return a space as data: `kind`, `class`, and what belongs to the kind, inner spaces included.

    A Box has `shape`, `dtype`, `low` and `high`, which are one number where all are the same, a Discrete `n` and `start`, a
    MultiDiscrete `nvec`, a MultiBinary `shape`; a Dict has `spaces` by name, a Tuple a list of them.
    """
    kind = "box" if isinstance(space, spaces.Box) else _kind(space)
    found: dict[str, Any] = {"kind": kind, "class": f"{type(space).__module__}:{type(space).__qualname__}"}
    if isinstance(space, (spaces.Box, spaces.MultiBinary)):
        found |= {"shape": list(space.shape), "dtype": str(space.dtype)}
    elif isinstance(space, spaces.Discrete):
        found |= {"n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.Box):
        found |= {"low": _bound(space.low), "high": _bound(space.high)}
    elif isinstance(space, spaces.MultiDiscrete):
        found["nvec"] = space.nvec.tolist()
    elif isinstance(space, spaces.Dict):
        found["spaces"] = {str(name): described(inner) for name, inner in space.spaces.items()}
    elif isinstance(space, spaces.Tuple):
        found["spaces"] = [described(inner) for inner in space.spaces]
    return found


def _bound(bound: NDArray[Any]) -> Any:
    return plain(bound.flat[0] if bound.size and (bound == bound.flat[0]).all() else bound)


def facts_of(env: dict[str, Any]) -> dict[str, Any]:
    """Return what `rlctl.compatibility.EnvFacts` holds, as data; a failure is a fact too."""
    try:
        made = make_env(env)
    except ConfigError as error:
        wrong = error.problems[0]
        return {"error": wrong.message, "hint": wrong.hint, "path": wrong.path, "unavailable": wrong.unavailable}
    except RlctlError as error:
        return {"error": error.message, "hint": error.hint}
    except BaseException as error:  # noqa: BLE001 - whatever a stranger's environment raises, SystemExit too
        agents = _agents_of_unmakeable(env)
        if agents > 1:
            return {"num_agents": agents}
        message = " ".join(str(error).split())  # one line, whatever the environment's author wrote
        return {"error": f"{env['id']} cannot be made: {type(error).__name__}: {message}"}
    base = made.unwrapped
    spec = made.spec
    facts = {
        "action_space": action_space_kind(made.action_space).value,
        "observation_space": observation_space_kind(made.observation_space).value,
        "action_text": str(made.action_space),
        "observation_text": _short(str(made.observation_space)),
        "observation": described(made.observation_space),
        "num_agents": max(1, len(getattr(base, "possible_agents", None) or ())),
        "max_episode_steps": spec.max_episode_steps if spec else None,
        "spec": _spec(spec),
        "render_modes": _render_modes(made),
    }
    made.close()
    return facts


def _render_modes(env: gymnasium.Env[Any, Any]) -> list[str] | None:
    modes = env.metadata.get("render_modes")
    return None if modes is None else [str(mode) for mode in modes]


def _spec(spec: Any) -> Any:
    try:
        return json.loads(spec.to_json())
    except Exception:  # noqa: BLE001 - kwargs that are not JSON: the id is still worth having
        return {"id": spec.id} if spec else None


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:97] + "..."


def _agents_of_unmakeable(env: dict[str, Any]) -> int:
    """Return how many agents an environment has that gymnasium refuses, such as one of PettingZoo's; 1 if unknown."""
    try:
        import_environments(env)
        creator: Any = gymnasium.spec(env["id"]).entry_point
        if isinstance(creator, str):
            creator = gymnasium.envs.registration.load_env_creator(creator)
        return len(getattr(creator(**(env.get("kwargs") or {})), "possible_agents", ()))
    except BaseException:  # noqa: BLE001 - then the first error is the one to report
        return 1


def main() -> None:
    """Read the environment's configuration from argv[1] and write its facts to argv[2], both JSON files."""
    env = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(facts_of(env), default=str), encoding="utf-8")


if __name__ == "__main__":
    main()
