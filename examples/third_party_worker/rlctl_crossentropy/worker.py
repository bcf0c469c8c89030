"""The training: draw linear policies, play an episode with each, move towards the best. Only a run imports this."""

import numpy as np

from rlctl import Run
from rlctl.gym.environments import make_env


class CrossEntropyWorker:
    """Searches among linear policies for one with a high return (Rubinstein 1999)."""

    def train(self, run: Run) -> None:
        settings, generator = run.hyperparameters, np.random.default_rng(run.seed)
        env = make_env(run.env)
        shape = (env.observation_space.shape[0], env.action_space.n)
        mean, deviation = np.zeros(shape), np.full(shape, settings["deviation"])
        env.reset(seed=run.seed)
        step = 0
        while run.advance(step):
            policies, returns = generator.normal(mean, deviation, (settings["population"], *shape)), []
            for policy in policies:
                observation, _ = env.reset()
                episode_return, length, ended = 0.0, 0, False
                while not ended and run.advance(step):
                    action = env.action_space.start + (observation @ policy).argmax()
                    observation, reward, terminated, truncated, _ = env.step(action)
                    episode_return, ended = episode_return + float(reward), terminated or truncated
                    step, length = step + 1, length + 1
                if ended:
                    run.record_episode(episode_return, length, step=step)
                    returns.append(episode_return)
            if len(returns) == len(policies):
                best = policies[np.argsort(returns)[-settings["elite"] :]]
                mean, deviation = best.mean(axis=0), best.std(axis=0) + 0.05
                run.record_metrics({"backend/deviation": deviation.mean()}, step=step)
        np.save(run.directory.backend / "policy.npy", mean)
        env.close()
