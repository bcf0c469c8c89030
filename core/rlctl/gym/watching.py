"""What can be done with episodes while they are played: shown in a window, printed as text, drawn as text, filmed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs
import gymnasium
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from rlctl.evaluations import EvaluatedEpisode, PlayRequest
from rlctl.gym.video import FilmFile, require_render_mode, speed_of

Tell = Callable[[Mapping[str, Any]], None]
_SHADES = np.array(list(" .:-=+*#%@"))


class Viewer(Protocol):
    """Sees the episodes of one environment, one after the other."""

    def begin(self) -> None:
        """Look at the first observation of an episode."""

    def step(self) -> None:
        """Look at what a step has led to."""

    def end(self, episode: EvaluatedEpisode) -> None:
        """Take note of an episode that has come to its end."""

    def close(self) -> None:
        """Put everything away; the last episode may not have ended."""


@frozen
class View:
    """How environments are made to be seen, and what sees each of them."""

    render_mode: str
    open: Callable[[gymnasium.Env[Any, Any]], Viewer]


class Window:
    """Tells of each episode; the environment itself opens the window and waits between pictures."""

    def __init__(self, env: gymnasium.Env[Any, Any], tell: Tell, mode: str = "human") -> None:
        require_render_mode(env, mode)
        self._env = env
        self._tell = tell

    def begin(self) -> None:
        """Begin an episode."""

    def step(self) -> None:
        """Take a step."""

    def end(self, episode: EvaluatedEpisode) -> None:
        """Tell of the episode."""
        self._tell({"episode": attrs.asdict(episode)})

    def close(self) -> None:
        """Nothing is to be put away."""


class TextView(Window):
    """Tells of each frame as text as well: what an environment renders as such, or its pictures drawn."""

    def __init__(self, env: gymnasium.Env[Any, Any], tell: Tell, request: PlayRequest) -> None:
        super().__init__(env, tell, request.render)
        self._request = request
        self._pause = 1 / speed_of(env) if request.paced else 0.0

    def begin(self) -> None:
        self.step()

    def step(self) -> None:
        shown: Any = self._env.render()
        if self._request.render == "rgb_array":
            shown = drawn(shown, self._request.columns, self._request.lines, colour=self._request.colour)
        self._tell({"frame": shown if isinstance(shown, str) else shown.getvalue()})
        time.sleep(self._pause)


class Recorder(Window):
    """Films all episodes into one file, which whoever opened this ends or abandons: only they know whether it is whole."""

    def __init__(
        self, env: gymnasium.Env[Any, Any], tell: Tell, path: Path, speed: float | None, height: int | None = None
    ) -> None:
        super().__init__(env, tell, "rgb_array")
        self.film = FilmFile(path.parent, path.suffix.lower(), speed or speed_of(env), height)

    def begin(self) -> None:
        self.step()

    def step(self) -> None:
        self.film.add(self._env.render())


def drawn(picture: NDArray[np.uint8], columns: int, lines: int, *, colour: bool) -> str:
    """Return a picture as text: with colours two pixels to a character, one above the other, else as shades of grey."""
    height, width = picture.shape[:2]
    scale = max(width / columns, height / (2 * lines), 1.0)
    small = _shrunk(picture, max(2, int(height / scale) // 2 * 2), max(1, int(width / scale)))
    upper, lower = small[::2], small[1::2]
    if not colour:
        light = (upper.astype(int) + lower).sum(axis=2) * len(_SHADES) // (6 * 256)
        return "\n".join("".join(row) for row in _SHADES[light])
    rows = zip(upper.tolist(), lower.tolist(), strict=True)
    return "\n".join("".join(map(_coloured, *row)) + "\x1b[0m" for row in rows)


def _coloured(upper: list[int], lower: list[int]) -> str:
    return "\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*upper, *lower)


def _shrunk(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a smaller picture, each pixel the mean of those that it stands for; thin things do not vanish so."""
    rows = np.arange(height) * picture.shape[0] // height
    columns = np.arange(width) * picture.shape[1] // width
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.int64), rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff([*rows, picture.shape[0]]), np.diff([*columns, picture.shape[1]]))
    small: NDArray[np.uint8] = (sums // counts[:, :, None]).astype(np.uint8)
    return small
