"""A small training script in the style of CleanRL's master, for tests that need sources of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

SCRIPT = '''
import random
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
import tyro
from cleanrl_utils.marks import MARK
from torch.utils.tensorboard import SummaryWriter


@dataclass
class Args:
    env_id: str = "CartPole-v1"
    total_timesteps: int = 500
    seed: int = 1
    cuda: bool = True
    learning_rate: float = 1e-2
    """how fast it learns"""


if __name__ == "__main__":
    args = tyro.cli(Args)
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    writer = SummaryWriter("runs/train")
    envs = gym.vector.SyncVectorEnv([lambda: gym.wrappers.RecordEpisodeStatistics(gym.make(args.env_id))])
    assert isinstance(envs.single_action_space, gym.spaces.Discrete)
    q_network = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(q_network.parameters(), lr=args.learning_rate)
    obs, _ = envs.reset(seed=args.seed)
    for global_step in range(args.total_timesteps):
        values = q_network(torch.tensor(obs, dtype=torch.float32))
        actions = values.argmax(dim=1).numpy() if random.random() > 0.3 else envs.action_space.sample()
        obs, rewards, terminations, truncations, infos = envs.step(actions)
        loss = ((values.max() - float(rewards[0])) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if global_step % 50 == 0:
            writer.add_scalar("charts/mark", MARK, global_step)
            writer.add_scalar("losses/td_loss", loss.item(), global_step)
    envs.close()
    writer.close()
'''


def write_source(folder: Path, mark: int, *, init: bool = True, plain: bool = False) -> Path:
    """Write a source with the script `train`, whose helpers have this mark.

    `init`: cleanrl_utils has an `__init__.py`; `plain`: the script is in the folder itself and not in its cleanrl/.
    """
    files = {"train.py" if plain else "cleanrl/train.py": SCRIPT, "cleanrl_utils/marks.py": f"MARK = {mark}\n"}
    for name, text in {**files, **({"cleanrl_utils/__init__.py": ""} if init else {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def commit(folder: Path) -> str:
    """Commit all of a folder, as a repository of its own; returns its URL."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "scripts"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return folder.as_uri()
