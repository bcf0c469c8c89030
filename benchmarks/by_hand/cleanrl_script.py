"""A CleanRL script run bare: `python cleanrl_script.py SCRIPT ARGUMENTS...`. Prints the returns it logged as JSON.

Only `SummaryWriter.add_scalar` is listened to, for the returns; the writer still writes, as for CleanRL's users.
"""

import json
import runpy
import sys

import torch
from torch.utils.tensorboard import SummaryWriter

torch.set_num_threads(1)
returns = []
original = SummaryWriter.add_scalar


def listen(self, tag, value, *args, **kwargs):
    """Keep the episode returns."""
    if tag == "charts/episodic_return":
        returns.append(float(value.item() if hasattr(value, "item") else value))  # some log arrays of one element
    original(self, tag, value, *args, **kwargs)


SummaryWriter.add_scalar = listen
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(json.dumps(returns))
