"""Shows how a policy acts, or films it: what is wrong with that is found first, the rest is done by the policy's own process."""

from __future__ import annotations

import functools
import os
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field, frozen

from rlctl.compatibility import EnvFacts, check_render_mode
from rlctl.errors import Problem
from rlctl.evaluations import WITHOUT_A_WINDOW, EvaluatedEpisode, EvaluationRequest, PlayRequest, evaluation_seeds
from rlctl.launch.acting import ActingOptions, env_alone, find_actor, prepare_actor
from rlctl.launch.evaluate import num_envs_of
from rlctl.launch.lend import Hear, Report, Target, in_a_process, lend
from rlctl.launch.prepare import Prepared
from rlctl.requirements import all_missing
from rlctl.runs.store import default_root

_PROCESS = "rlctl.gym.play_process"
_FILMS = ("imageio>=2.31", "imageio-ffmpeg>=0.4.9")
SUFFIXES = (".mp4", ".gif")

Shown = Callable[[str], None]
Ended = Callable[[EvaluatedEpisode], None]


@frozen(kw_only=True)
class PlayOptions(ActingOptions):
    """What to show: `episodes`, one by default, or as many of them as it takes for `steps`, the last one cut off.

    `record`: a film, at `output` or among the run's own, with `speed` pictures a second. The rest says how pictures are drawn
    as text, see PlayRequest.
    """

    episodes: int | None = None
    steps: int | None = None
    render: str = "human"
    record: bool = False
    output: Path | None = None
    speed: float | None = None
    columns: int = 80
    lines: int = 24
    colour: bool = False
    paced: bool = False


@define
class Played:
    """What was shown, of which policy; `path`, `step` and `checkpoint` are None without one. `film`, if one was made."""

    what: str
    env: str
    acting: str
    path: Path | None = None
    step: int | None = None
    checkpoint: str | None = None
    episodes: list[EvaluatedEpisode] = field(factory=list)
    film: Path | None = None
    frames: int | None = None
    speed: float | None = None
    interrupted: bool = False

    @property
    def return_mean(self) -> float | None:
        """Mean return of the episodes that ended."""
        return statistics.fmean(item.episode_return for item in self.episodes) if self.episodes else None

    def to_json(self) -> dict[str, Any]:
        """Return all of it as data."""
        data = attrs.asdict(self, filter=lambda item, _: item.name not in ("episodes", "interrupted"))
        names = ("seed", "episode_return", "length", "terminated")
        listed = [{name.removeprefix("episode_"): getattr(item, name) for name in names} for item in self.episodes]
        return {**data, "episodes": listed, "return_mean": self.return_mean}


def play(
    target: str | None,
    *,
    options: PlayOptions,
    config: Mapping[str, Any] | None = None,
    runs_dir: str | Path | None = None,
    report: Report,
    shown: Shown = lambda _: None,
    ended: Ended = lambda _: None,
) -> Played:
    """Play `RUN`, `RUN:CHECKPOINT` or a library's file with its `config`; None: actions by chance in `options.env` alone.

    `shown` gets each frame that is text, `ended` each episode at its end. Raises ConfigError with everything that is wrong
    before a process is started for it, NotAvailableError, and RlctlError with the process's words when it fails.
    """
    wrong = [*_contradictions(options), *_lacking(options)]
    found = find_actor(target, config, Path(runs_dir or default_root()), options, wrong)
    check = functools.partial(_render_problems, options)
    prepared = None if found is None else prepare_actor(found, options, report, check)
    env = env_alone(options, check)[0] if prepared is None else prepared.effective()["env"]
    request = _request(options, env, found, prepared)
    played = Played("no policy", env["id"], options.acting)
    if found is not None:
        played = attrs.evolve(played, what=found.what, path=found.path, step=found.step, checkpoint=found.sha256)

    def hear(line: dict[str, Any]) -> None:
        if "frame" in line:
            shown(line["frame"])
        else:
            played.episodes.append(EvaluatedEpisode(**line["episode"]))
            ended(played.episodes[-1])

    report(f"{played.what}{f', step {played.step}' if played.step else ''}: acting {played.acting} in {played.env}")
    try:
        answer = _in_its_process(request, found, prepared, options.trust, hear)
    except KeyboardInterrupt:
        if options.record:
            raise
        return attrs.evolve(played, interrupted=True)
    return attrs.evolve(played, film=None if request.film is None else Path(request.film), **answer)


