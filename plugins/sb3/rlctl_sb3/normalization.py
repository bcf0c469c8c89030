"""What a VecNormalize has learned, as data and back: without it a network sees other numbers than those it knows."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.vec_env import VecNormalize

from rlctl.gym.env_state import data_attributes

_STATISTICS = ("obs_rms", "ret_rms")


def normalization(venv: VecNormalize) -> dict[str, Any]:
    """Return everything that a VecNormalize has learned, as data; of a dictionary of observations for each of its keys."""
    return {
        "own": data_attributes(venv),
        **{
            name: {key: data_attributes(part) for key, part in _parts(getattr(venv, name)).items()}
            for name in _STATISTICS
            if hasattr(venv, name)
        },
    }


def set_normalization(venv: VecNormalize, state: dict[str, Any]) -> None:
    """Become what `normalization` returned."""
    vars(venv).update(state["own"])
    set_statistics(venv, state)


def set_statistics(venv: VecNormalize, state: dict[str, Any]) -> None:
    """Take the statistics alone, and not what the environments were about to return."""
    for name in _STATISTICS:
        for key, values in state.get(name, {}).items():
            vars(_parts(getattr(venv, name))[key]).update(values)


def _parts(statistics: Any) -> dict[str, Any]:
    return statistics if isinstance(statistics, dict) else {"": statistics}
