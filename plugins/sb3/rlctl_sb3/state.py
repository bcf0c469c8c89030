"""Everything that a training with SB3 is, saved and resumed; SB3's own `save` leaves out half of it.

What SB3 does not save: the last observations and episode starts, the environments, all generators, where an episode is.
"""

from __future__ import annotations

import contextlib
import copy
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize, VecTransposeImage, unwrap_vec_wrapper

from rlctl import RlctlError
from rlctl.gym.env_state import data_attributes, set_space_generator, space_generators
from rlctl.gym.replay import replay_data, set_replay_data
from rlctl.torch.data import read_data, write_data, write_tensors
from rlctl.torch.random_state import preserved_random_states, random_states, set_random_states
from rlctl.torch.weights import read_torch_file, take_weights
from rlctl_sb3.monitor_files import MonitorFiles
from rlctl_sb3.normalization import normalization, set_normalization, set_statistics
from rlctl_sb3.policy import Sb3Policy

# Of the model's plain attributes: what the configuration sets again, and what is no state.
_FROM_CONFIG = frozenset({
    "seed", "verbose", "tensorboard_log", "policy_kwargs", "start_time", "n_envs", "device", "_total_timesteps",
    "learning_rate", "lr_schedule", "_stats_window_size",
})  # fmt: skip

_NORMALIZE = "Say so: --set hyperparameters.normalize=true."
STATISTICS = "vecnormalize.pkl"
"""As SB3's users call the file beside a model that has what its observations are normalised by."""

PROGRESS = "_update_current_progress_remaining"
"""SB3's method that says how far the training is; it may be replaced in a model, and must then not be saved with it."""

OF_ARS = ("_do_one_update", "_mimic_monitor_wrapper")
"""Methods of ARS that may be replaced in a model, too: an update, and what makes episodes of one that was evaluated."""

_EXPLORATION = ("exploration_mat", "exploration_matrices")


class Sb3State:
    """Writes and reads the state of a model at the beginning of one of its rollouts."""

    def __init__(
        self, model: BaseAlgorithm, with_replay_buffer: bool, monitor: MonitorFiles, *, masked: bool = False
    ) -> None:
        self._model = model
        self._monitor = monitor
        self._masked = masked
        self._with_replay_buffer = with_replay_buffer

    @property
    def model(self) -> BaseAlgorithm:
        """The model that is trained."""
        return self._model

    @property
    def masked(self) -> bool:
        """Whether it asks which actions are allowed."""
        return self._masked

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
        self._write_environments(folder)
        attributes = {name: value for name, value in data_attributes(model).items() if name not in _FROM_CONFIG}
        write_data(folder, "memory", _memory(model))
        write_data(folder, "monitor", self._monitor.sizes())
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
        self.read_agent(folder)
        self._monitor.cut(read_data(folder, "monitor"))
        _set_memory(model, read_data(folder, "memory", model.device))
        buffer = getattr(model, "replay_buffer", None)
        if buffer is not None and (folder / "replay.json").exists():
            set_replay_data(buffer, read_data(folder, "replay"))
        self._read_environments(folder)
        set_random_states(read_data(folder, "random"))

    def read_agent(self, folder: Path) -> None:
        """Become what was written of the model itself: networks, optimizers, noise and counts, and nothing around it."""
        model = self._model
        tensors = load_file(folder / "weights.safetensors")
        parameters: dict[str, Any] = {}
        for name, tensor in tensors.items():
            module, _, parameter = name.partition("/")
            parameters.setdefault(module, {})[parameter] = tensor
        model.set_parameters({**parameters, **read_data(folder, "optimizer")}, exact_match=True, device=model.device)
        _follow_the_policy(model)
        for name, value in read_data(folder, "variables").items():
            _at(model, name).data.copy_(value)
        state = read_data(folder, "model")
        for name, value in state["attributes"].items():
            setattr(model, name, value)
        _lay_as_transposed(model)
        for noise, attributes in zip(_noises(model), state["noises"], strict=True):
            vars(noise).update(attributes)
        for name, value in read_data(folder, "exploration", model.device).items():
            if value is not None:
                setattr(_exploration(model), name, value)

    def save(self, path: Path) -> None:
        """Write the zip of SB3's own `save`, and beside it the statistics of a normalisation."""
        self._model.save(path, exclude=[PROGRESS, *OF_ARS])
        normalized = self._model.get_vec_normalize_env()
        if normalized is not None:
            normalized.save(str(path.with_name(STATISTICS)))

    # ---- what is lent and taken ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def policy(self, seed: int) -> Iterator[Sb3Policy]:
        """Lend the policy, as `rlctl.worker.protocol.Resumable` says."""
        model = self._model
        training, space = model.policy.training, model.action_space
        with preserved_random_states(seed):
            model.action_space = copy.deepcopy(space)  # SB3's DQN explores by drawing from it
            model.action_space.seed(seed)
            try:
                yield Sb3Policy(model, masked=self._masked, stacked=self.stacked)
            finally:
                model.action_space = space
                model.policy.set_training_mode(training)

    def read_weights(self, folder: Path) -> None:
        """Take the networks of a checkpoint, and the statistics by which its observations were normalised."""
        self._take(load_file(folder / "weights.safetensors"), folder)
        normalized, known = self._model.get_vec_normalize_env(), (folder / "normalization.json").exists()
        if normalized is not None and known:
            set_statistics(normalized, read_data(folder, "normalization"))
        elif known:
            raise RlctlError(f"the weights in {folder} were trained on normalised observations.", hint=_NORMALIZE)
        rate = read_data(folder, "model")["attributes"].get("exploration_rate")
        if rate is not None:  # a new training sets its own with the first step
            vars(self._model)["exploration_rate"] = rate

    def read_artefact(self, path: Path, trust: bool) -> None:
        """Take the networks of a zip that SB3's `save` wrote; only its tensors are read, nothing is unpickled without trust."""
        try:
            with zipfile.ZipFile(path) as archive, archive.open("policy.pth") as file:
                tensors = read_torch_file(io.BytesIO(file.read()), path, trust)
        except (zipfile.BadZipFile, KeyError) as error:
            raise RlctlError(f"{path} is no model of Stable-Baselines3: {error}") from error
        self._take({f"policy/{name}": tensor for name, tensor in tensors.items()}, path)
        normalized, statistics = self._model.get_vec_normalize_env(), path.with_name(STATISTICS)
        if normalized is None and statistics.exists():
            raise RlctlError(
                f"{statistics} says that the weights beside it were trained on normalised observations.",
                hint=f"{_NORMALIZE} If it is of another model, move one of them away.",
            )
        if normalized is not None:
            if not (trust and statistics.exists()):
                raise RlctlError(
                    f"the observations are normalised, and {statistics} is a pickle, which is only read with --trust."
                )
            set_statistics(normalized, normalization(VecNormalize.load(str(statistics), normalized.venv)))

    def _take(self, tensors: dict[str, torch.Tensor], source: Path) -> None:
        networks = {name: _at(self._model, name) for name in self._model._get_torch_save_params()[0]}  # noqa: SLF001
        modules = {name: module for name, module in networks.items() if isinstance(module, torch.nn.Module)}
        take_weights(modules, tensors, source)
        _follow_the_policy(self._model)

    # ---- environments ----------------------------------------------------------------------------------------------

    def _write_environments(self, folder: Path) -> None:
        """Write the state of each, and what stands around all of them."""
        generators = dict(space_generators(self._model.action_space))
        envs = self._venv.env_method("rlctl_state")
        write_data(folder, "environments", {"action_space": generators, "envs": envs})
        normalized, stacked = self._model.get_vec_normalize_env(), self.stacked
        if normalized is not None:
            write_data(folder, "normalization", normalization(normalized))
        if stacked is not None:
            write_data(folder, "frames", {key: part.stacked_obs for key, part in _stacks(stacked).items()})

    def _read_environments(self, folder: Path) -> None:
        state = read_data(folder, "environments")
        for index, values in enumerate(state["envs"]):
            self._venv.env_method("rlctl_set_state", values, indices=index)
        for path, generator in state["action_space"].items():
            set_space_generator(self._model.action_space, path, generator)
        normalized, stacked = self._model.get_vec_normalize_env(), self.stacked
        if normalized is not None:
            set_normalization(normalized, read_data(folder, "normalization"))
        if stacked is not None:
            for key, frames in read_data(folder, "frames").items():
                _stacks(stacked)[key].stacked_obs = frames

    @property
    def _venv(self) -> VecEnv:
        venv = self._model.get_env()
        assert venv is not None
        return venv

    @property
    def stacked(self) -> VecFrameStack | None:
        """What stacks the frames of the environments, None if nothing does."""
        return unwrap_vec_wrapper(self._venv, VecFrameStack)


