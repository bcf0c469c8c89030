"""What can be done with episodes while they are played: told, drawn, filmed; and actions by chance."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from typing import Any

import pytest

gymnasium = pytest.importorskip("gymnasium")
np = pytest.importorskip("numpy")

from gymnasium import spaces, wrappers  # noqa: E402

from rlctl.errors import NotAvailableError  # noqa: E402
from rlctl.evaluations import EvaluationRequest, PlayRequest  # noqa: E402
from rlctl.gym.play_process import perform  # noqa: E402
from rlctl.gym.random_policy import RandomPolicy  # noqa: E402
from rlctl.gym.watching import drawn  # noqa: E402


class Countdown(gymnasium.Env):  # type: ignore[misc, name-defined]
    """Four steps an episode, and every way to be seen; remembers what was done in it."""

    metadata = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 8}
    observation_space = spaces.Box(0, 4, (1,), np.float32)
    action_space: Any = spaces.Discrete(5)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.actions: list[Any] = []
        self.numbers: list[int] = []
        self.info: dict[str, Any] = {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = 4
        return np.array([4], np.float32), self.info

    def step(self, action: Any) -> Any:
        self.left -= 1
        self.actions.append(action)
        self.numbers.append(int(self.np_random.integers(5)))
        return np.array([self.left], np.float32), 1.0, self.left == 0, False, self.info

    def render(self) -> Any:
        if self.render_mode == "ansi":
            return f"{self.left} left\n"
        return np.full((33, 48, 3), 60 * self.left, np.uint8)


class Made:
    """Makes environments of a kind, and remembers them."""

    def __init__(self, kind: Any = Countdown) -> None:
        self.kind = kind
        self.envs: list[Any] = []

    def __call__(self, env: Any, **kwargs: Any) -> Any:
        self.envs.append(self.kind(**kwargs))
        return self.envs[-1]


def ask(*seeds: int, render: str = "ansi", **said: Any) -> PlayRequest:
    """Return a request to show an episode of each of the seeds."""
    return PlayRequest(episodes=EvaluationRequest(env={"id": "any"}, seeds=seeds, num_envs=1), render=render, **said)


def told(request: PlayRequest, kind: Any = Countdown) -> list[dict[str, Any]]:
    """Play as it is asked, by chance, and return what was told."""
    lines: list[Any] = []
    perform(RandomPolicy(Made(kind)), request, lines.append)
    return lines


# ---- text ----------------------------------------------------------------------------------------------------------


def test_frames_of_text_are_told_with_the_end_of_each_episode() -> None:
    """The beginning, each step, and then the episode's return and length."""
    lines = told(ask(3, 4))

    frames = [f"{left} left\n" for left in (4, 3, 2, 1, 0)]
    assert [line["frame"] for line in lines if "frame" in line] == frames * 2
    assert [line["episode"]["seed"] for line in lines if "episode" in line] == [3, 4]
    assert (lines[5]["episode"]["episode_return"], lines[5]["episode"]["length"]) == (4.0, 4)


def test_an_environment_may_print_into_a_buffer() -> None:
    """Older environments return a StringIO."""

    class Buffered(Countdown):
        def render(self) -> Any:
            return io.StringIO(f"{self.left}!")

    assert told(ask(1), Buffered)[0] == {"frame": "4!"}


def test_frames_are_paced_by_the_environments_own_speed_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five frames at 8 a second wait for an eighth each; unpaced for nothing."""
    waits: list[float] = []
    monkeypatch.setattr("rlctl.gym.watching.time.sleep", waits.append)

    told(ask(1))
    told(ask(1, paced=True))

    assert waits == [0.0] * 5 + [1 / 8] * 5


def test_steps_are_counted_over_episodes() -> None:
    """Six steps are an episode of four and two of the next one, which has no end."""
    lines = told(ask(1, 2, 3, steps=6))

    assert len([line for line in lines if "frame" in line]) == 5 + 3
    assert [line["episode"]["seed"] for line in lines if "episode" in line] == [1]


def test_what_cannot_be_shown_so_is_refused_with_the_modes_that_it_has() -> None:
    """A worker's own environment is known only when it is made."""

    class Blind(Countdown):
        metadata = {"render_modes": ["rgb_array"]}

        def __init__(self, render_mode: str | None = None) -> None:
            super().__init__()

    with pytest.raises(NotAvailableError, match="cannot be shown as ansi; its render modes: rgb_array"):
        told(ask(1), Blind)


