"""Training environments that callbacks look at: each reset and step is shown to them, and nothing of it is changed.

What is shown is what the agent's library is given: the environment inside `env.wrappers`, before the library's own
normalisation, stacks and flattening.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import gymnasium
from attrs import frozen

from rlctl.descriptors import resolve
from rlctl.errors import RlctlError
from rlctl.gym.environments import make_env
from rlctl.gym.evaluation import how_it_goes_on
from rlctl.runs.directory import RunDirectory
from rlctl.worker.eventlog import append_event
from rlctl.worker.observing import EnvObserver

Env = gymnasium.Env[Any, Any]


@frozen
class Observable:
    """What an observer may know of an environment: the spaces of one, and how to render it; None if that cannot be."""

    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    render: Callable[[], Any] | None = None


class StepObserver(Protocol):
    """Sees one training environment, in the process in which that lives. What it is shown must not be changed or kept."""

    def begin(self, observation: Any, info: Mapping[str, Any], seed: int | None, *, goes_on: bool) -> None:
        """Look at what a reset has given; `goes_on`: only a life was lost, and the same episode continues."""

    def step(
        self, action: Any, observation: Any, reward: Any, terminated: bool, truncated: bool, info: Mapping[str, Any]
    ) -> None:
        """Look at a step."""

    def state(self) -> Any:
        """Return as data where the observer is, for a checkpoint; all that it was shown before must outlive the process."""

    def set_state(self, state: Any) -> None:
        """Go on where `state` was returned, and forget what was shown after it."""

    def close(self) -> None:
        """Look no more: the environment is closed."""


class StepObservers:
    """The observers of one environment. One that raises is reported and switched off, or raises if it is critical."""

    def __init__(self, observers: Sequence[EnvObserver], index: int, env: Observable) -> None:
        self._live: list[tuple[EnvObserver, StepObserver]] = []  # replaced, never changed: a loop over it goes on
        for item in observers:
            try:
                made = resolve(item.entry_point)(item.run, index, env, **item.options)
            except Exception as error:  # noqa: BLE001 - a callback may raise anything
                self._failed(item, error)
            else:
                self._live.append((item, made))

    def begin(
        self, observation: Any, info: Mapping[str, Any], seed: int | None = None, *, goes_on: bool = False
    ) -> None:
        """Show what a reset has given."""
        for item, observer in self._live:
            try:
                observer.begin(observation, info, seed, goes_on=goes_on)
            except Exception as error:  # noqa: BLE001
                self._failed(item, error)

    def step(self, action: Any, result: Any) -> None:
        """Show an action and what it has led to, as `env.step` returns it."""
        observation, reward, terminated, truncated, info = result  # spelt out: a call with `*result` is slower by half
        for item, observer in self._live:
            try:
                observer.step(action, observation, reward, terminated, truncated, info)
            except Exception as error:  # noqa: BLE001
                self._failed(item, error)

    def state(self) -> dict[str, Any]:
        """Return as data where each of them is."""
        found: dict[str, Any] = {}
        for item, observer in self._live:
            try:
                found[item.name] = observer.state()
            except Exception as error:  # noqa: BLE001
                self._failed(item, error)
        return found

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Let each go on where it was; one that had failed by then, or is new, begins here."""
        for item, observer in self._live:
            if item.name in state:
                try:
                    observer.set_state(state[item.name])
                except Exception as error:  # noqa: BLE001
                    self._failed(item, error)

    def close(self) -> None:
        """Tell all of them that the environment is closed."""
        for item, observer in self._live:
            try:
                observer.close()
            except Exception as error:  # noqa: BLE001
                self._failed(item, error)

    def _failed(self, item: EnvObserver, error: Exception) -> None:
        self._live = [(other, observer) for other, observer in self._live if other is not item]
        text = f"{type(error).__name__}: {error}"
        print(f"rlctl: callback {item.name} failed at a step and is switched off: {text}", file=sys.stderr, flush=True)
        traceback.print_exception(error)
        events = RunDirectory(item.run.directory).events
        append_event(events, "callback_failed", callback=item.name, hook="env_observer", error=text)
        if item.critical:
            raise RlctlError(f"critical callback {item.name} failed at a step: {text}") from error


class ObservedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Shows an environment's resets and steps to observers."""

    def __init__(self, env: Env, observers: Sequence[EnvObserver], index: int) -> None:
        super().__init__(env)
        render = env.render if env.render_mode == "rgb_array" else None
        self.observers = StepObservers(observers, index, Observable(env.observation_space, env.action_space, render))

    def reset(self, **kwargs: Any) -> Any:
        goes_on = how_it_goes_on(self.env) == "reset"
        result = self.env.reset(**kwargs)
        self.observers.begin(*result, kwargs.get("seed"), goes_on=goes_on)
        return result

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self.observers.step(action, result)
        return result

    def close(self) -> None:
        self.observers.close()
        super().close()


def observed(env: Env, observers: Sequence[EnvObserver], index: int) -> Env:
    """Return the training environment of that index under the eyes of `observers`; itself where there are none."""
    return ObservedEnv(env, observers, index) if observers else env


def make_training_env(env: Mapping[str, Any], observers: Sequence[EnvObserver] = (), index: int = 0) -> Env:
    """Make one of a run's training environments as `rlctl.gym.environments.make_env` does, under the eyes of `observers`.

    `observers` is `run.env_observers`, and `index` counts the environments that are stepped side by side.
    """
    return observed(make_env(env), observers, index)