def _stacks(venv: VecFrameStack) -> dict[str, Any]:
    """Return the stacks of the parts of a dictionary of observations by their keys; of an array its own, under ""."""
    return getattr(venv.stacked_obs, "sub_stacked_observations", None) or {"": venv.stacked_obs}


def _lay_as_transposed(model: Any) -> None:
    """Lay the last observation in memory as VecTransposeImage leaves it: PyTorch convolves it by that, with other roundings."""
    transposing, last = unwrap_vec_wrapper(model.get_env(), VecTransposeImage), model._last_obs  # noqa: SLF001
    if transposing is None or transposing.skip:
        return
    if isinstance(last, dict):
        model._last_obs = {  # noqa: SLF001
            key: _channels_last(part) if key in transposing.image_space_keys else part for key, part in last.items()
        }
    else:
        model._last_obs = _channels_last(last)  # noqa: SLF001


def _channels_last(images: NDArray[Any]) -> NDArray[Any]:
    """Return images (num_envs, channels, height, width) as a view of memory in which a pixel's channels are neighbours."""
    return (
        images.transpose(0, 2, 3, 1).copy(order="C").transpose(0, 3, 1, 2)
    )  # a copy: its strides are those of its shape


def _noises(model: BaseAlgorithm) -> list[Any]:
    """Return the action noise and, with several environments, that of each of them."""
    noise = getattr(model, "action_noise", None)
    return [] if noise is None else [noise, *getattr(noise, "noises", [])]


def _exploration(model: BaseAlgorithm) -> Any:
    """Return the distribution of gSDE, which holds the noise of the rollout that has begun; None without gSDE."""
    return (getattr(model, "actor", None) or model.policy).action_dist if getattr(model, "use_sde", False) else None


def _follow_the_policy(model: Any) -> None:
    """Let ARS, which keeps its parameters as one vector beside the policy, go on from what the policy has."""
    if hasattr(model, "weights"):
        model.weights = torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach()


def _memory(model: BaseAlgorithm) -> dict[str, Any] | None:
    """Return what the LSTMs of actor and critic remember, (hidden, cell) each; None for an algorithm without them."""
    states = getattr(model, "_last_lstm_states", None)
    return None if states is None else {"pi": tuple(states.pi), "vf": tuple(states.vf)}


def _set_memory(model: Any, memory: dict[str, Any] | None) -> None:
    if memory is not None:
        model._last_lstm_states = type(model._last_lstm_states)(**memory)  # noqa: SLF001


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
