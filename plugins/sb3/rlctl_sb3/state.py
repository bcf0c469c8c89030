"""Everything that a training with SB3 is, saved and resumed; SB3's own `save` leaves out half of it.

What SB3 does not save: the last observations and episode starts, the environments, all generators, where an episode is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rlctl.gym.env_state import data_attributes, env_state, set_env_state, set_space_generator, space_generators
from rlctl.gym.replay import replay_data, set_replay_data
from rlctl.torch.data import read_data, write_data, write_tensors
from rlctl.torch.random_state import random_states, set_random_states

# Of the model's plain attributes: what the configuration sets again, and what is no state.
_FROM_CONFIG = frozenset({
    "seed", "verbose", "tensorboard_log", "policy_kwargs", "start_time", "n_envs", "device", "_total_timesteps",
    "learning_rate", "lr_schedule", "_stats_window_size",
})  # fmt: skip

_EXPLORATION = ("exploration_mat", "exploration_matrices")


class Sb3State:
    """Writes and reads the state of a model at the beginning of one of its rollouts."""

    def __init__(self, model: BaseAlgorithm, with_replay_buffer: bool) -> None:
        self._model = model
        self._with_replay_buffer = with_replay_buffer

    def write_state(self, folder: Path) -> None:
        """Write the whole training into files."""
        model = self._model
        parameters = model.get_parameters()
        optimizers = {name: state for name, state in parameters.items() if "optimizer" in name}
        networks = {name: state for name, state in parameters.items() if name not in optimizers}
        write_tensors(folder / "weights.safetensors", _flat(networks))
        write_data(folder, "optimizer", optimizers)
        write_data(folder, "variables", {name: _at(model, name).data for name in _variables(model)})
        write_data(folder, "random", random_states())
        write_data(folder, "environments", self._environments())
        attributes = {name: value for name, value in data_attributes(model).items() if name not in _FROM_CONFIG}
        write_data(folder, "exploration", {name: getattr(_exploration(model), name, None) for name in _EXPLORATION})
        write_data(
            folder, "model", {"attributes": attributes, "noises": [data_attributes(noise) for noise in _noises(model)]}
        )
        buffer = getattr(model, "replay_buffer", None)
        if buffer is not None and self._with_replay_buffer:
            write_data(folder, "replay", replay_data(buffer))

    def read_state(self, folder: Path) -> None:
        """Become what was written; without a replay buffer in it, the training goes on with an empty one."""
        model = self._model
        tensors = load_file(folder / "weights.safetensors")
        parameters: dict[str, Any] = {}
        for name, tensor in tensors.items():
            module, _, parameter = name.partition("/")
            parameters.setdefault(module, {})[parameter] = tensor
        model.set_parameters({**parameters, **read_data(folder, "optimizer")}, exact_match=True, device=model.device)
        for name, value in read_data(folder, "variables").items():
            _at(model, name).data.copy_(value)
        state = read_data(folder, "model")
        for name, value in state["attributes"].items():
            setattr(model, name, value)
        for noise, attributes in zip(_noises(model), state["noises"], strict=True):
            vars(noise).update(attributes)
        for name, value in read_data(folder, "exploration", model.device).items():
            if value is not None:
                setattr(_exploration(model), name, value)
        buffer = getattr(model, "replay_buffer", None)
        if buffer is not None and (folder / "replay.json").exists():
            set_replay_data(buffer, read_data(folder, "replay"))
        self._set_environments(read_data(folder, "environments"))
        set_random_states(read_data(folder, "random"))

    def _environments(self) -> dict[str, Any]:
        venv = self._model.get_env()
        state: dict[str, Any] = {"action_space": dict(space_generators(self._model.action_space)), "normalize": []}
        while venv is not None and not isinstance(venv, DummyVecEnv):
            if isinstance(venv, VecNormalize):
                state["normalize"].append({"own": data_attributes(venv), **_statistics(venv)})
            venv = venv.venv  # type: ignore[attr-defined]
        assert isinstance(venv, DummyVecEnv)
        return {**state, "envs": [env_state(env) for env in venv.envs]}

    def _set_environments(self, state: dict[str, Any]) -> None:
        venv = self._model.get_env()
        saved = iter(state["normalize"])
        while venv is not None and not isinstance(venv, DummyVecEnv):
            if isinstance(venv, VecNormalize):
                values = next(saved)
                vars(venv).update(values.pop("own"))
                for name, statistics in values.items():
                    vars(getattr(venv, name)).update(statistics)
            venv = venv.venv  # type: ignore[attr-defined]
        assert isinstance(venv, DummyVecEnv)
        for env, values in zip(venv.envs, state["envs"], strict=True):
            set_env_state(env, values)
        for path, generator in state["action_space"].items():
            set_space_generator(self._model.action_space, path, generator)


def _statistics(venv: VecNormalize) -> dict[str, Any]:
    return {name: data_attributes(getattr(venv, name)) for name in ("obs_rms", "ret_rms") if hasattr(venv, name)}


def _noises(model: BaseAlgorithm) -> list[Any]:
    """Return the action noise and, with several environments, that of each of them."""
    noise = getattr(model, "action_noise", None)
    return [] if noise is None else [noise, *getattr(noise, "noises", [])]


def _exploration(model: BaseAlgorithm) -> Any:
    """Return the distribution of gSDE, which holds the noise of the rollout that has begun; None without gSDE."""
    return (getattr(model, "actor", None) or model.policy).action_dist if getattr(model, "use_sde", False) else None


def _variables(model: BaseAlgorithm) -> list[str]:
    """Return the names of tensors that belong to no module, such as SAC's log_ent_coef."""
    return [name for name in model._get_torch_save_params()[1] if isinstance(_at(model, name), torch.Tensor)]  # noqa: SLF001


def _at(model: Any, name: str) -> Any:
    for part in name.split("."):
        model = getattr(model, part)
    return model


def _flat(parameters: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return {module/parameter: tensor}; tensors that share memory become independent, as the format wants it."""
    return {
        f"{module}/{name}": tensor.detach().cpu().contiguous().clone()
        for module, state in parameters.items()
        for name, tensor in state.items()
    }
