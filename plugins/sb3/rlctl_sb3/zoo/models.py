"""What a zip that SB3's `save` wrote says of its training, without unpickling: JSON beside texts, and pickles passed over."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from rlctl.errors import Problem, RlctlError
from rlctl_sb3.signatures import constructor_parameters
from rlctl_sb3.zoo.literals import NAMES

_MAXIMUM_BYTES = 200_000_000
_TYPE, _PICKLE = ":type:", ":serialized:"
_DIFFERENT = ("policy",)
"""Arguments that a model has under another name, or not at all."""
_CONSTANT = re.compile(r"ConstantSchedule\(val=([-+.\de]+)\)")
_LINEAR = re.compile(r"LinearSchedule\(start=([-+.\de]+), end=([-+.\de]+), end_fraction=1(?:\.0)?\)")
_CLASS = re.compile(r"<class '([\w.]+)'>")


@frozen
class ModelFacts:
    """What is known of a model: `algorithm` None where that cannot be told; settings as they stand, by their names."""

    algorithm: str | None
    step: int
    seed: int | None
    num_envs: int | None
    values: Mapping[str, Any] = field(repr=False)
    versions: Mapping[str, str] = field(factory=dict)


def read_model(path: Path) -> ModelFacts:
    """Return what the zip says; raises RlctlError for a file that is no model of SB3."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(_member(archive, "data", path))
            names = archive.namelist()
            system = (
                _member(archive, "system_info.txt", path).decode("utf-8", "replace")
                if "system_info.txt" in names
                else ""
            )
    except (
        OSError,
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        RecursionError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise RlctlError(f"{path} is no model of Stable-Baselines3: {error}") from error
    if not isinstance(data, dict):
        raise RlctlError(f"{path} is no model of Stable-Baselines3: its data is no mapping.")
    step = _whole(data.get("num_timesteps"))
    versions = dict(re.findall(r"^- (.+?): (.+)$", system, re.MULTILINE))
    return ModelFacts(_algorithm(data), step or 0, _whole(data.get("seed")), _whole(data.get("n_envs")), data, versions)


def settings_of(facts: ModelFacts, algorithm: str) -> tuple[dict[str, Any], list[Problem]]:
    """Return (settings, which of them are not known and why) of a model's algorithm."""
    settings: dict[str, Any] = {}
    unknown: list[Problem] = []
    for parameter in constructor_parameters(algorithm):
        name = parameter.name
        if name in _DIFFERENT or name not in facts.values:
            continue
        try:
            settings[name] = _plain(facts.values[name], facts.values.get(f"{_schedule_name(name)}"))
        except ValueError as error:
            unknown.append(Problem(name, f"is a pickle in the model's file, which is not opened: {error}"))
    policy = _policy(facts.values)
    if policy is not None:
        settings["policy"] = policy
    return settings, unknown


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    size = archive.getinfo(name).file_size
    if size > _MAXIMUM_BYTES:
        raise RlctlError(f"{path}: its member {name} has {size} bytes, more than a model says of itself.")
    return archive.read(name)


def _algorithm(data: Mapping[str, Any]) -> str | None:
    """Return the algorithm by what only its models have; None for none of SB3's own."""
    policy = data.get("policy_class")
    module = str(policy.get("__module__", "")) if isinstance(policy, Mapping) else ""
    package, _, rest = module.partition(".")
    family = rest.partition(".")[0]
    if package == "sb3_contrib":
        return {"ppo_recurrent": "ppo_lstm", "ppo_mask": "ppo_mask", "common": "ppo_mask"}.get(family, family)
    if "cg_damping" in data:
        return "trpo"
    if family in ("dqn", "sac"):
        return family
    if "policy_delay" in data:
        arguments = data.get("policy_kwargs")
        return "ddpg" if isinstance(arguments, Mapping) and arguments.get("n_critics") in (1, "1") else "td3"
    if "clip_range" in data:
        return "ppo"
    return "a2c" if "gae_lambda" in data else None


def _policy(data: Mapping[str, Any]) -> str | None:
    """Return the name under which SB3 knows the policy's class; what is a class of somebody's own is not known."""
    policy = data.get("policy_class")
    described = (
        str(policy.get("__init__", "")) + str(policy.get("__module__", "")) if isinstance(policy, Mapping) else ""
    )
    if "stable_baselines3." not in described:
        return None
    kinds = {"MultiInput": "MultiInputPolicy", "Cnn": "CnnPolicy"}
    return next((name for part, name in kinds.items() if part in described), "MlpPolicy")


def _schedule_name(name: str) -> str:
    return "lr_schedule" if name == "learning_rate" else name


def _plain(value: Any, schedule: Any) -> Any:
    """Return a value as data; raises ValueError for one that only unpickling could tell."""
    if not (isinstance(value, Mapping) and _PICKLE in value):
        return value
    for described in (value, schedule):
        text = str(described.get("value_schedule", "")) if isinstance(described, Mapping) else ""
        if constant := _CONSTANT.fullmatch(text):
            return float(constant.group(1))
        if linear := _LINEAR.fullmatch(text):
            return {"schedule": "linear", "start": float(linear.group(1)), "end": float(linear.group(2))}
    kind = str(value.get(_TYPE, "an object"))
    if kind == "<class 'dict'>":
        return {key: _named(item) for key, item in value.items() if key not in (_TYPE, _PICKLE)}
    described = f"{value.get('__module__')}.{_class_of(value)}"
    if described in _DEFAULT_CLASSES:
        return None
    raise ValueError(f"it is of {kind}")


_DEFAULT_CLASSES = ("stable_baselines3.common.buffers.RolloutBuffer", "stable_baselines3.common.buffers.ReplayBuffer")
"""What these arguments are where nothing is said."""


def _class_of(value: Mapping[str, Any]) -> str:
    """Return the name of a class from that of its constructor: `<function ReplayBuffer.__init__ at 0x7f…>`."""
    found = re.match(r"<function (\w+)\.__init__ at", str(value.get("__init__", "")))
    return found.group(1) if found else ""


def _named(value: Any) -> Any:
    """Return a value of a mapping that was pickled as well: a class by its name, data as it is."""
    found = _CLASS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        if isinstance(value, str) and value.startswith("<"):
            raise ValueError(f"it has {value}")
        return value
    if found.group(1) not in NAMES:
        raise ValueError(f"it has the class {found.group(1)}")
    return NAMES[found.group(1)]


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
