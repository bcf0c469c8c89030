"""What happens in a run, as frozen data, and its JSON-lines form; files and hooks carry the same objects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen


@frozen(kw_only=True)
class RunInfo:
    """Who a run is: plain data, the same in the worker process and in the host."""

    run_id: str
    directory: Path
    worker: str
    algo: str
    env_id: str
    seed: int
    total_timesteps: int | None
    total_episodes: int | None
    config: Mapping[str, Any] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class Progress:
    """How far a run is. `seconds` since training started; `steps_per_second` over the last few seconds."""

    step: int
    episodes: int
    seconds: float
    steps_per_second: float | None = None
    return_mean: float | None = None
    """Mean return of the last 100 episodes (fewer when there are fewer); None before the first."""


@frozen(kw_only=True)
class Episode:
    """One finished episode: undiscounted return, length in environment steps, and where it ended.

    `step` is the run's count of environment steps when it ended; `seconds` since training started.
    """

    index: int
    step: int
    episode_return: float
    length: int
    env_index: int = 0
    seconds: float = 0.0
    stage: int | None = None
    """The stage of a curriculum that it was played in, counted from 0; None without one."""

    def to_json(self) -> dict[str, Any]:
        """Return the line of episodes.jsonl: episode, step, return, length, env, seconds; and stage, in a curriculum."""
        line = {
            "episode": self.index, "step": self.step, "return": self.episode_return,
            "length": self.length, "env": self.env_index, "seconds": round(self.seconds, 3),
        }  # fmt: skip
        return line if self.stage is None else {**line, "stage": self.stage}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Episode:
        """Read a line of episodes.jsonl; a return that was not finite comes back as it was."""
        return cls(
            index=line["episode"], step=line["step"], episode_return=_number(line, "return"),
            length=line["length"], env_index=line["env"], seconds=line["seconds"], stage=line.get("stage"),
        )  # fmt: skip


def episodes_of(lines: Iterable[Mapping[str, Any]]) -> Iterator[Episode]:
    """Yield the episodes of an episodes.jsonl; a line that is none is passed over, as a torn one is."""
    for line in lines:
        try:
            episode = Episode.from_json(line)
        except (KeyError, TypeError, AttributeError):
            continue
        yield episode


@frozen(kw_only=True)
class Metrics:
    """Scalars at one step. Names are rlctl's vocabulary (docs/metrics.md); a backend's own are under `backend/`."""

    step: int
    seconds: float
    values: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the line of metrics.jsonl: step, seconds, values."""
        return {"step": self.step, "seconds": round(self.seconds, 3), "values": dict(self.values)}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Metrics:
        """Read a line of metrics.jsonl; values that were not finite come back as they were."""
        values = {name: _number(line["values"], name, line) for name in line["values"]}
        return cls(step=line["step"], seconds=line["seconds"], values=values)


@frozen(kw_only=True)
class StageChanged:
    """The run has reached the next stage of its curriculum. `stage` counts from 0; `reason` is what ended the one before.

    Each environment changes when its episode has ended.
    """

    step: int
    stage: int
    env_id: str
    reason: str


@frozen(kw_only=True)
class CheckpointSaved:
    """A checkpoint that has just become whole. `reason` is periodic, evaluation, milestone, final or emergency."""

    step: int
    path: Path
    reason: str
    sha256: str


@frozen(kw_only=True)
class Failure:
    """Why a run failed: the class and message of what was raised, or the signal that ended the process."""

    kind: str
    message: str
    traceback: str = ""
    log_tail: str = ""


@frozen(kw_only=True)
class Result:
    """How a run ended. `status` is finished, stopped or failed; `reason` says why in words, `stopped_by` in one.

    That is `timesteps`, `episodes`, `curriculum`, `early_stopping`, `hook`, `request` or `returned` (the backend's own end);
    None for a failure. `best_*` are of the best evaluation, if there was one.
    """

    status: str
    reason: str
    step: int = 0
    episodes: int = 0
    seconds: float = 0.0
    return_mean: float | None = None
    failure: Failure | None = None
    exit_code: int = 0
    stopped_by: str | None = None
    best_step: int | None = None
    best_return: float | None = None


_NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def json_safe(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return `line` as legal JSON: a NaN or infinity becomes null and is named under "nonfinite".

    Numbers are looked at one mapping deep, which is as deep as our lines go.
    """
    flags: dict[str, str] = {}

    def clean(name: str, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            flags[name] = repr(value)
            return None
        return value

    out = {
        key: {name: clean(name, item) for name, item in value.items()}
        if isinstance(value, Mapping)
        else clean(key, value)
        for key, value in line.items()
    }
    return {**out, "nonfinite": flags} if flags else out


def restored(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `json_safe` was given, for a line whose numbers are not nested."""
    flags = line.get("nonfinite", {})
    kept = ((key, value) for key, value in line.items() if key != "nonfinite")
    return {key: _NONFINITE[flags[key]] if key in flags else value for key, value in kept}


def _number(line: Mapping[str, Any], name: str, flagged: Mapping[str, Any] | None = None) -> float:
    value = line[name]
    flags = (flagged or line).get("nonfinite", {})
    return _NONFINITE[flags[name]] if value is None else value
