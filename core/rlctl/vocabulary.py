"""The names that scalars have in every backend, so that runs of different backends can be laid side by side."""

from __future__ import annotations

from attrs import frozen

BACKEND_PREFIX = "backend/"
"""A backend's own tags stand behind it, unchanged; they belong to the backend and mean what it says."""


@frozen
class Metric:
    """What a name stands for, and in which unit."""

    unit: str
    meaning: str


VOCABULARY: dict[str, Metric] = {
    "episode/return": Metric("reward", "Undiscounted sum of the rewards of a training episode."),
    "episode/length": Metric("steps", "Steps of that episode in its own environment."),
    "evaluation/return_mean": Metric("reward", "Mean undiscounted return of the episodes of an evaluation."),
    "evaluation/return_std": Metric("reward", "Standard deviation of these returns."),
    "evaluation/length_mean": Metric("steps", "Mean length of these episodes."),
    "evaluation/discounted_return_mean": Metric("reward", "Mean discounted return, where the discount is known."),
    "evaluation/value_mean": Metric("reward", "Mean of the policy's own estimates of that, at the first observations."),
    "evaluation/overestimation": Metric("reward", "Mean of estimate minus discounted return, episode by episode."),
    "train/loss": Metric("-", "The loss that is minimised, where a backend has one for everything."),
    "train/policy_loss": Metric("-", "Loss of the policy (actor)."),
    "train/value_loss": Metric("-", "Loss of the value function (critic)."),
    "train/q_value": Metric("reward", "Mean value of the taken actions in a batch."),
    "train/learning_rate": Metric("-", "Step size of the optimiser."),
    "train/updates": Metric("updates", "Updates since training began, as the backend counts them."),
    "train/entropy": Metric("nat", "Mean entropy of the policy's action distribution."),
    "train/entropy_loss": Metric("nat", "Minus that entropy, as it enters a loss, before its coefficient."),
    "train/entropy_coefficient": Metric("-", "Weight of the entropy in the objective (alpha of SAC)."),
    "train/approx_kl": Metric("nat", "Estimated divergence of the new policy from the one that acted."),
    "train/clip_fraction": Metric("share", "Share of samples whose probability ratio was clipped."),
    "train/explained_variance": Metric("share", "Share of the returns' variance that the values explain; 1 is best."),
    "train/exploration_rate": Metric("probability", "Probability of a random action (epsilon)."),
    "diagnostics/td_error_mean": Metric("reward", "Mean TD error of a batch, without its sign."),
    "diagnostics/td_error_std": Metric("reward", "Standard deviation of these errors."),
    "diagnostics/td_error_max": Metric("reward", "The largest of these errors."),
    "diagnostics/q_value_mean": Metric("reward", "Mean value of the taken actions of the same batch, without noise."),
    "diagnostics/q_value_std": Metric("reward", "Standard deviation of these values."),
    "diagnostics/q_value_min": Metric("reward", "The lowest of these values."),
    "diagnostics/q_value_max": Metric("reward", "The highest of these values."),
    "diagnostics/gradient_norm": Metric(
        "-", "Euclidean norm of the loss's gradient by all parameters, before it is clipped."
    ),
    "diagnostics/dormant_share": Metric("share", "Share of the hidden units that are dormant (Sokar et al. 2023)."),
    "time/steps_per_second": Metric("steps/s", "Environment steps per second as the backend measures them."),
}
"""Name → unit and meaning; docs/metrics.md lists exactly these."""


def is_known(name: str) -> bool:
    """Return whether a scalar may have this name: one of the vocabulary, or one behind `backend/`."""
    return name in VOCABULARY or name.startswith(BACKEND_PREFIX)
