"""Runs an unmodified CleanRL script in this process and hands out its iterations, scalars and episodes.

The file is compiled as it is. What is added are names around it: a `range` in its globals that recognises the main
loop by the line of the call, and then goes; a SummaryWriter class, a listener at the vector environment, and another class
`Agent`.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlctl_cleanrl import shims, writer
from rlctl_cleanrl.facts import MainLoop, main_loop
from rlctl_cleanrl.shims import episodes, replay

OnIteration = Callable[[dict[str, Any]], bool]
OnEnd = Callable[[], None]
OnEpisode = Callable[[float, int, int, int], None]


class NoMainLoopError(ValueError):
    """The script has no training loop of the form that every CleanRL script has."""


def find_main_loop(source: str) -> MainLoop:
    """Return the last `for … in range(…)` directly under `if __name__ == "__main__"`; no code is run."""
    found = main_loop(ast.parse(source))
    if found is None:
        raise NoMainLoopError('no `for … in range(…)` under `if __name__ == "__main__"`')
    return found


class _Iterations:
    """The main loop's range: asks before each iteration, and stops when told so."""

    def __init__(self, values: range, script: dict[str, Any], on_iteration: OnIteration, on_end: OnEnd) -> None:
        self._values = values
        self._on_end = on_end
        self._script = script
        self._on_iteration = on_iteration
        self.running = False

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[int]:
        self.running = True
        on_iteration, script = self._on_iteration, self._script
        for value in self._values:
            if not on_iteration(script):
                break
            yield value
        else:
            on_iteration(script)
            self._on_end()
        self.running = False


class _Run:
    """One execution of a script: its globals, and the loop once the script has reached it."""

    def __init__(
        self, loop: MainLoop, on_iteration: OnIteration, on_end: OnEnd, on_episode: OnEpisode, skip: int
    ) -> None:
        self.module = types.ModuleType("__main__")
        self.script = vars(self.module)
        self._loop = loop
        self._on_iteration = on_iteration
        self._on_end = on_end
        self._on_episode = on_episode
        self._skip = skip
        self._iterations: _Iterations | None = None

    def range(self, *arguments: int) -> Any:
        """Stand in for `range` in the script: the main loop's call gets an observed range, any other the builtin."""
        frame = sys._getframe(1)  # noqa: SLF001
        values = builtins.range(*arguments)
        inside = self._loop.first_line <= frame.f_lineno <= self._loop.last_line
        if not inside or frame.f_globals is not self.script or frame.f_code.co_name != "<module>":
            return values
        del self.script["range"]  # the loop is found: what the script calls from now on is the builtin itself
        self._iterations = _Iterations(values[self._skip :], self.script, self._on_iteration, self._on_end)
        return self._iterations

    def episode(self, episode_return: float, length: int, env_index: int) -> None:
        """Pass on an episode of training; those of an evaluation before or after the main loop are none."""
        if self._iterations is not None and self._iterations.running:
            self._on_episode(episode_return, length, env_index, int(self.script.get("global_step", 0)))


def _packages_of(source: Path) -> Iterator[tuple[str, types.ModuleType]]:
    """Yield a module for each of the source's folders that has no `__init__.py`.

    Python prefers an installed package to such a folder, and joins folders of one name from everywhere: helpers of
    another CleanRL would be mixed in.
    """
    for name in ("cleanrl", "cleanrl_utils"):
        if not (source / name / "__init__.py").exists():
            module = types.ModuleType(name)
            module.__path__ = [str(source / name)]
            yield name, module


def _builtins(agent: type | None) -> dict[str, Any]:
    """Return builtins for a script, in which the statement `class Agent` gives this class, if any, in place of its own.

    `__build_class__` is what Python calls for each class statement.
    """

    def build(body: Callable[[], Any], name: str, *bases: type, **keywords: Any) -> type:
        if name == "Agent" and agent is not None:
            return agent
        built: type = builtins.__build_class__(body, name, *bases, **keywords)
        if name == replay.CLASS:
            replay.take_numbers(built)
        return built

    return {**vars(builtins), "__build_class__": build}


@contextlib.contextmanager
def _as_main(module: types.ModuleType, path: Path, argv: list[str], extra_path: Path | None) -> Iterator[None]:
    """Make the module `__main__` and set sys.argv and sys.path as `python path argv…` would; the source's packages win."""
    before = sys.modules["__main__"], sys.argv, sys.path
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    sys.argv = [str(path), *argv]
    extra = [] if extra_path is None else [str(extra_path)]
    sys.path = [str(path.parent), *extra, *sys.path]
    packages = {} if extra_path is None else dict(_packages_of(extra_path))
    sys.modules.update(packages)
    try:
        yield
    finally:
        for name in packages:
            del sys.modules[name]
        sys.modules["__main__"], sys.argv, sys.path = before


def run_script(
    path: Path,
    argv: list[str],
    *,
    on_iteration: OnIteration,
    on_scalar: writer.OnScalar,
    on_episode: OnEpisode,
    write_tensorboard: bool = False,
    extra_path: Path | None = None,
    skip_iterations: int = 0,
    on_end: OnEnd = lambda: None,
    agent: type | None = None,
) -> dict[str, Any]:
    """Run the script to its end and return its globals.

    on_iteration(globals) comes before each iteration of the main loop and once after the last; False ends the loop
    there, and the script goes on with what follows it; on_end() comes only where the loop ended by itself.
    on_scalar(tag, value, step) comes for each logged scalar, and on_episode(return, length, env_index, global_step)
    for each finished episode of each sub-environment in the main loop. `skip_iterations` leaves out that many iterations
    at the start, for a resumed run. `agent` is what the script gets for its `class Agent`. Whatever the script raises
    passes through. Files are written where the script writes them: below the current folder.
    """
    path = path.absolute()
    source = path.read_bytes()
    run = _Run(find_main_loop(source.decode("utf-8")), on_iteration, on_end, on_episode, skip_iterations)
    run.script["range"] = run.range
    shims.install()
    if b"stable_baselines3" in source:
        replay.install()
    previous = episodes.listen(run.episode)
    try:
        with writer.redirected(on_scalar, write_tensorboard), _as_main(run.module, path, argv, extra_path):
            run.script["__builtins__"] = _builtins(agent)
            exec(compile(source, str(path), "exec", dont_inherit=True), run.script)  # noqa: S102
    finally:
        episodes.listen(previous)
    return run.script
