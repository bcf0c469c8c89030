"""`env.curriculum` as data: the presets, what each stage's environment is and when it ends, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rlctl.config.conditions import METRICS, Comparison, Condition, parse_condition
from rlctl.config.wrappers import wrapper_problems
from rlctl.errors import Problem, did_you_mean

WINDOW = 100
"""Episodes of a stage whose mean return is `episode_return`, where the stage does not say."""

_KEYS = ("env_id", "env", *METRICS, "until", "window")
_KINDS: dict[str, tuple[type, str]] = {
    "id": (str, "a string"),
    "kwargs": (Mapping, "a mapping"),
    "imports": (list, "a list"),
    "max_episode_steps": (int, "a whole number from 1 on"),
    "wrappers": (list, "a list"),
}
"""What a stage may say of its environment: key → its type, and that in words."""


def _stages(ids: Iterable[str], steps: int) -> list[dict[str, Any]]:
    """Return a stage of so many steps for each id; the last one has no end."""
    *first, last = ids
    return [*({"env_id": name, "steps": steps} for name in first), {"env_id": last}]


PRESETS: dict[str, list[dict[str, Any]]] = {
    "babyai_goto": _stages(
        (f"BabyAI-{name}-v0" for name in ("GoToRedBallNoDists", "GoToRedBall", "GoToObj", "GoToLocal")), 200_000
    ),
    "babyai_doorkey": _stages((f"MiniGrid-DoorKey-{size}x{size}-v0" for size in (5, 6, 8, 16)), 200_000),
    "minigrid_empty": [
        *({"env_id": f"MiniGrid-Empty-{size}x{size}-v0", "until": "steps>=100000 | episode_return>=0.9"} for size in (5, 6, 8)),
        {"env_id": "MiniGrid-Empty-16x16-v0"},
    ],
}  # fmt: skip
"""Curricula with a name, which may stand in the place of the list of stages."""


def expanded(said: Any) -> Any:
    """Return the stages of a preset for its name, anything else as it is."""
    return [dict(stage) for stage in PRESETS[said]] if isinstance(said, str) and said in PRESETS else said


def final_id(said: Any) -> str | None:
    """Return the id of the last stage of what a configuration says, however wrong the rest of it is; None without one."""
    stages = expanded(said)
    last = stages[-1] if isinstance(stages, list) and stages else None
    found = _own_env(last).get("id") if isinstance(last, Mapping) else None
    return found if isinstance(found, str) else None


def stage_envs(env: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the environment of each stage, as an `env` mapping without a curriculum; `curriculum_problems` must have none.

    What a stage says is added to what holds for all of them: `kwargs` key by key, `imports` and `wrappers` after the others.
    """
    common = {**env, "curriculum": []}
    return [_with(common, _own_env(stage)) for stage in expanded(env.get("curriculum") or [])]


