"""What a script's `make(env_id)` gives: the environment of the configuration, in its wrappers, in the stages of its curriculum."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium

from rlctl import RlctlError, Run
from rlctl.config.curriculum import final_env
from rlctl.gym.curriculum import CurriculumEnv
from rlctl.gym.environments import import_environments, make_env
from rlctl.gym.observing import observed
from rlctl.gym.wrappers import wrap_env
from rlctl.worker.observing import EnvObserver
from rlctl_cleanrl.fitting import fitted
from rlctl_cleanrl.observations import Change, Needs

Env = gymnasium.Env[Any, Any]


class Watched:
    """Puts the first `num_envs` environments that a script makes under the eyes of the run's observers: those it trains in.

    What it makes later is for evaluations, its own or rlctl's.
    """

    def __init__(self, observers: Sequence[EnvObserver], num_envs: int) -> None:
        self.observers = observers
        self._num_envs = num_envs
        self._made = 0

    def put_around(self, env: Env) -> Env:
        """Return the environment, observed if it is one to train in."""
        if self._made == self._num_envs:
            return env
        self._made += 1
        return observed(env, self.observers, self._made - 1)

    def require_all(self, script: str) -> None:
        """Raise RlctlError where the script has its environments from elsewhere; else take no further one."""
        if self.observers and self._made < self._num_envs:
            names = ", ".join(item.name for item in self.observers)
            made = f"{self._made} of its {self._num_envs} environments"
            raise RlctlError(f"{script} makes {made} by gymnasium.make, so {names} would not see the others.")
        self._num_envs = self._made


class ConfiguredEnvironments:
    """Stands in for `gymnasium.make` in this process.

    `needs` is what observations must be; None: the script sees to that itself. What is made before the main loop begins
    is trained in, and follows the curriculum; what is made later measures the policy, in the last stage.
    """

    def __init__(self, run: Run, needs: Needs | None, watched: Watched) -> None:
        self._run = run
        self._needs = needs
        self._watched = watched
        self._make = gymnasium.make
        self._final = final_env(run.env)
        self._followers: list[CurriculumEnv] = []
        self._begun = False

    def install(self) -> None:
        """Put arguments into this process's registry, and around what is made what belongs there.

        Wrappers not by the registry's own list of them: gymnasium passes over that where an environment brings some itself.
        """
        import_environments(self._run.env)
        self._spec = gymnasium.spec(self._run.info.env_id)
        self._registered = dict(self._spec.kwargs), self._spec.max_episode_steps
        self._spec.kwargs.update(self._final.get("kwargs") or {})
        if self._final.get("max_episode_steps") is not None:
            self._spec.max_episode_steps = self._final["max_episode_steps"]
        if self._final.get("wrappers") or self._run.env.get("curriculum") or self._needs or self._watched.observers:
            gymnasium.make = self._wrapped
        self._run.follow_curriculum(self._enter_stage)

    def begin(self, script: str) -> None:
        """Note that the main loop begins; raises RlctlError if somebody is to see steps of environments made elsewhere."""
        self._begun = True
        self._watched.require_all(script)

    def _enter_stage(self, stage: int) -> None:
        for env in self._followers:
            env.enter_stage(stage)

    def _wrapped(self, id: Any, *arguments: Any, **kwargs: Any) -> Env:  # noqa: A002 - gymnasium's name
        if id != self._final["id"]:
            return self._make(id, *arguments, **kwargs)
        if self._run.env.get("curriculum") and not self._begun:
            made = self._following(**kwargs)
        else:
            made = wrap_env(self._make(id, *arguments, **kwargs), self._final)
        made = self._watched.put_around(made)
        return made if self._needs is None else fitted(made, self._needs, self._tell)

    def _following(self, **kwargs: Any) -> Env:
        with self._as_it_was():
            made = make_env(self._run.env, **kwargs)
        assert isinstance(made, CurriculumEnv)
        self._followers.append(made)
        return made

    @contextlib.contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """Let gymnasium be as before `install`: a stage has arguments of its own."""
        spec, make, known = self._spec, gymnasium.make, (self._spec.kwargs, self._spec.max_episode_steps)
        (spec.kwargs, spec.max_episode_steps), gymnasium.make = self._registered, self._make
        try:
            yield
        finally:
            (spec.kwargs, spec.max_episode_steps), gymnasium.make = known, make

    def _tell(self, change: Change) -> None:
        self._run.declare("observations_changed", f"observations: {change.words}", steps=list(change.steps))
