"""Print a digest of everything that a vector environment hands to a script over 700 steps, for one API and one env id.

Run by the REFERENCE interpreter as it is, and by the tests after the shims are installed: the digests must be equal.
`python transcript.py gym CartPole-v1 [--lines]`; `--lines` prints the transcript itself, to find a first difference.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

STEPS, COUNT, SEED = 700, 3, 7

# Acrobot of gym 0.23 and of gymnasium 0.29 asks for the old name, which numpy 2 dropped.
vars(np).setdefault("float_", np.float64)


def exact(value: Any) -> str:
    """Write a value so that equal bits give equal text; wall-clock times are left out."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {exact(value[key])}" for key in sorted(value) if key != "t") + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(exact(item) for item in value) + "]"
    if isinstance(value, np.ndarray) and value.dtype == object:
        return exact(list(value))
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{value.tobytes().hex()}"
    return float(value).hex() if isinstance(value, (float, np.floating)) else str(value)


def make(gym: Any, env_id: str, seed: int) -> Any:
    """Wrap an environment as ppo.py and ppo_continuous_action.py do."""
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(env_id))
    if isinstance(env.action_space, gym.spaces.Box) and gym.__name__ == "gymnasium":
        env = gym.wrappers.NormalizeObservation(gym.wrappers.ClipAction(env))
        env = gym.wrappers.TransformObservation(env, lambda observation: np.clip(observation, -10, 10))
        env = gym.wrappers.NormalizeReward(env, gamma=0.99)
        env = gym.wrappers.TransformReward(env, lambda reward: np.clip(reward, -10, 10))
    if gym.__name__ == "gym":
        env.seed(seed)
    env.action_space.seed(seed)
    return env


def transcript(api: str, env_id: str) -> Iterator[str]:
    """Yield what reset and each step return; `api` is gym or gymnasium."""
    gym = importlib.import_module(api)
    envs = gym.vector.SyncVectorEnv([lambda seed=SEED + i: make(gym, env_id, seed) for i in range(COUNT)])
    shapes = [space.shape for space in (envs.single_observation_space, envs.observation_space, envs.action_space)]
    yield f"{envs.num_envs} {shapes}"
    yield exact(envs.reset() if api == "gym" else envs.reset(seed=SEED))
    for _ in range(STEPS):
        actions = np.array([env.action_space.sample() for env in envs.envs])
        yield exact(actions) + exact(envs.step(actions))
    envs.close()


if __name__ == "__main__":
    lines = list(transcript(*sys.argv[1:3]))
    text = "\n".join(lines)
    print(text if "--lines" in sys.argv else hashlib.sha256(text.encode()).hexdigest())
