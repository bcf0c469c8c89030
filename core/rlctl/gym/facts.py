"""Facts about an environment, found by making it once in a process of its own: `python -m rlctl.gym.facts IN OUT`.

A process of its own, because the environment belongs to the worker's Python and not to the host's: importing it must
neither slow the command line down nor be able to break it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium import spaces
from numpy.typing import NDArray

from rlctl.config.curriculum import stage_envs
from rlctl.descriptors import ActionSpace, ObservationSpace
from rlctl.errors import ConfigError, RlctlError
from rlctl.gym.curriculum import different_spaces
from rlctl.gym.env_state import inexact, links
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
    """Return what `rlctl.compatibility.EnvFacts` holds, as data; a failure is a fact too.

    Of a curriculum they are those of the last stage, with the problems of all.
    """
    stages = stage_envs(env)
    if not stages:
        return _facts_of_one(env)
    problems = list(_problems_of(env, stages))
    return {"error": problems[0]["message"], "problems": problems} if problems else _facts_of_one(stages[-1])


def _problems_of(env: dict[str, Any], stages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the fields of a Problem for each stage that cannot be made, or has other spaces than the first that can."""
    first: tuple[int, Any] | None = None
    for index, stage in enumerate(stages):
        path = f"env.curriculum[{index}]"
        facts = _facts_of_one(stage)
        if "spec" not in facts:
            where = _path_in_stage(path, facts.get("path", ""), len(env.get("wrappers") or ()))
            message = f"{stage.get('id')}: {facts.get('error', 'it has several agents, and a policy plays one.')}"
            yield {
                "path": where,
                "message": message,
                "hint": facts.get("hint"),
                "unavailable": facts.get("unavailable", True),
            }
            continue
        made = make_env(stage)
        different = None if first is None else different_spaces(made, first[1])
        if different is not None:
            assert first is not None
            message = f"{stage['id']} has another {different[0]} space than env.curriculum[{first[0]}], {stages[first[0]]['id']}"
            hint = "One policy plays all stages; env.wrappers, or a stage's own, may make their spaces the same."
            yield {
                "path": path,
                "message": f"{message}: {_short(different[1])} and {_short(different[2])}.",
                "hint": hint,
            }
        first = first or (index, made)  # its spaces outlive it
        made.close()


def _path_in_stage(path: str, found: str, common: int) -> str:
    """Return where a problem of a stage stands: the wrappers of `env` come before those of the stage, and are so many."""
    wrapper = re.fullmatch(r"env\.wrappers\[(\d+)\](.*)", found)
    if wrapper is None:
        return path
    index = int(wrapper[1])
    return found if index < common else f"{path}.env.wrappers[{index - common}]{wrapper[2]}"


def _facts_of_one(env: dict[str, Any]) -> dict[str, Any]:
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
        "wrappers": [type(link).__name__ for link in links(made) if link is not made.unwrapped],
        "inexact": list(inexact([made])),
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
