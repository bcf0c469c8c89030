"""Episode records: what is known of each training episode, put together from everything that a run recorded of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from rlctl.errors import NotAvailableError, UsageError
from rlctl.events import Episode, Metrics, episodes_of
from rlctl.gym.transitions import EpisodeTransitions, load_actions, load_frames, load_transitions
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json, read_lines

_LOADERS: dict[str, Any] = {"transitions": load_transitions, "actions": load_actions, "frames": load_frames}


def load_episodes(
    run: Any,
    *,
    actions: bool = False,
    frames: bool = False,
    transitions: bool = False,
    agent_logs: bool = False,
    reward_info: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield a record for each finished training episode, in the order in which they ended.

    `run` is a run's directory, or a `RunResult`. Each record has `episode_index`, `ep_return`, `ep_length`, `agent_seed`, the
    seed of the run, `env_seed`, the seed that the environment was last given, `env_index` and `step`; and, where asked for,
    `actions`, `frames` and `transitions` as the callbacks of these names recorded them, lists with an item for each life,
    and `agent_logs`, the metrics that were reported since the last episode. `env_seed` is None where none of these callbacks
    recorded it. `reward_info` names an entry of `info`, "actual_reward" say, that counts instead of the reward wherever the
    environment gives it; `transitions` must have recorded it.

    Raises NotAvailableError where something that was asked for was not recorded, UsageError where `reward_info` was not.
    """
    directory = RunDirectory(Path(getattr(run, "directory", run)))
    wanted: dict[str, bool] = {
        name: said for name, said in (("actions", actions), ("frames", frames), ("transitions", transitions)) if said
    }
    config = (read_json(directory.config) or {}).get("config") or {}
    if reward_info is not None:
        _require_recorded(config, reward_info)
        wanted.setdefault("transitions", False)
    recorded = _Recorded(directory.path, wanted)
    logs = _AgentLogs(directory.path) if agent_logs else None
    for episode in episodes_of(read_lines(directory.episodes)):
        record, parts = _plain(episode, config.get("seed")), recorded.of(episode)
        if reward_info is not None:
            record["ep_return"] = sum(_return_by(part, reward_info) for part in parts["transitions"])
        seeds = [part.seed for items in parts.values() for part in items if getattr(part, "seed", None) is not None]
        record["env_seed"] = recorded.last_seed(episode.env_index, seeds)
        record |= {name: items for name, items in parts.items() if wanted.get(name)}
        if logs is not None:
            record["agent_logs"] = logs.until(episode.step)
        yield record


def _plain(episode: Episode, seed: Any) -> dict[str, Any]:
    return {
        "episode_index": episode.index, "ep_return": episode.episode_return, "ep_length": episode.length,
        "agent_seed": seed, "env_seed": None, "env_index": episode.env_index, "step": episode.step,
    }  # fmt: skip


def _require_recorded(config: Mapping[str, Any], key: str) -> None:
    options = (config.get("callbacks") or {}).get("transitions")
    if not isinstance(options, Mapping) or key not in (options.get("infos") or ()):
        hint = f"Train with --set 'callbacks.transitions.infos=[{key}]'."
        raise UsageError(f'info["{key}"] was not recorded in this run.', hint=hint)


def _return_by(part: EpisodeTransitions, key: str) -> float:
    rewards = part.rewards.tolist()
    if key in part.infos:
        said = zip(part.infos[key][1:].tolist(), part.has_infos[key][1:].tolist(), rewards, strict=True)
        rewards = [value if has else reward for value, has, reward in said]
    return float(sum(rewards))


class _Recorded:
    """What was recorded of the episodes of each environment, read as far as it is asked for."""

    def __init__(self, directory: Path, wanted: Mapping[str, bool]) -> None:
        self._directory = directory
        self._names = list(wanted) or [name for name in ("actions", "transitions") if (directory / name).is_dir()][:1]
        self._open: dict[tuple[str, int], Iterator[tuple[int, list[Any]]]] = {}
        self._waiting: dict[tuple[str, int], tuple[int, list[Any]] | None] = {}
        self._counts: dict[int, int] = {}
        self._seeds: dict[int, int | None] = {}
        for name in wanted:
            if not (directory / name).is_dir():
                raise NotAvailableError(
                    f"{directory} has no {name}: nothing recorded them.",
                    hint=f"Train with the callback: --callback {name}",
                )

    def of(self, episode: Episode) -> dict[str, list[Any]]:
        """Return the parts of an episode by what they are; asked for in the order in which the episodes ended."""
        number = self._counts.get(episode.env_index, 0)
        self._counts[episode.env_index] = number + 1
        return {name: self._parts(name, episode.env_index, number) for name in self._names}

    def last_seed(self, env_index: int, seeds: list[int]) -> int | None:
        """Return the seed that an environment was given last, this episode's own if it was given one."""
        if seeds:
            self._seeds[env_index] = seeds[0]
        return self._seeds.get(env_index)

    def _parts(self, name: str, env_index: int, number: int) -> list[Any]:
        key = (name, env_index)
        if key not in self._open:
            loaded = _LOADERS[name](self._directory, env_index)
            grouped = groupby(loaded, key=lambda item: item.index)
            self._open[key] = ((index, list(items)) for index, items in grouped)
            self._waiting[key] = next(self._open[key], None)
        waiting = self._waiting[key]
        while waiting is not None and waiting[0] < number:
            waiting = next(self._open[key], None)
        self._waiting[key] = waiting
        return waiting[1] if waiting is not None and waiting[0] == number else []


class _AgentLogs:
    """The metrics of a run, handed out episode by episode."""

    def __init__(self, directory: Path) -> None:
        self._lines = (Metrics.from_json(line) for line in read_lines(directory / "metrics.jsonl"))
        self._next = next(self._lines, None)

    def until(self, step: int) -> list[dict[str, Any]]:
        """Return what was reported up to a step and has not been returned yet."""
        found = []
        while self._next is not None and self._next.step <= step:
            found.append({"step": self._next.step, **self._next.values})
            self._next = next(self._lines, None)
        return found
