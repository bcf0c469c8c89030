"""Measures a policy: one episode for each seed, in several environments side by side, raw rewards, nothing left behind.

Each seed is played to its end, so that short episodes do not count more than long ones, as they do where the first ones to
finish are taken. Environments are made anew each time: an evaluation never depends on the one before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from rlctl.evaluations import EvaluatedEpisode, EvaluationRequest
from rlctl.gym.env_state import links
from rlctl.gym.video import EpisodeFilms
from rlctl.gym.watching import View
from rlctl.worker.protocol import EstimatingPolicy, Policy


def measure(
    policy: Policy,
    request: EvaluationRequest,
    go_on: Callable[[], bool] = lambda: True,
    view: View | None = None,
) -> list[EvaluatedEpisode]:
    """Return the episodes in the order of the request's seeds; fewer when time is over or `go_on()` says so.

    Both `terminated` and `truncated` end an episode; a lost life, where a wrapper makes that an end, does not. Returns are
    sums of the rewards as the environment gives them, before a wrapper that normalises or clips them. Each environment is
    shown to what `view` opens for it.
    """
    view = view or _films(request)
    deadline = None if request.time_limit is None else time.monotonic() + request.time_limit
    waiting = iter(request.seeds)
    found: dict[int | None, EvaluatedEpisode] = {}
    with contextlib.ExitStack() as stack:
        slots = [Slot(policy, request, view, stack) for _ in range(min(request.num_envs, len(request.seeds)))]
        for slot in slots:
            slot.begin(next(waiting))
        while any(slot.seed is not None for slot in slots):
            if not go_on() or (deadline is not None and time.monotonic() > deadline):
                break
            observations = stacked([slot.observation for slot in slots], slots[0].env.observation_space)
            started = np.array([slot.started for slot in slots])
            if request.asks_values and started.any():
                _note_values(policy, observations, slots)
            actions = policy.act(observations, greedy=request.greedy, started=started)
            for slot, action in zip(slots, separated(actions, slots[0].env.action_space), strict=True):
                episode = slot.step(action)
                if episode is not None:
                    found[episode.seed] = episode
                    slot.begin(next(waiting, None))
    return [found[seed] for seed in request.seeds if seed in found]


class Slot:
    """One of the environments, and the episode in it; without a seed it waits for the others to end.

    `observation`, `info`, `reward`, `terminated` and `truncated` are of the last step, the first two of the reset before it.
    `reward` is the environment's own, before a wrapper that normalises or clips it; a lost life, where a wrapper makes that an
    end, is none. `episode_return` and `length` are of the episode until now.
    """

    def __init__(
        self, policy: Policy, request: EvaluationRequest, view: View | None, stack: contextlib.ExitStack
    ) -> None:
        self.seed: int | None = None
        self.started = True
        self.value: float | None = None
        self.observation: Any = None
        self.info: Mapping[str, Any] = {}
        self._gamma = request.gamma
        arguments = {} if view is None else {"render_mode": view.render_mode}
        env: gymnasium.Env[Any, Any] = policy.make_env(request.env, **arguments)
        stack.callback(env.close)
        self._viewer = None if view is None else view.open(env)
        if self._viewer is not None:
            stack.callback(self._viewer.close)
        self.env, self._rewards = _with_raw_rewards(env)

    def begin(self, seed: int | None) -> None:
        """Begin the episode of a seed; None: there is none left."""
        self.seed = seed
        if seed is None:
            return
        self.observation, self.info = self.env.reset(seed=seed)
        self.started = True
        self.value = None
        self.reward, self.terminated, self.truncated = 0.0, False, False
        self._rewards.take()
        self.episode_return, self._discounted, self._discount, self.length = 0.0, 0.0, 1.0, 0
        if self._viewer is not None:
            self._viewer.begin()

    def step(self, action: Any) -> EvaluatedEpisode | None:
        """Take an action; returns the episode if it has ended with that."""
        if self.seed is None:
            return None
        self.observation, _, terminated, truncated, self.info = self.env.step(action)
        self.started = False
        self.reward, steps = self._rewards.take()
        self.episode_return += self.reward
        self.length += steps
        if self._gamma is not None:
            self._discounted += self._discount * self.reward
            self._discount *= self._gamma
        if self._viewer is not None:
            self._viewer.step()
        if not (terminated or truncated):
            return None
        if not truncated and self._goes_on_after_a_life():
            return None
        self.terminated, self.truncated = bool(terminated), bool(truncated)
        episode = EvaluatedEpisode(
            seed=self.seed,
            episode_return=self.episode_return,
            length=self.length,
            terminated=self.terminated,
            discounted_return=None if self._gamma is None else self._discounted,
            value=self.value,
        )
        if self._viewer is not None:
            self._viewer.end(episode)
        return episode

    def _goes_on_after_a_life(self) -> bool:
        how = how_it_goes_on(self.env)
        if how == "reset":
            self._rewards.over = False
            self.observation, _ = self.env.reset()
            return not self._rewards.over  # going on takes a step, with which the game may end
        return how == "step"


def _films(request: EvaluationRequest) -> View | None:
    if request.video is None:
        return None
    folder = Path(request.video)
    return View("rgb_array", lambda env: EpisodeFilms(env, folder))


def _note_values(policy: Policy, observations: Any, slots: Sequence[Slot]) -> None:
    """Keep what the policy expects of the episodes that begin here, if it says that.

    It is asked about all environments, as when it acts: it may know something of each of them, by its place.
    """
    values = policy.values(observations) if isinstance(policy, EstimatingPolicy) else None
    if values is None:
        return
    for slot, value in zip(slots, values, strict=True):
        if slot.started:
            slot.value = float(value)


class _RawRewards(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Adds up rewards and steps since the last `take`; `over` is set where the environment itself comes to an end."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._reward, self._steps = 0.0, 0
        self.over = False

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self._reward += float(result[1])
        self._steps += 1
        self.over = self.over or bool(result[2] or result[3])
        return result

    def take(self) -> tuple[float, int]:
        """Return the sum of the rewards and the number of steps, and begin anew."""
        taken = self._reward, self._steps
        self._reward, self._steps = 0.0, 0
        return taken


def _with_raw_rewards(env: gymnasium.Env[Any, Any]) -> tuple[gymnasium.Env[Any, Any], _RawRewards]:
    """Put the counter below the innermost RecordEpisodeStatistics, if there is one, else around everything.

    There a training counts, too; and `rlctl.gym.wrappers` puts one below the wrappers of a configuration.
    """
    found = [link for link in links(env) if type(link).__name__ == "RecordEpisodeStatistics"]
    counter = _RawRewards(found[-1].env if found else env)
    if not found:
        return counter, counter
    found[-1].env = counter
    return env, counter


def how_it_goes_on(env: gymnasium.Env[Any, Any]) -> str | None:
    """Return how an environment goes on after a life was lost and called an end, None if that is not what has ended.

    `reset`: EpisodicLifeEnv of Baselines and its heirs, whose reset then only goes on. `step`: gymnasium's
    AtariPreprocessing, whose reset would begin another game.
    """
    for link in links(env):  # not by `vars`: an object whose dictionary was asked for is slower ever after
        if not getattr(link, "was_real_done", True):
            return "reset"
        if getattr(link, "terminal_on_life_loss", False) and link.unwrapped.ale.lives() > 0:
            return "step"
    return None


def stacked(observations: Sequence[Any], space: gymnasium.spaces.Space[Any]) -> Any:
    """Return a batch: for dictionaries and tuples of the same structure, for arrays an array of their own dtype."""
    if isinstance(space, (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)):
        empty: Any = create_empty_array(space, len(observations))
        return concatenate(space, observations, empty)
    return np.stack([np.asarray(observation) for observation in observations])


def separated(actions: Any, space: gymnasium.spaces.Space[Any]) -> Iterator[Any]:
    """Yield the actions of a batch, one for each environment."""
    if isinstance(space, (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)):
        return iter(iterate(batch_space(space, len(actions)), actions))
    return iter(actions)
