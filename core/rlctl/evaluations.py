"""Evaluations as data: what is to be measured of a policy, what was, and the seeds that training never sees."""

from __future__ import annotations

import hashlib
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

SEED_LIMIT = 2**31
"""Seeds of evaluations are below it: every library takes such."""

MAX_NUM_ENVS = 16
"""Environments that an evaluation steps side by side, unless it is told otherwise."""

WITHOUT_A_WINDOW = (
    "`--render rgb_array` draws pictures as text, `--render ansi` prints text, `rlctl record` makes a film."
)
"""What to do where no window can be opened."""


@frozen(kw_only=True)
class EvaluationRequest:
    """What to measure: one episode for each of `seeds`, in `num_envs` environments side by side.

    `env` is the `env` mapping of a configuration. `greedy` takes the best action, otherwise the policy samples. `gamma`
    asks for discounted returns as well; `trained_gamma` is the discount with which the policy was trained, where that is
    known. `video` is a folder for a film of each episode.
    `time_limit` in seconds: when it is over, the episodes that have ended are the result.
    """

    env: Mapping[str, Any]
    seeds: tuple[int, ...]
    num_envs: int
    greedy: bool = True
    gamma: float | None = None
    trained_gamma: float | None = None
    time_limit: float | None = None
    video: str | None = None

    @property
    def asks_values(self) -> bool:
        """Whether the policy is asked for its own estimates: only where they are of the return that is measured.

        An estimate holds for greedy actions and the discount of the training. Beside another discount, or beside actions that
        are sampled, its difference to what was reached would say nothing of how good it is.
        """
        return self.greedy and self.gamma is not None and self.gamma == self.trained_gamma

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EvaluationRequest:
        """Read what `attrs.asdict` and JSON have made of a request."""
        return cls(**{**data, "seeds": tuple(data["seeds"])})


@frozen(kw_only=True)
class PlayRequest:
    """What to show: `episodes`, or as many of them as begin within so many `steps`, rendered as `render`.

    `random` takes actions by chance instead of the policy's. `film` is the file that the pictures go to, at `speed` a second
    or as the environment says. Otherwise pictures are drawn as text of at most `columns` and `lines`, with colours or without;
    `paced` waits after each as long as the environment says.
    """

    episodes: EvaluationRequest
    render: str
    random: bool = False
    steps: int | None = None
    film: str | None = None
    speed: float | None = None
    columns: int = 80
    lines: int = 24
    colour: bool = False
    paced: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PlayRequest:
        """Read what `attrs.asdict` and JSON have made of a request."""
        return cls(**{**data, "episodes": EvaluationRequest.from_json(data["episodes"])})


@frozen(kw_only=True)
class EvaluatedEpisode:
    """One episode: the seed of its reset, undiscounted return, length in steps, and how it ended.

    Seed and end are None where they are not known, as of an imported run.
    `value` is what the policy took the discounted return to be, at the first observation; None where it was not asked.
    """

    seed: int | None
    episode_return: float
    length: int
    terminated: bool | None
    discounted_return: float | None = None
    value: float | None = None


