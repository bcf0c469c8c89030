"""Wrappers by the names that the zoo's files have for them, as `env.wrappers` has them: of a fixed list, nothing is imported.

A file of somebody else's must not choose what is imported here, so a class that is not in the list is named and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_GYMNASIUM = (
    "AddRenderObservation", "AtariPreprocessing", "ClipAction", "ClipReward", "DelayObservation", "DiscretizeAction",
    "DiscretizeObservation", "DtypeObservation", "FilterObservation", "FlattenObservation", "FrameStackObservation",
    "GrayscaleObservation", "MaxAndSkipObservation", "NormalizeObservation", "NormalizeReward", "RepeatAction",
    "RescaleAction", "RescaleObservation", "ReshapeObservation", "ResizeObservation", "StickyAction",
    "TimeAwareObservation",
)  # fmt: skip
_RENAMED = {"GrayScaleObservation": "GrayscaleObservation", "FrameStack": "FrameStackObservation"}
"""Of gym, and of gymnasium before 1.0."""
_OF_SB3 = (
    "AtariWrapper", "ClipRewardEnv", "EpisodicLifeEnv", "FireResetEnv", "MaxAndSkipEnv", "NoopResetEnv", "StickyActionEnv",
    "WarpFrame",
)  # fmt: skip
_OF_MINIGRID = (
    "FlatObsWrapper", "FullyObsWrapper", "ImgObsWrapper", "OneHotPartialObsWrapper", "RGBImgObsWrapper",
    "RGBImgPartialObsWrapper",
)  # fmt: skip
_KNOWN = {
    "gymnasium.wrappers": _OF_GYMNASIUM,
    "stable_baselines3.common.atari_wrappers": _OF_SB3,
    "sb3_contrib.common.wrappers": ("ActionMasker", "TimeFeatureWrapper"),
    "minigrid.wrappers": _OF_MINIGRID,
}
"""Module → its wrappers that take nothing but data."""
_ELSEWHERE = {
    "FrameSkip": ("gymnasium.wrappers", "RepeatAction"),
    "TimeFeatureWrapper": ("sb3_contrib.common.wrappers", "TimeFeatureWrapper"),
    "YAMLCompatResizeObservation": ("gymnasium.wrappers", "ResizeObservation"),
}
"""Wrappers of the zoo's own that others have as well."""
_ARGUMENTS = {"FrameSkip": {"skip": "num_repeats"}, "FrameStack": {"num_stack": "stack_size"}}
_DEFAULTS = {"FrameSkip": {"skip": 4}}


def wrapper_here(name: str, arguments: Mapping[str, Any]) -> Any | None:
    """Return the entry of `env.wrappers` for a class of the zoo's files, `package.module.Class`; None if it is not known."""
    path, _, cls = name.rpartition(".")
    found = _ELSEWHERE.get(cls) if path in ("rl_zoo3.wrappers", "utils.wrappers") else _listed(path, cls)
    if found is None:
        return None
    use = ":".join(found)
    renamed = _ARGUMENTS.get(cls, {})
    kwargs = {renamed.get(key, key): value for key, value in {**_DEFAULTS.get(cls, {}), **arguments}.items()}
    return {"use": use, "kwargs": kwargs} if kwargs else use


def _listed(path: str, cls: str) -> tuple[str, str] | None:
    """Return (module, class) of the list; a class may be named by the file that it is in."""
    if path.partition(".")[0] == "gym":
        path = f"gymnasium{path.removeprefix('gym')}"
    for module, names in _KNOWN.items():
        meant = _RENAMED.get(cls, cls) if module == "gymnasium.wrappers" else cls
        if (path == module or path.startswith(f"{module}.")) and meant in names:
            return module, meant
    return None
