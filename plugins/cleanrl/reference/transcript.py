"""Print digests of everything that a vector environment hands to a script over 700 steps, for one API and one env id.

Run by the REFERENCE interpreter as it is, and by the tests after the shims are installed: the digests must be equal.
`python transcript.py gym CartPole-v1 [--lines]`; `--lines` prints the transcript itself, to find a first difference.
`python transcript.py --record transcripts.json` writes anew what the file holds, with the fingerprint of this computer.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

STEPS, COUNT, SEED = 700, 3, 7

# Acrobot of gym 0.23 and of gymnasium 0.29 asks for the old name, which numpy 2 dropped.
vars(np).setdefault("float_", np.float64)


def exact(value: Any, bits: bool) -> str:
    """Write a value so that equal bits give equal text; wall-clock times are left out, without `bits` all floats."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {exact(value[key], bits)}" for key in sorted(value) if key != "t") + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(exact(item, bits) for item in value) + "]"
    if isinstance(value, np.ndarray) and value.dtype == object:
        return exact(list(value), bits)
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{value.tobytes().hex() if bits or value.dtype.kind != 'f' else ''}"
    if isinstance(value, (float, np.floating)):
        return float(value).hex() if bits else "float"
    return str(value)


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


def transcript(api: str, env_id: str, bits: bool) -> Iterator[str]:
    """Yield what reset and each step return; `api` is gym or gymnasium."""
    gym = importlib.import_module(api)
    envs = gym.vector.SyncVectorEnv([lambda seed=SEED + i: make(gym, env_id, seed) for i in range(COUNT)])
    shapes = [space.shape for space in (envs.single_observation_space, envs.observation_space, envs.action_space)]
    yield f"{envs.num_envs} {shapes}"
    yield exact(envs.reset() if api == "gym" else envs.reset(seed=SEED), bits)
    for _ in range(STEPS):
        actions = np.array([env.action_space.sample() for env in envs.envs])
        yield exact(actions, bits) + exact(envs.step(actions), bits)
    envs.close()


def digests(api: str, env_id: str) -> dict[str, str]:
    """Digest the transcript with every bit, and that without floats: types, shapes, integers, ends of episodes."""
    texts = {name: "\n".join(transcript(api, env_id, bits=name == "bits")) for name in ("bits", "form")}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def record(path: Path) -> None:
    """Write anew what the file holds."""
    from fingerprint import fingerprint

    runs = {run: digests(*run.split()) for run in json.loads(path.read_text())["runs"]}
    path.write_text(json.dumps({"fingerprint": fingerprint("numpy"), "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--record":
        record(Path(sys.argv[2]))
    elif "--lines" in sys.argv:
        print("\n".join(transcript(*sys.argv[1:3], bits=True)))
    else:
        print(json.dumps(digests(*sys.argv[1:3])))