def _in_its_process(
    request: PlayRequest, found: Target | None, prepared: Prepared | None, trust: bool, hear: Hear
) -> dict[str, Any]:
    asked, window = {"path": None, "play": attrs.asdict(request)}, request.render == "human"
    if found is None or prepared is None:
        return in_a_process(_PROCESS, asked, {}, hear, config={}, window=window)
    return lend(_PROCESS, prepared, {**asked, **found.identity(trust=trust)}, hear, window=window)


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def _contradictions(options: PlayOptions) -> list[Problem]:
    problems = []
    if options.episodes is not None and options.steps is not None:
        problems.append(Problem("--steps", "how long it takes is said by --episodes already.", "Keep one."))
    if options.output is not None and options.output.suffix.lower() not in SUFFIXES:
        message = f'"{options.output}" is no name of a film.'
        problems.append(Problem("--output", message, f"It ends in {' or '.join(SUFFIXES)}."))
    if options.output is not None and options.output.is_dir():
        problems.append(Problem("--output", f'"{options.output}" is a folder.', "Name a file in it."))
    return problems


def _lacking(options: PlayOptions) -> list[Problem]:
    """Return what this machine lacks: a display for a window, packages for a film."""
    if options.record:
        lacking = all_missing(_FILMS)
        hint = "pip install 'rlctl[video]'"
        return [Problem("film", f"{'; '.join(lacking)}.", hint, unavailable=True)] if lacking else []
    if options.render == "human" and not has_display(sys.platform, os.environ):
        message = "a window needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set."
        return [Problem("--render human", message, f"Without: {WITHOUT_A_WINDOW}", unavailable=True)]
    return []


def has_display(platform: str, environment: Mapping[str, str]) -> bool:
    """Return whether a window can be opened; whoever names a driver of SDL's knows what it needs."""
    if platform in ("darwin", "win32"):
        return True
    return any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"))


def _render_problems(options: PlayOptions, env_id: str, facts: EnvFacts) -> list[Problem]:
    return check_render_mode(env_id, facts, _mode(options), "env.id" if options.record else "--render")


def _mode(options: PlayOptions) -> str:
    return "rgb_array" if options.record else options.render


# ---- what is asked ---------------------------------------------------------------------------------------------------


def _request(
    options: PlayOptions, env: Mapping[str, Any], found: Target | None, prepared: Prepared | None
) -> PlayRequest:
    count = options.steps or options.episodes or 1  # an episode takes a step at least
    if options.seed is None and found is not None and prepared is not None:
        run_seed = prepared.effective()["seed"]
        seeds = evaluation_seeds(run_seed, count, purpose="evaluate", num_envs=num_envs_of(found.config))
    else:
        seeds = tuple(range(options.seed or 0, (options.seed or 0) + count))
    asked = EvaluationRequest(env=env, seeds=seeds, num_envs=1, greedy=not options.stochastic)
    film = str(_film(options, found, seeds[0])) if options.record else None
    names = ("random", "steps", "speed", "columns", "lines", "colour", "paced")
    same = {name: getattr(options, name) for name in names}
    return PlayRequest(episodes=asked, render=_mode(options), film=film, **same)


def _film(options: PlayOptions, found: Target | None, seed: int) -> Path:
    """Return where the film goes: what is filmed differently has another name."""
    if options.output is not None:
        return options.output.resolve()
    folder = found.directory.path if found and found.directory else Path.cwd()
    how = "" if options.acting == "greedily" else f"-{options.acting}"
    return folder / "videos" / f"record-{found.step if found else 0:012d}-seed-{seed}{how}.mp4"
