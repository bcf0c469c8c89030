"""What plugins answer when they are asked about a run: what is wrong with it, what they will do in it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from attrs import define

from rlctl.compatibility import EnvFacts
from rlctl.config.schema import RunConfig
from rlctl.descriptors import WorkerDescriptor
from rlctl.errors import Problem
from rlctl.plugins import Registry, accepted_arguments

_Answer = TypeVar("_Answer")


@define
class PluginAnswers:
    """Asks each plugin in turn. That one raises is a problem of the run, and goes to `problems`."""

    registry: Registry
    config: RunConfig
    worker: WorkerDescriptor
    env: EnvFacts | None
    problems: list[Problem]

    def each(self, hook: str, read: Callable[[Any], _Answer]) -> Iterator[_Answer]:
        """Yield what `read` makes of each plugin's answer to a hook about the run."""
        about = {"config": self.config, "worker": self.worker, "env": self.env}
        for plugin, ask in self.registry.implementations(hook):
            try:
                with contextlib.redirect_stdout(sys.stderr):  # stdout is for data, also with a garrulous plugin
                    answer = read(ask(**accepted_arguments(ask, **about)))
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything
                if self.problems:  # the values that it stumbled over may be the ones refused already
                    continue
                what = hook.removeprefix("rlctl_").removesuffix("_run")
                message = f"the {what} of plugin {plugin.distribution} failed: {type(error).__name__}: {error}"
                self.problems.append(Problem("plugins", message, unavailable=True))
            else:
                yield answer
