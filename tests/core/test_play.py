"""`rlctl play` and `rlctl record` before anything is started: what is wrong is said at once; and the screen of frames."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from rlctl.cli.play import _Screen
from rlctl.compatibility import EnvFacts, check_render_mode
from rlctl.launch import play as playing

Cli = Callable[..., Any]


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the display away."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(playing.sys, "platform", "linux")


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a process is started."""
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a process was started"))


@pytest.mark.usefixtures("no_display", "nothing_starts")
def test_a_window_without_a_display_is_refused_before_anything_starts(fast_cli: Cli) -> None:
    """It says what is missing and all that can be done without; the exit code is that of what is not available."""
    outcome = fast_cli("play", "--random", "--env", "CartPole-v1")

    assert outcome.code == 3
    assert "neither DISPLAY nor WAYLAND_DISPLAY is set" in outcome.err
    for instead in ("--render rgb_array", "--render ansi", "rlctl record"):
        assert instead in outcome.err


@pytest.mark.usefixtures("no_display", "nothing_starts")
def test_what_is_wrong_with_playing_is_said_at_once(fast_cli: Cli) -> None:
    """The window, the run, and what contradicts itself."""
    problems = fast_cli("play", "nope", "--random", "--stochastic", "--json").json()["problems"]

    assert [problem["path"] for problem in problems] == ["--random", "--render human", "RUN"]


@pytest.mark.usefixtures("nothing_starts")
def test_what_is_wrong_with_a_film_is_said_at_once(fast_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long it is to be, its name, the packages that make it, and the run."""
    monkeypatch.setattr(playing, "all_missing", lambda needs: [f"{need} is not installed" for need in needs])

    outcome = fast_cli("record", "nope", "--episodes", 2, "--steps", 9, "--output", "film.avi", "--json")

    problems = {problem["path"]: problem for problem in outcome.json()["problems"]}
    assert outcome.code == 2
    assert list(problems) == ["--steps", "--output", "film", "RUN"]
    assert problems["--output"]["hint"] == "It ends in .mp4 or .gif."
    assert "imageio-ffmpeg>=0.4.9 is not installed" in problems["film"]["message"]
    assert problems["film"]["hint"] == "pip install 'rlctl[video]'"


@pytest.mark.usefixtures("nothing_starts")
def test_a_folder_is_no_film(fast_cli: Cli, tmp_path: Any) -> None:
    """A folder that ends in .gif would otherwise be found out after everything was played."""
    folder = tmp_path / "films.gif"
    folder.mkdir()

    outcome = fast_cli("record", "--random", "--env", "any", "--output", folder)

    assert (outcome.code, "is a folder" in outcome.err) == (2, True)


@pytest.mark.usefixtures("nothing_starts")
def test_a_device_is_for_a_policy(fast_cli: Cli) -> None:
    """Chance alone is on none."""
    outcome = fast_cli("play", "--random", "--env", "CartPole-v1", "--device", "cpu", "--render", "ansi")

    assert (outcome.code, "--device: without RUN" in outcome.err) == (2, True)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("frist", 'Did you mean "first"?'),
        ("first:40", "There is: 100."),
        ("first:bset", "There is: 100."),
    ],
)
def test_a_slip_in_what_is_to_be_played_is_answered(site: Any, fast_cli: Cli, asked: str, hint: str) -> None:
    """A run by its nearest name, a checkpoint by those that there are."""
    site("toy_worker")
    assert fast_cli("run", "toy", "-n", 100, "--run-id", "first").code == 0

    outcome = fast_cli("play", asked, "--render", "ansi")

    assert (outcome.code, hint in outcome.err) == (2, True)


def test_a_file_must_be_said_what_it_is(fast_cli: Cli, tmp_path: Any) -> None:
    """Which worker made it cannot be seen; and a run is told nothing that it knows."""
    (tmp_path / "model.zip").touch()

    of_file = fast_cli("play", tmp_path / "model.zip", "--render", "ansi")
    of_run = fast_cli("play", "first", "--algo", "dqn", "--render", "ansi")

    assert (of_file.code, "--worker" in of_file.err) == (2, True)
    assert (of_run.code, "--algo is for a library's own file" in of_run.err) == (2, True)


def test_a_worker_whose_environment_renders_nothing_is_refused_in_words(site: Any, fast_cli: Cli) -> None:
    """Its environment is its own affair, so that is found out when it is made; the exit code is kept on the way."""
    pytest.importorskip("gymnasium")
    site("toy_worker")
    assert fast_cli("run", "toy", "-n", 100, "--run-id", "first").code == 0

    outcome = fast_cli("play", "first", "--render", "rgb_array")

    assert (outcome.code, "cannot be shown as rgb_array; its render modes: none" in outcome.err) == (3, True)


@pytest.mark.parametrize(
    ("platform", "environment", "has"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ""}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"SDL_VIDEODRIVER": "dummy"}, True),
        ("darwin", {}, True),
    ],
)
def test_where_there_is_a_display(platform: str, environment: dict[str, str], has: bool) -> None:
    """A variable says so, but for systems that always have one."""
    assert playing.has_display(platform, environment) is has


@pytest.mark.parametrize(
    ("modes", "mode", "fits"),
    [
        (["ansi"], "ansi", True),
        (["ansi"], "rgb_array", False),
        (["ansi"], "human", False),
        (["rgb_array"], "human", True),
        ([], "ansi", False),
        (None, "ansi", True),
    ],
)
def test_render_modes_are_checked(modes: list[str] | None, mode: str, fits: bool) -> None:
    """Pictures become a window by gymnasium itself; an environment that does not say what it can is tried."""
    problems = check_render_mode("Any-v0", EnvFacts(render_modes=modes), mode, "--render")

    assert (problems == []) is fits
    assert all(f"its render modes: {', '.join(modes or ['none'])}." in str(problem) for problem in problems)


# ---- the screen ----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_in_a_terminal_a_frame_takes_the_place_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor goes up by as many lines as the frame had; what is said between frames stays."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    screen = _Screen(stream)

    for frame in ("a\nb\n", "\x1b[41mc\x1b[0m\nd\n"):
        screen.show(frame)
    screen.write("episode 1")
    screen.show("e")

    assert stream.getvalue() == "a\nb\n\x1b[2F\x1b[J\x1b[41mc\x1b[0m\nd\nepisode 1\ne\n"
    assert (screen.settings()["colour"], screen.settings()["paced"]) == (True, True)


def test_elsewhere_frames_follow_each_other_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file has neither a cursor nor colours, and nobody to wait for."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    screen = _Screen(stream)

    for frame in ("a\n", "\x1b[41mb\x1b[0m\n"):
        screen.show(frame)

    assert stream.getvalue() == "a\nb\n"
    assert (screen.settings()["colour"], screen.settings()["paced"]) == (False, False)


def test_a_terminal_that_wants_no_colours_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR holds for frames as well."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    screen = _Screen(stream)

    screen.show("\x1b[41mb\x1b[0m")

    assert (stream.getvalue(), screen.settings()["colour"]) == ("b\n", False)