@frozen(kw_only=True)
class Evaluation:
    """What an evaluation measured, and of what.

    `step` and `episodes` are the run's counts; `checkpoint` the sha256 of the bundle that holds the very policy.
    `training_return_mean` is the mean of the last 100 training episodes at that time; `best` that no evaluation before was
    better. `seconds` since training started, `duration` in seconds.
    """

    step: int
    episodes: int
    checkpoint: str | None
    measured: tuple[EvaluatedEpisode, ...]
    greedy: bool = True
    gamma: float | None = None
    training_return_mean: float | None = None
    best: bool = False
    seconds: float = 0.0
    duration: float = 0.0
    videos: tuple[str, ...] = field(default=())

    @property
    def returns(self) -> list[float]:
        """The undiscounted return of each episode."""
        return [item.episode_return for item in self.measured]

    @property
    def return_mean(self) -> float:
        """Their mean; not a number if one is not."""
        return _mean(self.returns)

    @property
    def return_std(self) -> float:
        """Their standard deviation over the episodes, with n in the denominator."""
        finite = all(map(math.isfinite, self.returns))
        return statistics.pstdev(self.returns) if self.returns and finite else math.nan

    @property
    def length_mean(self) -> float:
        """Mean length of the episodes in steps."""
        return _mean([item.length for item in self.measured])

    @property
    def discounted_return_mean(self) -> float | None:
        """Mean discounted return; None when it was not asked for."""
        values = [item.discounted_return for item in self.measured if item.discounted_return is not None]
        return _mean(values) if values else None

    @property
    def value_mean(self) -> float | None:
        """Mean of the policy's own estimates at the first observations; None when it was not asked."""
        values = [item.value for item in self.measured if item.value is not None]
        return _mean(values) if values else None

    @property
    def overestimation(self) -> float | None:
        """Mean of estimate minus discounted return, over the episodes that have both; None when none has."""
        both = [(item.value, item.discounted_return) for item in self.measured]
        known = [value - found for value, found in both if value is not None and found is not None]
        return _mean(known) if known else None

    def metrics(self) -> dict[str, float]:
        """Return what is reported as scalars, under rlctl's names."""
        found = {
            "evaluation/return_mean": self.return_mean,
            "evaluation/return_std": self.return_std,
            "evaluation/length_mean": self.length_mean,
            "evaluation/discounted_return_mean": self.discounted_return_mean,
            "evaluation/value_mean": self.value_mean,
            "evaluation/overestimation": self.overestimation,
        }
        return {name: value for name, value in found.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """Return the line of evaluations.jsonl; numbers that are none in JSON become texts such as "nan"."""
        discounted = [item.discounted_return for item in self.measured]
        values = [item.value for item in self.measured]
        return {
            "step": self.step,
            "episodes": self.episodes,
            "checkpoint": self.checkpoint,
            "return_mean": _legal(self.return_mean),
            "return_std": _legal(self.return_std),
            "length_mean": _legal(self.length_mean),
            "discounted_return_mean": _legal(self.discounted_return_mean),
            "value_mean": _legal(self.value_mean),
            "overestimation": _legal(self.overestimation),
            "best": self.best,
            "greedy": self.greedy,
            "gamma": self.gamma,
            "training_return_mean": _legal(self.training_return_mean),
            "seeds": [item.seed for item in self.measured],
            "returns": [_legal(item.episode_return) for item in self.measured],
            "lengths": [item.length for item in self.measured],
            "terminated": [item.terminated for item in self.measured],
            "discounted_returns": None if self.gamma is None else [_legal(value) for value in discounted],
            "values": None if self.value_mean is None else [_legal(value) for value in values],
            "videos": list(self.videos),
            "seconds": round(self.seconds, 3),
            "duration": round(self.duration, 3),
        }

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Evaluation:
        """Read a line of evaluations.jsonl."""
        nothing = [None] * len(line["seeds"])
        discounted = line["discounted_returns"] or nothing
        values = line.get("values") or nothing  # the first lines that were written had no values
        columns = zip(
            line["seeds"], line["returns"], line["lengths"], line["terminated"], discounted, values, strict=True
        )
        measured = tuple(
            EvaluatedEpisode(
                seed=seed,
                episode_return=float(episode_return),
                length=length,
                terminated=terminated,
                discounted_return=_number(discounted_return),
                value=_number(value),
            )
            for seed, episode_return, length, terminated, discounted_return, value in columns
        )
        return cls(
            step=line["step"],
            episodes=line["episodes"],
            checkpoint=line["checkpoint"],
            measured=measured,
            greedy=line["greedy"],
            gamma=line["gamma"],
            training_return_mean=_number(line["training_return_mean"]),
            best=line["best"],
            seconds=line["seconds"],
            duration=line["duration"],
            videos=tuple(line["videos"]),
        )


def training_seeds(run_seed: int, num_envs: int | None) -> range:
    """Return the seeds that a training may give to its environments; where their number is the algorithm's, enough of them."""
    return range(run_seed, run_seed + (num_envs or 64))


def evaluation_seeds(
    run_seed: int, count: int, *, purpose: str = "training", num_envs: int | None = None
) -> tuple[int, ...]:
    """Return the first `count` of `endless_seeds`."""
    return tuple(itertools.islice(endless_seeds(run_seed, purpose=purpose, num_envs=num_envs), count))


def endless_seeds(run_seed: int, *, purpose: str = "training", num_envs: int | None = None) -> Iterator[int]:
    """Yield different seeds that follow from `run_seed` and are none of the training's own.

    `purpose` gives other seeds: those by which a training chose
    its best policy are no fair judges of it afterwards.
    """
    taken = set(training_seeds(run_seed, num_envs))
    for index in itertools.count():
        digest = hashlib.sha256(f"rlctl evaluation {purpose} {run_seed} {index}".encode()).digest()
        seed = int.from_bytes(digest[:8], "big") % SEED_LIMIT
        if seed not in taken:
            taken.add(seed)
            yield seed


def evaluations_of(lines: Iterable[Mapping[str, Any]]) -> list[Evaluation]:
    """Return the evaluations of an evaluations.jsonl; a line that is none is passed over, as a torn one is."""
    found = []
    for line in lines:
        try:
            found.append(Evaluation.from_json(line))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


def _mean(values: list[Any]) -> float:
    return sum(values) / len(values) if values else math.nan


def _legal(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else repr(value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
