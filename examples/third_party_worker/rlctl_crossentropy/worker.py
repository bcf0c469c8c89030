"""The training: draw linear policies, play an episode with each, move towards the best. Only a run imports this."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rlctl import RlctlError, Run
from rlctl.gym.environments import make_env


class CrossEntropyWorker:
    """Searches among linear policies for one with a high return (Rubinstein 1999)."""

    def train(self, run: Run) -> None:
        settings, generator = run.hyperparameters, np.random.default_rng(run.seed)
        env = make_env(run.env)
        search = Search((env.observation_space.shape[0], env.action_space.n), env.action_space.start)
        deviation = np.full(search.mean.shape, settings["deviation"])
        run.attach(search)
        run.restore()
        env.reset(seed=run.seed)
        step = 0
        while run.advance(step):
            policies = generator.normal(search.mean, deviation, (settings["population"], *search.mean.shape))
            returns = []
            for weights in policies:
                observation, _ = env.reset()
                episode_return, length, ended = 0.0, 0, False
                while not ended and run.advance(step):
                    action = env.action_space.start + (observation @ weights).argmax()
                    observation, reward, terminated, truncated, _ = env.step(action)
                    episode_return, ended = episode_return + float(reward), terminated or truncated
                    step, length = step + 1, length + 1
                if ended:
                    run.record_episode(episode_return, length, step=step)
                    returns.append(episode_return)
            if len(returns) == len(policies):
                best = policies[np.argsort(returns)[-settings["elite"] :]]
                search.mean, deviation = best.mean(axis=0), best.std(axis=0) + 0.05
                run.record_metrics({"backend/deviation": deviation.mean()}, step=step)
        np.save(run.directory.backend / "policy.npy", search.mean)
        env.close()


class Search:
    """What the search has found: the mean of the policies that it draws. Saved, lent, and begun from."""

    def __init__(self, shape: tuple[int, int], first_action: int) -> None:
        self.mean, self.first_action = np.zeros(shape), first_action

    def write_state(self, folder: Path) -> None:
        np.save(folder / "weights.npy", self.mean)

    def read_state(self, folder: Path) -> None:
        raise RlctlError(f"{folder} holds a policy, and no search to go on with.", hint="Begin with it: --init-from.")

    def read_weights(self, folder: Path) -> None:
        self.read_artefact(folder / "weights.npy", trust=False)

    def read_artefact(self, path: Path, trust: bool) -> None:
        try:
            mean = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RlctlError(f"{path} is no array of numpy's: {error}") from error
        if np.shape(mean) != self.mean.shape:
            raise RlctlError(f"the weights in {path} are {np.shape(mean)}, not {self.mean.shape}.")
        self.mean = mean

    @contextmanager
    def policy(self, seed: int) -> Iterator["LinearPolicy"]:
        yield LinearPolicy(self.mean, self.first_action)  # nothing random, so nothing to seed and to put back


class LinearPolicy:
    """Takes the action whose weighted sum of the observation is the largest."""

    make_env = staticmethod(make_env)

    def __init__(self, weights: np.ndarray, first_action: int) -> None:
        self.weights, self.first_action = weights, first_action

    def act(self, observations: np.ndarray, *, greedy: bool, started: np.ndarray) -> np.ndarray:
        if not greedy:
            raise RlctlError("a linear policy has nothing to sample.")
        return self.first_action + (observations @ self.weights).argmax(axis=1)
