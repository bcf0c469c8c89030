"""The fields of MOSAIC's files: how those are read that mean something here, and why the others are not taken."""

from __future__ import annotations

from typing import Any

from rlctl.config.foreign import NotTakenError, Reader, flag, mapping, natural, seed, text, whole

MODES = ("train", "policy_eval", "resume_training", "interactive")
GPU_FLAGS = ("cuda", "use_cuda", "gpu")


def _fraction(value: Any) -> float:
    """Return a number between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise NotTakenError(f"expected a number between 0 and 1, got {value!r}")
    return float(value)


def _seconds(value: Any) -> float:
    """Return a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise NotTakenError(f"expected seconds, got {value!r}")
    return float(value)


def _refuse(reason: str) -> Reader:
    """Return a reader that takes nothing, not even `false`: what is not wanted there is done here."""

    def refuse(_: Any) -> None:
        raise NotTakenError(reason)

    return refuse


_FRAMES = "a training sends no frames. `rlctl play RUN` shows its policy, `rlctl record RUN` films it"
WANDB = "there is no callback for Weights & Biases; `--callback tensorboard` writes event files"
MEASURED = (
    "only the mode policy_eval evaluates. In a training that is evaluation.*, and afterwards `rlctl evaluate RUN`"
)
_PLACE = "a run's directory is runs/ID. `--runs-dir` says where runs are kept"
_PROTOCOL = "there the GUI and its worker agree on it; here the worker is a process of the same rlctl"
_STARTED = "rlctl starts its worker by itself"


def _video_mode(value: Any) -> None:
    """Take "off": so it is."""
    if value != "off":
        raise NotTakenError(_FRAMES)


def _repetitions(value: Any) -> int | None:
    """Return how often; None for once."""
    if value is True:
        raise NotTakenError("there it is repeated until it is killed; `--repeat` says how often")
    return None if value is False else whole(value)


EXTRAS: dict[str, Reader] = {
    "mode": lambda value: value,
    **dict.fromkeys(GPU_FLAGS, flag),
    "tensorboard_dir": text,
    "algo_params": mapping,
    "curriculum_schedule": lambda value: value,
    "policy_path": text,
    "checkpoint_path": text,
    "checkpoint_freq": whole,
    "notes": text,
    "fastlane_video_mode": _video_mode,
}
EVALUATION: dict[str, Reader] = {
    "eval_episodes": whole,
    "eval_batch_size": whole,
    "eval_gamma": _fraction,
    "eval_capture_video": flag,
    "eval_repeat": _repetitions,
    "eval_max_episode_steps": whole,
}
"""Those of them that only the mode policy_eval has."""
EVALUATE_OPTIONS = {
    "extras.eval_batch_size": "--episodes",
    "extras.eval_episodes": "--episodes",
    "seed": "--seed",
    "extras.eval_gamma": "--gamma",
    "extras.eval_max_episode_steps": "--max-episode-steps",
    "extras.eval_capture_video": "--video",
    "extras.eval_repeat": "--repeat",
}
"""What they are for `rlctl evaluate`; of two that are the same, the first holds, as there."""

EXTRAS_REASONS = {
    "track_wandb": WANDB,
    **dict.fromkeys(("fastlane_enabled", "fastlane_only", "fastlane_slot", "fastlane_grid_limit"), _FRAMES),
    "eval_max_episode_seconds": "an evaluation plays all of its episodes to their end; `--time-limit` ends it as a whole",
    "agent_id": "a training has one agent",
    **dict.fromkeys(("checkpoint_dir", "checkpoints_dir"), f"checkpoints are in checkpoints/ of it: {_PLACE}"),
    "optuna_db": "a run is one training, no search",
    **dict.fromkeys(("schema_id", "schema_version", "schema_definition", "supports_pause", "supports_checkpoint"), _PROTOCOL),
}  # fmt: skip

CONFIG: dict[str, Reader] = {
    "run_id": text,
    "algo": text,
    "env_id": text,
    "total_timesteps": whole,
    "seed": seed,
    "worker_id": _refuse("it names a process there; here that is named by the run"),
    "raw": _refuse("there it is a copy of the file, to find mistakes by"),
}

ENVELOPE: dict[str, Reader] = {
    "run_name": text,
    "resources.gpus.requested": natural,
    "resources.gpus.mandatory": flag,
    "schedule.max_duration_seconds": _seconds,
    "schedule.max_steps": whole,
    "environment": mapping,
    "artifacts.persist_logs": _refuse("logs are kept in any case, in logs/ of the run's directory"),
    "artifacts.keep_checkpoints": _refuse("checkpoint.keep_last says how many are kept; the best is kept in any case"),
    "metadata.worker.script": text,
    "metadata.artifacts.tensorboard.enabled": flag,
}
ENVELOPE_REASONS = {
    **dict.fromkeys(("entry_point", "arguments"), _STARTED),
    "resources.cpus": "there it is checked and never enforced. `threads` is how many the worker uses: 1, or what is said",
    "resources.memory_mb": "there it is checked and never enforced, and here nothing limits it either",
    "artifacts.output_prefix": _PLACE,
    "metadata.ui": "it is for the GUI",
    **{f"metadata.worker.{name}": _STARTED for name in ("worker_id", "module", "arguments", "agent_id")},
    **{f"metadata.worker.{name}": "a run's files are its protocol" for name in ("use_grpc", "grpc_target")},
    "metadata.artifacts.tensorboard.relative_path": "event files are in tensorboard/ of the run's directory",
    "metadata.artifacts.tensorboard.log_dir": "event files are in tensorboard/ of the run's directory",
    "metadata.artifacts.wandb": WANDB,
}
VARIABLE = "a run sets no environment variables: export it before `rlctl run`"
RESUME_VARIABLE = "CLEANRL_RESUME_PATH"
"""In it the form that resumes a training says what to begin with."""

RESERVED_REASONS = {
    **dict.fromkeys(("env_id", "seed", "total_timesteps"), "the field of this name beside extras says it"),
    **dict.fromkeys(("track", "wandb_project_name", "wandb_entity"), WANDB),
    "exp_name": "run_name and run_id name the run",
    "capture_video": "a training is not filmed. Film its policy: `rlctl record RUN`",
    "save_model": "checkpoints have the weights, and a script that has this option leaves its model in backend/ in any case",
    **dict.fromkeys(("upload_model", "hf_entity"), "checkpoints and models stay on this machine"),
    **dict.fromkeys(("batch_size", "minibatch_size", "num_iterations", "num_updates"), "the script computes it of the others"),
}  # fmt: skip
"""Arguments of scripts that are no settings here; those of the last line only where the script does not take them."""