def final_env(env: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment in which a policy is evaluated and shown: that of the last stage, or the only one."""
    return (stage_envs(env) or [dict(env)])[-1]


def end_of(stage: Mapping[str, Any]) -> Condition:
    """Return when a stage is over, whichever of its conditions holds first; never where it has none."""
    limits = tuple((Comparison(name, ">=", float(stage[name])),) for name in METRICS if stage.get(name) is not None)
    return limits + (parse_condition(stage["until"]) if stage.get("until") is not None else ())


def _own_env(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a stage says of its environment."""
    said = stage.get("env")
    own = {"id": said} if isinstance(said, str) else dict(said) if isinstance(said, Mapping) else {}
    return {**own, "id": stage["env_id"]} if stage.get("env_id") is not None else own


def _with(env: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    lists = {name: [*(env.get(name) or ()), *(own.get(name) or ())] for name in ("imports", "wrappers")}
    plain = {name: own[name] for name in ("id", "max_episode_steps") if own.get(name) is not None}
    return {**env, **plain, **lists, "kwargs": {**(env.get("kwargs") or {}), **(own.get("kwargs") or {})}}


# ---- what is wrong -------------------------------------------------------------------------------------------------


def curriculum_problems(said: Any, env_id: str | None) -> Iterator[Problem]:
    """Yield everything that is wrong with the form of `env.curriculum`; `env_id` is what `env.id` says."""
    stages = expanded(said)
    if isinstance(stages, str):
        hint = did_you_mean(stages, PRESETS) or f"There are {', '.join(PRESETS)}."
        yield Problem("env.curriculum", f'there is no curriculum "{stages}".', hint)
        return
    for index, stage in enumerate(stages):
        path = f"env.curriculum[{index}]"
        if not isinstance(stage, Mapping):
            yield Problem(path, f"expected a stage such as {{env_id: CartPole-v1, steps: 10000}}, got {stage!r}")
            continue
        yield from _stage_problems(path, stage, is_last=index == len(stages) - 1)
    last = final_id(stages)
    if last is not None and env_id is not None and last != env_id:
        message = f"is {env_id}, and the last stage of the curriculum, which is evaluated, is {last}."
        yield Problem("env.id", message, "Leave env.id out, and name the environment in each stage.")


def _stage_problems(path: str, stage: Mapping[str, Any], *, is_last: bool) -> Iterator[Problem]:
    for key in stage:
        if key not in _KEYS:
            yield Problem(f"{path}.{key}", "unknown key.", did_you_mean(str(key), _KEYS))
    yield from _env_problems(path, stage)
    ends = list(_end_problems(path, stage))
    yield from ends
    if not ends and not end_of(stage) and not is_last:
        message = f"never ends: it has none of {', '.join(METRICS)} and until."
        yield Problem(path, message, "Add steps: 100000, say; only the last stage may go on to the run's end.")
    returns = {comparison.metric for alternative in ([] if ends else end_of(stage)) for comparison in alternative}
    if stage.get("window") is not None and not ends and "episode_return" not in returns:
        yield Problem(f"{path}.window", "has no effect without a condition on episode_return.", "Leave it out.")


def _env_problems(path: str, stage: Mapping[str, Any]) -> Iterator[Problem]:
    said, env_id = stage.get("env"), stage.get("env_id")
    if env_id is not None and not isinstance(env_id, str):
        yield Problem(f"{path}.env_id", f"expected a string, got {env_id!r}")
    if said is not None and not isinstance(said, (str, Mapping)):
        yield Problem(f"{path}.env", f"expected an id or a mapping, got {said!r}")
    if env_id is not None and (isinstance(said, str) or (isinstance(said, Mapping) and said.get("id") is not None)):
        yield Problem(f"{path}.env_id", "and env both name the environment.", "Keep one.")
    for key, value in said.items() if isinstance(said, Mapping) else ():
        where = f"{path}.env.{key}"
        if key not in _KINDS:
            yield Problem(where, "unknown key.", did_you_mean(str(key), _KINDS))
            continue
        kind, words = _KINDS[key]
        if value is not None and (not isinstance(value, kind) or (kind is int and not _counts(value))):
            yield Problem(where, f"expected {words}, got {value!r}")
        elif key == "wrappers" and isinstance(value, list):
            yield from wrapper_problems(value, where)


def _end_problems(path: str, stage: Mapping[str, Any]) -> Iterator[Problem]:
    for name in ("steps", "episodes", "window"):
        if stage.get(name) is not None and not _counts(stage[name]):
            yield Problem(f"{path}.{name}", f"expected a whole number from 1 on, got {stage[name]!r}")
    value = stage.get("episode_return")
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value)
    ):
        yield Problem(f"{path}.episode_return", f"expected a number, got {value!r}")
    until = stage.get("until")
    if until is not None and not isinstance(until, str):
        yield Problem(f"{path}.until", f'expected a text such as "steps>=200000", got {until!r}')
    elif until is not None:
        try:
            parse_condition(until)
        except ValueError as error:
            yield Problem(f"{path}.until", str(error))


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
