"""Imports Stable-Baselines3 without TensorBoard, which it would take along for logs that rlctl has other means for.

SB3 does without what cannot be imported. Afterwards both can be imported again, by the callback that writes such logs say.
The worker's module imports this one before anything of SB3.
"""

from __future__ import annotations

import sys

_FOR_ITS_OWN_LOGS = ("torch.utils.tensorboard", "tqdm")

_left_out = [name for name in _FOR_ITS_OWN_LOGS if name not in sys.modules]
for _name in _left_out:
    # How Python is told that there is no such module.
    sys.modules[_name] = None  # type: ignore[assignment]
try:
    import stable_baselines3  # noqa: F401
finally:
    for _name in _left_out:
        del sys.modules[_name]
