"""Everything that a script's training is: the globals of its module at the boundary of its main loop.

Networks, optimizers, loose tensors, buffers, numbers and environments are found by what they are, not by their names.
What a script makes anew from its arguments (writers, functions, devices) is no state.
"""

from __future__ import annotations

import contextlib
import types
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from safetensors.torch import load_file
from torch import nn

from rlctl.gym.curriculum import CurriculumEnv
from rlctl.gym.env_state import (
    data_attributes,
    env_state,
    inexact,
    is_data,
    links,
    set_env_state,
    set_space_generator,
    space_generators,
)
from rlctl.gym.replay import left_out, replay_data, set_replay_data
from rlctl.torch.data import read_data, write_data, write_tensors
from rlctl.torch.random_state import preserved_random_states, random_states, set_random_states
from rlctl.torch.weights import read_torch_file, take_weights
from rlctl_cleanrl.models import networks_in
from rlctl_cleanrl.policy import ScriptPolicy, set_statistics, statistics_of

_NOT_STATE = frozenset({"range", "args", "writer", "device", "run_name"})
_SPACES = ("single_action_space", "single_observation_space", "action_space", "observation_space")


class ScriptState:
    """Writes and reads the state of a script; `script` is the globals of its module, `iterations` how many it began."""

    def __init__(self, with_replay_buffer: bool) -> None:
        self.script: dict[str, Any] = {}
        self.iterations = 0
        self._exploration_step: int | None = None
        self._with_replay_buffer = with_replay_buffer

    def limits(self) -> Iterator[str]:
        """Yield why this script cannot be resumed exactly; to be asked before the first iteration, as what an iteration
        leaves in the globals is no state.
        """
        vector_envs, buffers = self._vector_envs(), self._buffers()
        for envs in vector_envs.values():
            yield from inexact(envs.envs)
        if buffers and not self._with_replay_buffer:
            yield "its replay buffer is not saved"
        for name, value in self._own():
            if name in buffers:
                unsaved = [(f"{name}.{path}", part) for path, part in left_out(value)]
            else:
                unsaved = [] if name in vector_envs or _is_state(value) else [(name, value)]
            for path, part in unsaved:
                if not _is_made_anew(part):
                    yield f"the script's {path}, a {type(part).__name__}, is not saved"

    def write_state(self, folder: Path) -> None:
        """Write the whole training into files."""
        modules = self._instances(nn.Module)
        write_tensors(folder / "weights.safetensors", _flat(modules))
        optimizers = self._instances(torch.optim.Optimizer)
        write_data(folder, "optimizer", {name: optimizer.state_dict() for name, optimizer in optimizers.items()})
        write_data(folder, "variables", {name: value for name, value in self._own() if _is_state(value)})
        write_data(folder, "random", random_states())
        write_data(folder, "environments", {name: _vector_state(envs) for name, envs in self._vector_envs().items()})
        statistics = statistics_of(self._envs())
        if statistics:
            write_data(folder, "normalization", statistics)
        write_data(folder, "loop", {"iterations": self.iterations})
        if self._with_replay_buffer:
            write_data(folder, "replay", {name: replay_data(value) for name, value in self._buffers().items()})

    def read_state(self, folder: Path) -> None:
        """Become what was written, in place where something else may hold on to a tensor or an object."""
        _set_flat(self._instances(nn.Module), load_file(folder / "weights.safetensors"))
        optimizers = self._instances(torch.optim.Optimizer)
        for name, state in read_data(folder, "optimizer").items():
            optimizers[name].load_state_dict(state)
        for name, value in read_data(folder, "variables").items():
            self._set_variable(name, value)
        if (folder / "replay.json").exists():
            buffers = self._buffers()
            for name, attributes in read_data(folder, "replay").items():
                set_replay_data(buffers[name], attributes)
        vector_envs = self._vector_envs()
        for name, state in read_data(folder, "environments").items():
            _set_vector_state(vector_envs[name], state)
        set_random_states(read_data(folder, "random"))

    # ---- what is lent and taken ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def policy(self, seed: int) -> Iterator[ScriptPolicy]:
        """Lend the policy, as `rlctl.worker.protocol.Resumable` says."""
        modules = self._instances(nn.Module)
        training = {name: module.training for name, module in modules.items()}
        step = self._exploration_step
        with preserved_random_states(seed):
            try:
                for module in modules.values():
                    module.eval()
                now = int(self.script.get("global_step", 0)) if step is None else step
                yield ScriptPolicy(self.script, statistics_of(self._envs()), now)
            finally:
                for name, module in modules.items():
                    module.train(training[name])

    def read_weights(self, folder: Path) -> None:
        """Take the networks of a checkpoint, and the statistics by which its observations were normalised."""
        take_weights(self._instances(nn.Module), load_file(folder / "weights.safetensors"), folder)
        if (folder / "normalization.json").exists():
            set_statistics(self._envs(), read_data(folder, "normalization"))
        self._exploration_step = int(read_data(folder, "variables").get("global_step", 0))

    def read_artefact(self, path: Path, trust: bool) -> None:
        """Take the networks of a `.cleanrl_model`; targets become what they are targets of."""
        networks = self._instances(nn.Module)
        found = networks_in(read_torch_file(path, path, trust), networks, path)
        tensors = {f"{name}/{key}": tensor for name, state in found.items() for key, tensor in state.items()}
        take_weights({name: networks[name] for name in found if name in networks}, tensors, path)
        for name, module in networks.items():
            source = _target_of(name, found)
            if source is not None:
                module.load_state_dict(networks[source].state_dict())
        self._exploration_step = int(self.script["args"].total_timesteps)

    def stage_of(self, index: int) -> int | None:
        """Return the stage of a curriculum that an environment of the training is in; None without one.

        To be asked when its episode has ended, and before it is reset.
        """
        envs = [envs.envs[index] for envs in self._vector_envs().values() if index < len(envs.envs)]
        found = (link for env in envs for link in links(env) if isinstance(link, CurriculumEnv))
        return next((link.stage for link in found), None)

    def _envs(self) -> list[Any]:
        return [env for envs in self._vector_envs().values() for env in envs.envs]

    def _own(self) -> list[tuple[str, Any]]:
        return [(n, v) for n, v in self.script.items() if n not in _NOT_STATE and not n.startswith("__")]

    def _instances(self, kind: type) -> dict[str, Any]:
        return {name: value for name, value in self._own() if isinstance(value, kind)}

    def _vector_envs(self) -> dict[str, Any]:
        return {name: value for name, value in self._own() if isinstance(getattr(value, "envs", None), list)}

    def _buffers(self) -> dict[str, Any]:
        """Return the objects that hold arrays of transitions: SB3's, those of cleanrl_utils, and the script's own.

        Batches that were drawn from them, which are tuples, are none.
        """
        found = {}
        for name, value in self._own():
            if isinstance(value, tuple):
                continue
            home = type(value).__module__
            ours = home == "__main__" and not isinstance(value, (nn.Module, type)) and hasattr(value, "__dict__")
            if ours or home.startswith(("stable_baselines3.common.buffers", "cleanrl_utils.")):
                found[name] = value
        return found

    def _set_variable(self, name: str, value: Any) -> None:
        current = self.script.get(name)
        if isinstance(value, torch.Tensor) and isinstance(current, torch.Tensor) and current.shape == value.shape:
            current.data.copy_(value)  # an optimizer may hold this very tensor
        elif isinstance(value, torch.Tensor):
            self.script[name] = value.to(self.script.get("device", "cpu"))
        else:
            self.script[name] = value


