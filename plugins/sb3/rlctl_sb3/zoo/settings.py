"""One entry of the zoo's hyper-parameters as a configuration of rlctl, with a reason for each field that is not taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from rlctl.errors import Problem
from rlctl_sb3.conversions.settings import sound_settings
from rlctl_sb3.zoo.literals import NAMES, NotLiteralError, parse_literal
from rlctl_sb3.zoo.wrappers import wrapper_here
from rlctl_sb3.zoo.yaml_data import Foreign

_SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf")
_POLICIES = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")
_NOISES = {"normal": "normal", "ornstein-uhlenbeck": "ornstein_uhlenbeck"}
_TIME_LIMITS = ("TimeLimit",)
_VEC_ENV = "stable_baselines3.common.vec_env"
_STACKING = (f"{_VEC_ENV}.VecFrameStack", f"{_VEC_ENV}.vec_frame_stack.VecFrameStack")
_NORMALIZING = (f"{_VEC_ENV}.VecNormalize", f"{_VEC_ENV}.vec_normalize.VecNormalize")
_WITHOUT_EFFECT = {
    "stable_baselines3.common.monitor.Monitor": "episodes are recorded in any case",
    "stable_baselines3.common.vec_env.VecMonitor": "episodes are recorded in any case",
}
_NOT_LISTED = "is none of the wrappers that are known here. If you have it, name it in env.wrappers: {name}"
_NOT_VECTORIZED = "what goes around all environments at once is said by normalize and frame_stack, and nothing else is"


class UnusableError(Exception):
    """A field that is not taken; the message says why."""


@define
class Translated:
    """What became of an entry: the configuration, which fields were `left_out` and why, and what makes it `unusable`."""

    config: dict[str, Any]
    left_out: list[Problem] = field(factory=list)
    unusable: list[Problem] = field(factory=list)


def translate(entry: Mapping[str, Any], algorithm: str, env_id: str) -> Translated:
    """Return an entry of the zoo's file as a configuration of the worker sb3."""
    return _Translation(entry, algorithm, env_id).result()


