"""The image wrappers of gymnasium 0.29 under their old names: grey scale, resize and frame stack.

Restores GrayScaleObservation, ResizeObservation and FrameStack, which 1.x renamed or gave other arguments, and the lazy
frames, which 1.x dropped.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from rlctl_cleanrl.shims.wrappers import StepResult, TransformObservation, Wrapper


class GrayScaleObservation(TransformObservation):
    """Turns an RGB image into shades of grey."""

    def __init__(self, env: Any, keep_dim: bool = False) -> None:
        shape = env.observation_space.shape
        assert len(shape) == 3 and shape[-1] == 3
        super().__init__(env, self._gray)
        self.keep_dim = keep_dim
        shape = (*shape[:2], 1) if keep_dim else shape[:2]
        self.observation_space = Box(low=0, high=255, shape=shape, dtype=np.uint8)

    def _gray(self, image: Any) -> Any:
        import cv2  # type: ignore[import-not-found,unused-ignore]

        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return np.expand_dims(gray, -1) if self.keep_dim else gray


class ResizeObservation(TransformObservation):
    """Scales an image to a shape, or to a square."""

    def __init__(self, env: Any, shape: tuple[int, int] | int) -> None:
        size = (shape, shape) if isinstance(shape, int) else tuple(shape)
        assert len(size) == 2 and all(length > 0 for length in size)
        super().__init__(env, self._resize)
        self.shape = size
        self.observation_space = Box(low=0, high=255, shape=size + env.observation_space.shape[2:], dtype=np.uint8)

    def _resize(self, image: Any) -> Any:
        import cv2  # type: ignore[import-not-found,unused-ignore]

        resized: Any = cv2.resize(image, self.shape[::-1], interpolation=cv2.INTER_AREA)
        return resized.reshape(self.observation_space.shape)


class LazyFrames:
    """A stack of frames that shares them with the stacks before and after it, until somebody wants an array."""

    __slots__ = ("_frames", "dtype", "frame_shape", "shape")

    def __init__(self, frames: list[Any]) -> None:
        self._frames = frames
        self.frame_shape = tuple(frames[0].shape)
        self.shape = (len(frames), *self.frame_shape)
        self.dtype = frames[0].dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        stacked = np.stack(self._frames, axis=0)
        return stacked if dtype is None else stacked.astype(dtype)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, key: int | slice) -> Any:
        return self._frames[key] if isinstance(key, int) else np.stack(self._frames[key], axis=0)

    def __eq__(self, other: object) -> Any:
        return self.__array__() == other

    __hash__ = None  # type: ignore[assignment]


class FrameStack(Wrapper):
    """Returns the last frames as one observation; a reset repeats the first one."""

    def __init__(self, env: Any, num_stack: int) -> None:
        super().__init__(env, num_stack=num_stack)
        self.num_stack = num_stack
        self.frames: deque[Any] = deque(maxlen=num_stack)
        space = env.observation_space
        low = np.repeat(space.low[np.newaxis, ...], num_stack, axis=0)
        high = np.repeat(space.high[np.newaxis, ...], num_stack, axis=0)
        self.observation_space = Box(low=low, high=high, dtype=space.dtype)

    def reset(self, **kwargs: Any) -> tuple[LazyFrames, dict[str, Any]]:
        """Reset the environment and fill the stack."""
        frame, info = self.env.reset(**kwargs)
        self.frames.extend([frame] * self.num_stack)
        return LazyFrames(list(self.frames)), info

    def step(self, action: Any) -> StepResult:
        """Step the environment and push its frame."""
        frame, reward, terminated, truncated, info = self.env.step(action)
        self.frames.append(frame)
        return LazyFrames(list(self.frames)), reward, terminated, truncated, info
