"""`rlctl play` and `rlctl record`: see how a policy acts, in a window or as text, or make a film of it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from rlctl.cli._policy import config_of_file, env_of, policy_options
from rlctl.cli._render import note, number, pairs, print_json
from rlctl.cli.runs import complete_runs
from rlctl.errors import ExitCode

if TYPE_CHECKING:
    from rlctl.evaluations import EvaluatedEpisode
    from rlctl.launch.play import Played

_target = click.argument("target", metavar="[RUN[:CHECKPOINT]]", required=False, shell_complete=complete_runs)
_random = click.option(
    "--random", is_flag=True, help="Act by chance instead; without RUN, in the environment of --env."
)


@click.command()
@_target
@click.option("--episodes", type=click.IntRange(min=1), default=5, show_default=True, help="Episodes to show.")
@click.option(
    "--render",
    type=click.Choice(["human", "rgb_array", "ansi"]),
    default="human",
    show_default=True,
    help="A window, pictures drawn as text, or what the environment prints as text.",
)
@_random
@policy_options
def play(target: str | None, as_json: bool, **options: Any) -> int:
    """Show how the policy of a run acts, episode by episode.

    RUN is @latest and CHECKPOINT latest, where nothing else is said; a file such as SB3's model.zip can be played as well.
    Without --seed the episodes are the first ones of `rlctl evaluate`.
    """
    screen = _Screen(sys.stderr if as_json else sys.stdout)
    tell = note if as_json else screen.write
    played = _played(target, {**options, **screen.settings()}, screen.show, tell)
    if as_json:
        print_json(played.to_json())
    elif played.episodes:
        count = len(played.episodes)
        note(f"{count} episode{'s' if count > 1 else ''}, mean return {number(played.return_mean, 2)}")
    return ExitCode.INTERRUPTED if played.interrupted else ExitCode.DONE


@click.command()
@_target
@click.option("--episodes", type=click.IntRange(min=1), help="Episodes to film; 1 if --steps does not say how long.")
@click.option("--steps", type=click.IntRange(min=1), help="Film so many steps, the last episode is cut off.")
@click.option("--output", type=click.Path(path_type=Path), help="An .mp4 or .gif; by default in the run's videos/.")
@click.option("--fps", "speed", type=click.FloatRange(1, 1000), help="Pictures a second; by default the environment's.")
@_random
@policy_options
def record(target: str | None, as_json: bool, **options: Any) -> int:
    """Film how the policy of a run acts: all episodes in one mp4 or GIF.

    RUN is @latest and CHECKPOINT latest, where nothing else is said; a file such as SB3's model.zip can be filmed as well.
    Without --seed the episodes are the first ones of `rlctl evaluate`.
    """
    played = _played(target, {**options, "record": True}, lambda _: None, note)
    if as_json:
        print_json(played.to_json())
        return ExitCode.DONE
    pairs([
        ("film", played.film),
        ("pictures", f"{played.frames}, {played.speed:g} a second"),
        ("policy", f"{played.what}{f', step {number(played.step, 0)}' if played.step else ''}"),
        ("checkpoint", played.path),
        ("acting", played.acting),
        ("return", number(played.return_mean, 2) if played.episodes else "no episode ended"),
    ])  # fmt: skip
    return ExitCode.DONE


def _played(
    target: str | None, options: dict[str, Any], shown: Callable[[str], None], tell: Callable[[str], None]
) -> Played:
    from rlctl.launch.play import PlayOptions
    from rlctl.launch.play import play as played

    alone = target is None and options["random"] and options["env_id"] is not None
    reference = None if alone else target or "@latest"
    names = {"episodes", "steps", "seed", "stochastic", "random", "render", "device", "trust", "record", "output"}
    names |= {"speed", "columns", "lines", "colour", "paced"}
    said = PlayOptions(env=env_of(options), **{name: options[name] for name in names & set(options)})
    config, count = config_of_file(reference, options), iter(range(1, sys.maxsize))

    def ended(episode: EvaluatedEpisode) -> None:
        how = "terminated" if episode.terminated else "truncated"
        name = f"episode {next(count)}  seed {episode.seed}"
        tell(f"{name}  return {number(episode.episode_return, 2)}  length {episode.length}  {how}")

    return played(
        reference, options=said, config=config, runs_dir=options["runs_dir"], report=note, shown=shown, ended=ended
    )


class _Screen:
    """Where text is shown: in a terminal each frame takes the place of the one before, elsewhere they follow each other."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._height = 0

    def settings(self) -> dict[str, Any]:
        """Return how pictures are to be drawn for this screen; only somebody who looks on needs time to."""
        size = shutil.get_terminal_size((80, 24))
        colour = self._is_terminal and "NO_COLOR" not in os.environ
        return {"columns": size.columns, "lines": size.lines - 1, "colour": colour, "paced": self._is_terminal}

    def show(self, frame: str) -> None:
        """Show a frame."""
        if self._is_terminal and self._height:
            click.echo(f"\x1b[{self._height}F\x1b[J", file=self._stream, nl=False)
        text = frame if self._is_terminal and "NO_COLOR" not in os.environ else click.unstyle(frame)
        click.echo(text.rstrip("\n"), file=self._stream)
        self._height = text.rstrip("\n").count("\n") + 1

    def write(self, line: str) -> None:
        """Print a line, which stays."""
        click.echo(line, file=self._stream)
        self._height = 0