class _Translation:
    """Goes through the fields of one entry."""

    def __init__(self, entry: Mapping[str, Any], algorithm: str, env_id: str) -> None:
        self._entry, self._algorithm = entry, algorithm
        self._env: dict[str, Any] = {"id": env_id}
        self._budget: dict[str, Any] = {}
        self._settings: dict[str, Any] = {}
        self._left_out: list[Problem] = []
        self._unusable: list[Problem] = []

    def result(self) -> Translated:
        for name, value in self._entry.items():
            take = _TAKERS.get(name, _Translation.take_setting)
            try:
                take(self, name, data_of(value))
            except (UnusableError, NotLiteralError) as error:
                (self._unusable if name in _INDISPENSABLE else self._left_out).append(Problem(name, str(error)))
        if "total_timesteps" not in self._budget and not self._unusable:
            self._left_out.append(Problem("n_timesteps", "is not said: the budget is the algorithm's default."))
        self._check()
        env: Any = self._env if len(self._env) > 1 else self._env["id"]
        config = {"worker": "sb3", "algo": self._algorithm, "env": env, **self._budget}
        if self._settings:
            config["hyperparameters"] = self._settings
        return Translated(config, self._left_out, self._unusable)

    def _check(self) -> None:
        """Leave out what SB3's constructor does not take, by the rules that a run of it is checked by."""
        self._settings, problems = sound_settings(self._settings, self._algorithm)
        for problem in problems:
            name, _, inner = problem.path.partition(".")
            message = f"{inner and problem.path + ': '}{problem.message}"
            self._left_out.append(Problem(name, message, problem.hint))

    # ---- fields that are no settings of the algorithm --------------------------------------------------------------

    def take_steps(self, name: str, value: Any) -> None:
        self._budget["total_timesteps"] = _whole(value)

    def take_num_envs(self, name: str, value: Any) -> None:
        self._env["num_envs"] = _whole(value)

    def take_env_kwargs(self, name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise UnusableError(f"expected a mapping, got {value!r}")
        if value:
            self._env["kwargs"] = dict(value)

    def take_wrappers(self, name: str, value: Any) -> None:
        """Take a limit of time, which is a key of the environment, and the wrappers that are known; name each other."""
        taken = []
        for wrapper, arguments in _classes(value):
            entry = wrapper_here(wrapper, arguments)
            if wrapper.rpartition(".")[2] in _TIME_LIMITS and wrapper.startswith("gymnasium."):
                self._env["max_episode_steps"] = _whole(arguments.get("max_episode_steps"))
            elif entry is not None:
                taken.append(entry)
            else:
                here = ":".join(wrapper.rpartition(".")[::2])
                reason = _WITHOUT_EFFECT.get(wrapper, _NOT_LISTED.format(name=here))
                self._left_out.append(Problem(name, f"{wrapper}: {reason}"))
        if taken:
            self._env["wrappers"] = taken

    def take_vec_wrappers(self, name: str, value: Any) -> None:
        """Take SB3's VecNormalize and VecFrameStack, which are settings; name each other."""
        for wrapper, arguments in _classes(value):
            if wrapper in _STACKING and set(arguments) == {"n_stack"}:
                self._settings["frame_stack"] = _whole(arguments["n_stack"])
            elif wrapper in _NORMALIZING:
                self._settings["normalize"] = dict(arguments) or True
            else:
                self._left_out.append(Problem(name, f"{wrapper}: {_WITHOUT_EFFECT.get(wrapper, _NOT_VECTORIZED)}"))

    def take_frame_stack(self, name: str, value: Any) -> None:
        if value not in (None, 0, 1):
            self._settings[name] = _whole(value)

    def take_callbacks(self, name: str, value: Any) -> None:
        for callback, _ in _classes(value):
            message = "a callback of SB3 is code, and a run of rlctl has callbacks of its own: `rlctl callbacks list`"
            self._left_out.append(Problem(name, f"{callback}: {message}"))

    def take_monitor(self, name: str, value: Any) -> None:
        if value:
            raise UnusableError("episodes.jsonl has returns and lengths, and no more of what an environment tells")

    # ---- settings --------------------------------------------------------------------------------------------------

    def take_setting(self, name: str, value: Any) -> None:
        self._settings[name] = value

    def take_schedule(self, name: str, value: Any) -> None:
        """`lin_0.1` falls from 0.1 to 0."""
        if isinstance(value, str):
            kind, _, start = value.partition("_")
            number = _number(start)
            if kind != "lin" or number is None:
                raise UnusableError(f'expected a number or lin_NUMBER, got "{value}"')
            value = {"schedule": "linear", "start": number, "end": 0}
        elif name == "clip_range_vf" and isinstance(value, (int, float)) and value < 0:
            raise UnusableError(f"{value} is how SB2 said that values are not clipped, which is the default")
        self._settings[name] = value

    def take_noise(self, name: str, value: Any) -> None:
        kind = str(value).strip()
        use = next((ours for theirs, ours in _NOISES.items() if theirs in kind), None)
        sigma = data_of(self._entry.get("noise_std"))
        if value is None:
            return
        if use is None:
            raise UnusableError(f'expected one of {", ".join(_NOISES)}, got "{value}"')
        if isinstance(sigma, bool) or not isinstance(sigma, (int, float)):
            raise UnusableError(f"needs a number noise_std, got {sigma!r}")
        self._settings["action_noise"] = {"use": use, "sigma": sigma}

    def take_noise_std(self, name: str, value: Any) -> None:
        if self._entry.get("noise_type") is None:
            raise UnusableError("has no effect without noise_type")

    def take_normalize(self, name: str, value: Any) -> None:
        value = parse_literal(value) if isinstance(value, str) else value
        if value not in (False, None):
            self._settings[name] = value

    def take_policy(self, name: str, value: Any) -> None:
        if value not in _POLICIES:
            prefix, _, cls = str(value).rpartition(".")
            if prefix.partition(".")[0] != "stable_baselines3" or cls not in _POLICIES:
                raise UnusableError(f'"{value}" is no policy of SB3: {", ".join(_POLICIES)}')
            value = cls  # each algorithm knows its own by this name
        self._settings[name] = value

    def take_literal(self, name: str, value: Any) -> None:
        value = parse_literal(value) if isinstance(value, str) else value
        if value is None:
            return
        if not isinstance(value, Mapping):
            raise UnusableError(f"expected a mapping, got {value!r}")
        architecture = value.get("net_arch")
        if isinstance(architecture, list) and len(architecture) == 1 and isinstance(architecture[0], Mapping):
            value = {**value, "net_arch": architecture[0]}  # SB3 before 1.8 wanted it in a list
        self._settings[name] = dict(value)

    def take_class(self, name: str, value: Any) -> None:
        self._settings[name] = value if value in NAMES.values() else parse_literal(str(value))


_TAKERS: dict[str, Callable[[_Translation, str, Any], None]] = {
    "n_timesteps": _Translation.take_steps,
    "n_envs": _Translation.take_num_envs,
    "env_kwargs": _Translation.take_env_kwargs,
    "env_wrapper": _Translation.take_wrappers,
    "vec_env_wrapper": _Translation.take_vec_wrappers,
    "frame_stack": _Translation.take_frame_stack,
    "callback": _Translation.take_callbacks,
    "monitor_kwargs": _Translation.take_monitor,
    "noise_type": _Translation.take_noise,
    "noise_std": _Translation.take_noise_std,
    "normalize": _Translation.take_normalize,
    "policy": _Translation.take_policy,
    "policy_kwargs": _Translation.take_literal,
    "replay_buffer_kwargs": _Translation.take_literal,
    "rollout_buffer_kwargs": _Translation.take_literal,
    "replay_buffer_class": _Translation.take_class,
    "rollout_buffer_class": _Translation.take_class,
    **dict.fromkeys(_SCHEDULES, _Translation.take_schedule),
}
"""Field → what takes it; any other is a setting as it stands."""

_INDISPENSABLE = ("n_timesteps", "policy")
"""Without these an entry would be another training than the one that it describes."""


def data_of(value: Any) -> Any:
    """Return a value of YAML as data of JSON; raises UnusableError for a Python object, a date, or a number that is none."""
    if isinstance(value, Foreign):
        raise UnusableError(f"is {value}")
    if isinstance(value, Mapping):
        return {str(key): data_of(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [data_of(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise UnusableError(f"must be a finite number, got {value}")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise UnusableError(f"is of a kind that a configuration has no place for: {value!r}")


def _classes(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (class, arguments) of a name, a mapping of a name to arguments, or a list of these."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for item in value if isinstance(value, list) else [] if value is None else [value]:
        pairs = item.items() if isinstance(item, Mapping) else [(item, {})]
        found += [(str(name), arguments if isinstance(arguments, Mapping) else {}) for name, arguments in pairs]
    return found


def _whole(value: Any) -> int:
    number = _number(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or number != int(number) or number < 1:
        raise UnusableError(f"expected a whole number from 1 on, got {value!r}")
    return int(number)


def _number(text: str) -> float | None:
    """Return the number that a text writes, None for none: PyYAML reads 1e5 as a text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