def test_a_window_that_cannot_be_opened_is_an_error_that_says_what_else_there_is() -> None:
    """What pygame and MuJoCo raise without a display becomes words; what the environment raises stays what it is."""

    class OfPygame(Exception):
        __module__ = "pygame"

    class OfMujoco(Exception):
        __module__ = "mujoco"

    class Windowless(Countdown):
        error: type[Exception] = OfPygame

        def reset(self, **kwargs: Any) -> Any:
            raise self.error("no available video device")

    class Undrawn(Windowless):
        error = OfMujoco

    class Broken(Windowless):
        error = ValueError

    with pytest.raises(NotAvailableError, match=r"no window can be opened: no available video device.*rlctl record"):
        told(ask(1, render="human"), Windowless)
    with pytest.raises(NotAvailableError, match=r"MuJoCo cannot draw pictures: .*MUJOCO_GL=egl"):
        told(ask(1, render="rgb_array"), Undrawn)
    with pytest.raises(ValueError, match="no available"):
        told(ask(1, render="human"), Broken)


# ---- pictures as text ----------------------------------------------------------------------------------------------


def test_pictures_are_told_as_text_of_the_size_that_was_asked() -> None:
    """A picture of 48x33 in 24 columns has half as many lines as pixels; a smaller screen gets a smaller one."""
    frame = told(ask(1, render="rgb_array", columns=24, lines=50))[0]["frame"]
    small = told(ask(1, render="rgb_array", columns=24, lines=4))[0]["frame"]

    assert [len(line) for line in frame.split("\n")] == [24] * 8
    assert [len(line) for line in small.split("\n")] == [11] * 4


def test_without_colours_pictures_are_shades() -> None:
    """White is the densest sign, black none; half of it is in the middle."""
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:, 2:4], picture[:, 4:] = 128, 255

    assert drawn(picture, 6, 2, colour=False) == "  ++@@\n  ++@@"


def test_with_colours_a_sign_is_two_pixels() -> None:
    """The upper one is the sign's colour, the lower one that behind it."""
    picture = np.array([[[1, 2, 3]], [[4, 5, 6]]], np.uint8)

    assert drawn(picture, 80, 24, colour=True) == "\x1b[38;2;1;2;3;48;2;4;5;6m▀\x1b[0m"
    assert told(ask(1, render="rgb_array", colour=True))[0]["frame"].startswith("\x1b[38;2;240;240;240;")


def test_thin_things_do_not_vanish_from_smaller_pictures() -> None:
    """One bright column of a hundred is still to be seen where ten columns are one."""
    picture = np.zeros((10, 100, 3), np.uint8)
    picture[:, 37] = 255

    assert drawn(picture, 10, 1, colour=True).count("25;25;25") == 2


# ---- films ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def imageio() -> Any:
    """Return imageio, with which films are looked at."""
    pytest.importorskip("imageio_ffmpeg")
    return pytest.importorskip("imageio.v2")


def pictures(imageio: Any, path: Path) -> list[int]:
    """Return how bright each picture of a film is."""
    with imageio.get_reader(path) as film:
        return [int(picture.mean()) for picture in film]


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "film.GIF"])
def test_all_episodes_go_into_one_film(imageio: Any, tmp_path: Path, name: str) -> None:
    """A picture of each reset and each step, in order; nothing else is left, and the number of pictures is said."""
    film = tmp_path / "new" / name
    found = perform(RandomPolicy(Made()), ask(1, 2, render="rgb_array", film=str(film)), lambda _: None)

    assert found == {"frames": 10, "speed": 8.0}
    assert pictures(imageio, film) == pytest.approx([240, 180, 120, 60, 0] * 2, abs=6)
    assert [path.name for path in film.parent.iterdir()] == [name]
    assert film.read_bytes()[:3] == b"GIF" or name == "film.mp4"


def test_the_speed_of_a_film_can_be_said(imageio: Any, tmp_path: Path) -> None:
    """By default it is the environment's own."""
    speeds = []
    for speed in (None, 20.0):
        film = tmp_path / f"{speed}.mp4"
        perform(RandomPolicy(Made()), ask(1, render="rgb_array", film=str(film), speed=speed), lambda _: None)
        with imageio.get_reader(film) as opened:
            speeds.append(opened.get_meta_data()["fps"])

    assert speeds == [8, 20]


