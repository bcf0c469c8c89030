"""Why a training ends: a stop, and the limits that lead to one."""

from __future__ import annotations

from attrs import frozen


@frozen
class Stop:
    """Why training is to end.

    `kind`: `timesteps` or `episodes` (budget), `curriculum`, `early_stopping`, `hook` (a callback's wish), `request` (all others).
    """

    kind: str
    reason: str
    signal: str | None = None


def early_stop(reason: str | None) -> Stop | None:
    """Return the stop of early stopping for a reason; None without one."""
    return None if reason is None else Stop("early_stopping", reason)


@frozen
class Limits:
    """How far a run may go; None: no such limit."""

    stop_at: int | None
    total_timesteps: int | None
    total_episodes: int | None

    def reached(self, step: int, episodes: int) -> Stop | None:
        """Return the stop that one of the limits means here; a run that has used up its budget is not resumable."""
        if self.total_timesteps is not None and step >= self.total_timesteps:
            return Stop("timesteps", f"total_timesteps = {self.total_timesteps} reached")
        if self.total_episodes is not None and episodes >= self.total_episodes:
            return Stop("episodes", f"total_episodes = {self.total_episodes} reached")
        if self.stop_at is not None and step >= self.stop_at:
            return Stop("request", f"stop_at = {self.stop_at} reached")
        return None
