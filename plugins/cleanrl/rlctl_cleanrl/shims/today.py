"""Puts the 0.29 wrappers and the 0.29 SyncVectorEnv into the `gymnasium` module of this process.

Restores the names under which CleanRL's scripts look them up: `gym.wrappers.X`, `gym.vector.SyncVectorEnv`.
"""

from __future__ import annotations

import sys
import types

import gymnasium

from rlctl_cleanrl.shims import images, vector, video, wrappers

# FlattenObservation is gymnasium's own: nothing that a script can see has changed in it.
WRAPPERS = (
    wrappers.RecordEpisodeStatistics,
    wrappers.ClipAction,
    wrappers.NormalizeObservation,
    wrappers.NormalizeReward,
    wrappers.TransformObservation,
    wrappers.TransformReward,
    images.GrayScaleObservation,
    images.ResizeObservation,
    images.FrameStack,
    images.LazyFrames,
)


def install() -> None:
    """Set the attributes."""
    for wrapper in WRAPPERS:
        setattr(gymnasium.wrappers, wrapper.__name__, wrapper)
    vars(gymnasium.wrappers).update(RecordVideo=video.record_video)
    vars(gymnasium.vector).update(SyncVectorEnv=vector.SyncVectorEnv)
    normalize = types.ModuleType("gymnasium.wrappers.normalize", "The module of 0.29, by rlctl")
    vars(normalize).update(RunningMeanStd=wrappers.RunningMeanStd)
    sys.modules["gymnasium.wrappers.normalize"] = normalize
