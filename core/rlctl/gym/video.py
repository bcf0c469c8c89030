"""Films: pictures go to a file while they are rendered, so that a long one needs no memory (extra `rlctl[video]`)."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import gymnasium

from rlctl.errors import NotAvailableError
from rlctl.evaluations import EvaluatedEpisode

FRAMES_PER_SECOND = 30
"""Where an environment does not say how fast it is."""

GIF_SPEED = 50
"""Pictures a second that a GIF can have: browsers show faster ones slowly."""

# A GIF has 256 colours. Chosen for each picture anew, nothing has to be kept until the last one is known.
_PALETTE = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"


def _options(*, is_gif: bool, height: int | None) -> dict[str, Any]:
    """Return what the writer is told; with a `height`, ffmpeg makes pictures smaller or larger, as wide as that asks for."""
    scale = None if height is None else f"scale=-2:{height}"
    if not is_gif:
        return {} if scale is None else {"output_params": ["-vf", scale]}
    filters = _PALETTE if scale is None else f"{scale},{_PALETTE}"
    # Whole pictures: ffmpeg leaves out what has not changed by its place in the palette, which here is another each time.
    params = ["-filter_complex", filters, "-gifflags", "-transdiff-offsetting", "-f", "gif"]
    return {"codec": "gif", "quality": None, "pixelformat": "pal8", "output_params": params}


class FilmFile:
    """One film in `folder`, `.mp4` or `.gif`; it gets its name when it is whole, and nothing is left of one that is not.

    `height` in pixels, an even number; by default as the environment renders it.
    """

    def __init__(self, folder: Path, suffix: str, speed: float, height: int | None = None) -> None:
        self._is_gif = suffix == ".gif"
        self._every = math.ceil(speed / GIF_SPEED) if self._is_gif else 1
        self.speed = speed / self._every
        self.seen = self.frames = 0
        # Always .mp4: what ends in .gif imageio would give to another writer, which holds all pictures in memory.
        self._partial = folder / f".film-{os.getpid()}-{id(self):x}.mp4"
        folder.mkdir(parents=True, exist_ok=True)
        options = _options(is_gif=self._is_gif, height=height)
        # Without macro blocks the size stays as the environment renders it.
        self._writer: Any = _imageio().get_writer(self._partial, fps=self.speed, macro_block_size=None, **options)

    def add(self, picture: Any) -> None:
        """Add a picture; or leave it out, where there are more of them a second than a GIF can show."""
        if self.seen % self._every == 0:
            self._writer.append_data(picture if self._is_gif else _even(picture))
            self.frames += 1
        self.seen += 1

    def end(self, path: Path) -> None:
        """End the film and put it in its place, in the same folder."""
        self._writer.close()
        os.replace(self._partial, path)

    def abandon(self) -> None:
        """Throw the film away."""
        self._writer.close()
        self._partial.unlink(missing_ok=True)


class EpisodeFilms:
    """Films what an environment with `render_mode="rgb_array"` shows, one file `seed-SEED-return-RETURN.mp4` an episode."""

    def __init__(self, env: gymnasium.Env[Any, Any], folder: Path) -> None:
        require_render_mode(env, "rgb_array")
        self._env = env
        self._folder = folder
        self._film: FilmFile | None = None

    def begin(self) -> None:
        """Begin a film with the first picture of an episode."""
        self.close()
        self._film = FilmFile(self._folder, ".mp4", speed_of(self._env))
        self.step()

    def step(self) -> None:
        """Add what is to be seen now."""
        assert self._film is not None
        self._film.add(self._env.render())

    def end(self, episode: EvaluatedEpisode) -> None:
        """End the film and name it by what it shows."""
        assert self._film is not None
        self._film.end(self._folder / f"seed-{episode.seed}-return-{episode.episode_return:g}.mp4")
        self._film = None

    def close(self) -> None:
        """Throw away a film whose episode did not end."""
        if self._film is not None:
            self._film.abandon()
            self._film = None


def speed_of(env: gymnasium.Env[Any, Any]) -> float:
    """Return how many pictures a second show an environment as fast as it is."""
    return float(env.metadata.get("render_fps") or FRAMES_PER_SECOND)


def require_render_mode(env: gymnasium.Env[Any, Any], mode: str) -> None:
    """Raise NotAvailableError, naming the modes that there are, for an environment that was not made to render so."""
    if env.render_mode != mode:
        modes = ", ".join(env.metadata.get("render_modes") or ()) or "none"
        raise NotAvailableError(f"{env} cannot be shown as {mode}; its render modes: {modes}.")


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
