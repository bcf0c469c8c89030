"""Films of episodes: frames go to a file while they are rendered, so that a long one needs no memory (extra `rlctl[video]`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium

from rlctl.errors import NotAvailableError

FRAMES_PER_SECOND = 30
"""Where an environment does not say how fast it is."""


class Film:
    """Films what an environment with `render_mode="rgb_array"` shows, one file `NAME.mp4` an episode."""

    def __init__(self, env: gymnasium.Env[Any, Any], folder: Path) -> None:
        self._env = env
        self._folder = folder
        self._writer: Any = None
        self._partial = folder / f".film-{os.getpid()}-{id(self):x}.mp4"
        self.paths: list[Path] = []
        if env.render_mode != "rgb_array":
            raise NotAvailableError(f"{env} cannot be filmed: it renders no images.")

    def begin(self) -> None:
        """Begin a film with the first image of an episode."""
        self.abandon()
        self._folder.mkdir(parents=True, exist_ok=True)
        speed = self._env.metadata.get("render_fps") or FRAMES_PER_SECOND
        # Without macro blocks the size stays as the environment renders it.
        self._writer = _imageio().get_writer(self._partial, fps=speed, macro_block_size=None)
        self.add_frame()

    def add_frame(self) -> None:
        """Add what is to be seen now."""
        self._writer.append_data(_even(self._env.render()))

    def end(self, name: str) -> None:
        """End the film and put it in its place."""
        self._writer.close()
        self._writer = None
        final = self._folder / f"{name}.mp4"
        os.replace(self._partial, final)
        self.paths.append(final)

    def abandon(self) -> None:
        """Throw away a film whose episode did not end."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._partial.unlink(missing_ok=True)


def _even(frame: Any) -> Any:
    """Return an image whose sides are even, which the usual encoding of colours needs; a row or column less, if need be."""
    return frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]


def _imageio() -> Any:
    try:
        import imageio.v2 as imageio
        import imageio_ffmpeg  # noqa: F401 - imageio's own error would come only with the first frame
    except ImportError as error:
        raise NotAvailableError(
            "films need imageio and imageio-ffmpeg, which are not installed.", hint="pip install 'rlctl[video]'"
        ) from error
    return imageio