def _target_of(name: str, found: Mapping[str, Any]) -> str | None:
    """Return the network whose copy a target network is, by the names that scripts give them."""
    if "target" not in name:
        return None
    plain = name.replace("target_", "").replace("_target", "")
    sources = (plain, "q_network" if plain == "network" else plain)
    return next((source for source in sources if source in found), None)


def _is_made_anew(value: Any) -> bool:
    """Return whether a value is the same in every run of a script, or saved as a whole already."""
    fixed = (types.ModuleType, torch.device, torch.dtype, np.dtype, spaces.Space, nn.Module, torch.optim.Optimizer)
    return callable(value) or isinstance(value, fixed)


def _is_state(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return True
    if type(value) in (list, tuple, dict) or isinstance(value, deque):
        items = value.values() if isinstance(value, dict) else value
        return all(_is_state(item) for item in items)
    return is_data(value) and not isinstance(value, tuple)


def _flat(modules: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    return {
        f"{name}/{key}": tensor.detach().cpu().contiguous().clone()
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }


def _set_flat(modules: dict[str, nn.Module], tensors: dict[str, torch.Tensor]) -> None:
    states: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        module, _, key = name.partition("/")
        states.setdefault(module, {})[key] = tensor
    for name, state in states.items():
        modules[name].load_state_dict(state)


def _vector_state(envs: Any) -> dict[str, Any]:
    generators = {
        f"{name}/{path}": state for name in _SPACES for path, state in space_generators(getattr(envs, name, None))
    }
    attributes = {name: value for name, value in data_attributes(envs).items() if not name.startswith("num_")}
    return {"envs": [env_state(env) for env in envs.envs], "attributes": attributes, "generators": generators}


def _set_vector_state(envs: Any, state: dict[str, Any]) -> None:
    for env, values in zip(envs.envs, state["envs"], strict=True):
        set_env_state(env, values)
    for name, value in state["attributes"].items():
        current = getattr(envs, name, None)
        if isinstance(current, np.ndarray) and isinstance(value, np.ndarray) and current.shape == value.shape:
            current[...] = value
        else:
            setattr(envs, name, value)
    for name, generator in state["generators"].items():
        space, _, path = name.partition("/")
        set_space_generator(getattr(envs, space), path, generator)
