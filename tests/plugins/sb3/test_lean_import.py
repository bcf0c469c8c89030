"""What a training with SB3 imports, and what it leaves out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROBE = """
import json, sys
import rlctl_sb3.worker
names = ("tensorboard", "torch.utils.tensorboard", "tqdm", "matplotlib", "pandas", "tensorflow")
imported = [name for name in names if name in sys.modules]
from torch.utils.tensorboard import SummaryWriter
from stable_baselines3.common import logger
print(json.dumps([imported, SummaryWriter.__module__, logger.SummaryWriter]))
"""


def test_the_worker_imports_nothing_for_logs_that_nobody_asked_for():
    """SB3 alone takes TensorBoard along where it is installed. A callback can import it all the same."""
    answer = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == [[], "torch.utils.tensorboard.writer", None]


def test_sb3_with_the_callback_tensorboard_has_its_logs(cli):
    """Which imports it after SB3 was imported without."""
    answer = cli("run", "sb3/a2c", "-n", "200", "--callback", "tensorboard", "--json")
    assert answer.code == 0, answer.err
    assert list(Path(answer.json()["directory"]).glob("tensorboard/events.*"))
