"""What a file of MOSAIC asks for that is no training: the command of rlctl that does it, for who asked to train it."""

from __future__ import annotations

import shlex
from typing import Any

from rlctl.errors import did_you_mean
from rlctl_cleanrl.conversions import mosaic_fields as fields
from rlctl_cleanrl.conversions.mosaic_reading import Reading

_EPISODES_THERE = 5
"""Episodes of an evaluation of which nothing is said."""


def check_mode(reading: Reading) -> None:
    """Say why it is no training, if it is none."""
    mode, path = reading.said.get(reading.at("extras.mode"), "train"), reading.at("extras.mode")
    if mode not in fields.MODES:
        reading.unusable(path, f"there is no mode {mode!r}.", did_you_mean(str(mode), fields.MODES))
    besides = {"policy_eval": ("extras.policy_path",), "interactive": ()}.get(str(mode), ("total_timesteps",))
    reading.require("algo", "env_id", *besides)
    if mode == "interactive":
        reason = "steps an environment for a program that sends commands, and trains nothing."
        reading.unusable(path, reason, None if reading.made.unusable else f"Run: {_interactive_command(reading)}")
    if mode == "policy_eval" and not reading.made.unusable:
        reading.unusable(
            path, "policy_eval measures a policy, and trains nothing.", f"Run: {_evaluate_command(reading)}"
        )


def _evaluate_command(reading: Reading) -> str:
    """Return the command line that does what policy_eval does."""
    model, algo, env_id = (reading.said[reading.at(name)] for name in ("extras.policy_path", "algo", "env_id"))
    words = ["rlctl", "evaluate", model, "--worker", f"cleanrl/{algo}", "--env", env_id]
    settings, values = _settings_of_evaluation(reading), dict(reading.said)
    if "gamma" in settings:
        values.setdefault(reading.at("extras.eval_gamma"), settings["gamma"][1])
    if reading.at("extras.eval_batch_size") not in values:
        values.setdefault(reading.at("extras.eval_episodes"), _EPISODES_THERE)
    for name, option in fields.EVALUATE_OPTIONS.items():
        value = values.get(reading.at(name))
        if option in words and reading.at(name) in reading.said:
            reading.leave_out(reading.at(name), "eval_batch_size says it already, as there")
        elif value is not None and value is not False and option not in words:
            words += [option] if value is True else [option, str(value)]
    device = reading.device(settings)
    return shlex.join([*words, *(("--device", device[0]) if device else ())])


def _settings_of_evaluation(reading: Reading) -> dict[str, tuple[str, Any]]:
    """Return name → (path, value) of the script's arguments that an evaluation has, too; the others are left out."""
    found = {}
    for path, name, value in reading.arguments():
        if name in ("gamma", "cuda") and name not in found:
            found[name] = (path, value)
        elif name not in fields.EVALUATION:
            reading.leave_out(path, "a setting of a training, and none is done")
    return found


def _interactive_command(reading: Reading) -> str:
    """Return the command line that does what the mode interactive does, with pictures as its clients read them."""
    model, algo, env_id = (reading.said.get(reading.at(name)) for name in ("extras.policy_path", "algo", "env_id"))
    words = ["rlctl", "interactive", *([str(model)] if model else ()), "--worker", f"cleanrl/{algo}"]
    seed, device = reading.said.get(reading.at("seed")), reading.device({})
    words += ["--env", str(env_id), "--frames", "rgb", *(("--seed", str(seed)) if seed is not None else ())]
    return shlex.join([*words, *(("--device", device[0]) if device else ())])