def test_a_gif_leaves_pictures_out_that_it_would_show_slowly(imageio: Any, tmp_path: Path) -> None:
    """At 100 pictures a second every other one is shown, for twice as long; an mp4 shows all."""
    asked = {name: ask(1, render="rgb_array", film=str(tmp_path / name), speed=100.0) for name in ("a.gif", "a.mp4")}
    found = {name: perform(RandomPolicy(Made()), request, lambda _: None) for name, request in asked.items()}

    assert found == {"a.gif": {"frames": 3, "speed": 50.0}, "a.mp4": {"frames": 5, "speed": 100.0}}
    assert pictures(imageio, tmp_path / "a.gif") == [240, 120, 0]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_unfinished_film_leaves_nothing_and_the_one_before_it_alone(
    imageio: Any, tmp_path: Path, error: type[BaseException]
) -> None:
    """Whatever ends it, an error or Ctrl-C."""

    class Failing(Countdown):
        def step(self, action: Any) -> Any:
            if self.left == 2:
                if error is KeyboardInterrupt:
                    os.kill(os.getpid(), signal.SIGINT)
                raise ValueError
            return super().step(action)

    (tmp_path / "film.mp4").write_text("before")
    with pytest.raises(error):
        told(ask(1, render="rgb_array", film=str(tmp_path / "film.mp4")), Failing)

    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    assert (tmp_path / "film.mp4").read_text() == "before"


# ---- chance --------------------------------------------------------------------------------------------------------


def actions(*seeds: int, kind: Any = Countdown) -> list[list[Any]]:
    """Return the actions that chance takes in the episodes of the seeds."""
    made = Made(kind)
    perform(RandomPolicy(made), ask(*seeds), lambda _: None)
    taken = [np.asarray(action).tolist() for action in made.envs[0].unwrapped.actions]
    return [taken[begin : begin + 4] for begin in range(0, len(taken), 4)]


def test_chance_follows_from_the_seed_of_each_episode() -> None:
    """The same seed has the same actions, whichever episodes were before it; another seed has others."""
    first, second = actions(7, 8)

    assert actions(8, 7) == [second, first]
    assert first != second


def test_chance_does_not_draw_what_the_environment_draws() -> None:
    """Two generators of the same seed would agree, and the environment would do what the action foretells."""
    made = Made()
    perform(RandomPolicy(made), ask(*range(20)), lambda _: None)

    agreed = np.mean(np.array(made.envs[0].actions) == np.array(made.envs[0].numbers))
    assert agreed < 0.5


def test_chance_takes_every_action() -> None:
    """Of twenty episodes none of the five actions is missing."""
    assert {action for episode in actions(*range(20)) for action in episode} == set(range(5))


def test_chance_takes_allowed_actions_only() -> None:
    """Where `info["action_mask"]` allows two of five, it is these."""

    class Masked(Countdown):
        def __init__(self, render_mode: str | None = None) -> None:
            super().__init__(render_mode)
            self.info = {"action_mask": np.array([0, 1, 0, 0, 1], np.int8)}

    assert {action for episode in actions(*range(10), kind=Masked) for action in episode} == {1, 4}


def test_chance_keeps_to_the_bounds_below_a_wrapper_that_clips() -> None:
    """Its space is unbounded, and what is drawn there would nearly always be clipped to a bound or near zero."""

    class Narrow(Countdown):
        action_space = spaces.Box(5.0, 9.0, (2,), np.float32)

    def clipped(**kwargs: Any) -> Any:
        return wrappers.ClipAction(Narrow(**kwargs))

    taken = np.array(actions(*range(20), kind=clipped))
    assert taken.shape == (20, 4, 2)
    assert 5 < taken.min() < 5.5
    assert 8.5 < taken.max() < 9


def test_chance_acts_by_parts() -> None:
    """An action of several parts is drawn as a whole."""

    class Hands(Countdown):
        action_space = spaces.Dict(left=spaces.Discrete(3), right=spaces.Box(-1, 1, (2,), np.float32))

        def step(self, action: Any) -> Any:
            assert self.action_space.contains({**action, "left": int(action["left"])})
            return super().step(int(action["left"]))

    assert {action for episode in actions(*range(10), kind=Hands) for action in episode} == {0, 1, 2}
