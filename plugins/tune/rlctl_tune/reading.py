"""A sweep's file, or what was kept of it, to frozen data: every problem of shape at once, each with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, define, frozen

from rlctl.config.files import read_config
from rlctl.config.layers import Layer, Merged, merge
from rlctl.config.schema import SEED_MAXIMUM
from rlctl.descriptors import parameters_of
from rlctl.errors import ConfigError, Problem
from rlctl.parameters import Parameter
from rlctl.plans.model import Resources
from rlctl.plans.reading import LARGEST, expanded_range
from rlctl_tune.space import Choice, Space
from rlctl_tune.space_reading import Gathered, read_space

SAMPLERS = ("tpe", "random", "grid", "cmaes")
PRUNERS = ("none", "asha", "median")
SCORES = ("last", "mean", "best")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


def _parameter(name: str, kinds: tuple[Any, ...], doc: str, **more: Any) -> Parameter:
    return Parameter(name=name, kinds=kinds, doc=doc, **more)


SWEEP = (
    _parameter("name", ("string",), "The sweep's name; by default that of its file."),
    _parameter("config", ("string",), "A configuration file, beside this one; `run` stands over it."),
    _parameter("run", ("object",), "What is trained: a configuration as of `rlctl run`.", default={}),
    _parameter("space", ("object",), "What is searched: key of the configuration → range, values or same_as.", required=True),
    _parameter("sampler", ("string",), "Who proposes values.", default="tpe", choices=SAMPLERS),
    _parameter("seed", ("integer",), "Seed of the sampler.", default=0, minimum=0, maximum=SEED_MAXIMUM),
    _parameter("trials", ("integer", "null"), "How many settings are tried; of a grid by default all.", minimum=1, maximum=LARGEST),
    _parameter("seeds", ("array", "string"), "Seeds of each trial's runs, such as 0..2.", default=[0]),
    _parameter("score", ("string",), "What an evaluation curve is worth: its last value, its mean, its best.", default="last",
               choices=SCORES),
    _parameter("pruner", ("string", "object"), "Who stops trials that fall behind.", default="none"),
    _parameter("fresh", ("object",), "What is trained again with seeds that the search has not seen.", default={}),
    _parameter("resources", ("object",), "What each run takes while it runs: cpus, gpus, memory_mb.", default={}),
    _parameter("storage", ("string", "null"), "URL of a database for Optuna; by default a journal file."),
)  # fmt: skip
PRUNER = (
    _parameter("kind", ("string",), "Which one.", choices=PRUNERS, required=True),
    _parameter("first", ("integer",), "So many evaluations of a trial come before it can be stopped.", default=1, minimum=1),
    _parameter("factor", ("integer",), "asha: one in so many goes on to the next rung.", default=3, minimum=2, maximum=100),
    _parameter("after", ("integer",), "median: so many trials come before one can be stopped.", default=5, minimum=1),
)  # fmt: skip
FRESH = (
    _parameter("trials", ("integer",), "So many of the best; 0 for none.", default=3, minimum=0, maximum=1000),
    _parameter(
        "seeds", ("array", "string", "null"), "Their seeds; by default the five that follow those of the search."
    ),
    _parameter("defaults", ("boolean",), "Train with `run` as it stands, too, to compare.", default=True),
)
_ONLY_OF = {"factor": "asha", "after": "median"}


@frozen(kw_only=True)
class Pruner:
    """Who stops trials; `first` counts evaluations, those of all seeds of a trial one after the other."""

    kind: str = "none"
    first: int = 1
    factor: int = 3
    after: int = 5


@frozen(kw_only=True)
class Fresh:
    """What is trained again at the end."""

    trials: int
    seeds: tuple[int, ...]
    defaults: bool


@frozen(kw_only=True)
class Sweep:
    """A sweep as its file says it. `tree` is that with the file of `config` merged into `run`; `origins` where each stands."""

    name: str
    run: Mapping[str, Any]
    space: Space
    sampler: str
    seed: int
    trials: int
    seeds: tuple[int, ...]
    score: str
    pruner: Pruner
    fresh: Fresh
    resources: Mapping[str, int]
    storage: str | None
    tree: Mapping[str, Any]
    origins: Mapping[str, str]

    def essence(self) -> dict[str, str]:
        """Return what the trials depend on, as JSON by key: a sweep that has begun cannot change it.

        JSON, as 0 and 0.0 are equal but not the same bound.
        """
        found = {
            "run": self.run, "space": self.tree["space"], "sampler": self.sampler, "seed": self.seed, "seeds": self.seeds,
            "score": self.score, "pruner": asdict(self.pruner), "storage": self.storage,
        }  # fmt: skip
        return {key: json.dumps(value, sort_keys=True, default=str) for key, value in found.items()}


def read_sweep(path: Path) -> Sweep:
    """Return the sweep of a file. Raises UsageError or ConfigError with all that is wrong with its shape."""
    tree, origins = read_config(path)
    base = tree.pop("config", None)
    layers = []
    if isinstance(base, str):
        values, places = read_config(path.parent / base)
        values.pop("seed", None)  # a file for single runs may well have one
        layers.append(Layer(base, values, places))
    run = tree.get("run", {})
    if isinstance(run, Mapping):
        places = {key[4:]: place for key, place in origins.items() if key.startswith("run.")}
        merged = merge([*layers, Layer(str(path), run, places)])
        tree["run"] = merged.values
        origins |= {f"run.{key}": place for key, place in merged.origins.items()}
    tree.setdefault("name", path.stem)
    more = [] if base is None or isinstance(base, str) else [Problem("config", f"expected a string, got {base!r}")]
    return sweep_of(tree, origins, more)


def sweep_of(tree: Mapping[str, Any], origins: Mapping[str, str], problems: list[Problem] | None = None) -> Sweep:
    """Return the sweep that a tree of values says. Raises ConfigError with all that is wrong with its shape."""
    found = Gathered(Merged(dict(tree), dict(origins)), problems or [])
    sweep = _Reader(found).read()
    if found.problems or sweep is None:
        raise ConfigError(found.problems)
    return sweep


@define
class _Reader:
    """Reads the tree of a sweep; problems go to `found`."""

    found: Gathered

    def read(self) -> Sweep | None:
        """Return the sweep, as far as there are no problems."""
        tree = self.found.merged.values
        if not self.found.check(tree, SWEEP, "", "a sweep"):
            return None
        said = {parameter.name: tree.get(parameter.name, parameter.default) for parameter in SWEEP}
        if not _NAME.fullmatch(said["name"]):
            self.found.wrong("name", f"expected letters, digits, . _ or -, at most 60, got {said['name']!r}")
        if "seed" in said["run"]:
            self.found.wrong("run.seed", "a sweep trains with several", "Say seeds, beside run.")
        space = read_space(said["space"], self.found)
        seeds = self._seeds("seeds", said["seeds"])
        pruner, fresh = self._pruner(said["pruner"]), self._fresh(said["fresh"], seeds)
        trials = self._trials(said, space)
        self.found.check(said["resources"], parameters_of(Resources), "resources", "resources")
        if self.found.problems or space is None or pruner is None or fresh is None:
            return None
        return Sweep(
            name=said["name"], run=said["run"], space=space, sampler=said["sampler"], seed=int(said["seed"]),
            trials=trials, seeds=seeds, score=said["score"], pruner=pruner, fresh=fresh,
            resources=said["resources"], storage=said["storage"], tree=tree, origins=self.found.merged.origins,
        )  # fmt: skip

    def _trials(self, said: Mapping[str, Any], space: Space | None) -> int:
        if said["sampler"] == "grid":
            return 0 if space is None else self._grid_size(space, said["trials"])
        if said["trials"] is None:
            self.found.wrong("trials", "is required", "Say how many settings are to be tried.")
        if said["sampler"] == "cmaes" and space is not None:
            self._check_cmaes(said, space)
        return int(said["trials"] or 0)

    def _grid_size(self, space: Space, wanted: int | None) -> int:
        total = 1
        for item in space.free:
            count = item.count()
            if count is None:
                self.found.wrong(
                    f"space.{item.key}", "has no end of values, and a grid tries all", "Give it values, or a step."
                )
            total *= count or 1
        if total > LARGEST:
            self.found.wrong("space", f"a grid of {total} trials is more than {LARGEST}")
        elif wanted is not None and wanted > total:
            self.found.wrong("trials", f"is {wanted}, but the grid has {total} settings", "Leave it out to try all.")
        return int(wanted or total)

    def _check_cmaes(self, said: Mapping[str, Any], space: Space) -> None:
        for item in space.free:
            if isinstance(item, Choice):
                self.found.wrong(f"space.{item.key}", "cmaes proposes numbers between two bounds, these are values",
                            "Give it low and high, or choose the sampler tpe.")  # fmt: skip
        if len(space.free) < 2:
            self.found.wrong("space", "cmaes needs two parameters at least")
        if said["pruner"] not in ("none", {"kind": "none"}):
            self.found.wrong(
                "pruner", "cmaes learns from trials that are complete", "Say pruner: none, or sampler: tpe."
            )

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _seeds(self, path: str, said: Any) -> tuple[int, ...]:
        numbers = expanded_range(said) if isinstance(said, str) else said
        if (
            not numbers
            or len(numbers) > 1000
            or not all(type(item) is int and 0 <= item <= SEED_MAXIMUM for item in numbers)
        ):
            self.found.wrong(path, f"expected a list of seeds or a range such as 0..2, got {said!r}")
            return ()
        if len(set(numbers)) < len(numbers):
            self.found.wrong(path, f"a seed is there twice: {said!r}", "The same seed gives the same run.")
        return tuple(numbers)

    def _pruner(self, said: Any) -> Pruner | None:
        values = {"kind": said} if isinstance(said, str) else said
        if not self.found.check(values, PRUNER, "pruner", "a pruner"):
            return None
        for key, kind in _ONLY_OF.items():
            if key in values and values["kind"] != kind:
                self.found.wrong(f"pruner.{key}", f"is for {kind}, this is {values['kind']}")
        if values["kind"] == "none" and "first" in values:
            self.found.wrong("pruner.first", "has no effect where nothing is pruned")
        return Pruner(**values)

    def _fresh(self, said: Mapping[str, Any], used: tuple[int, ...]) -> Fresh | None:
        if not self.found.check(said, FRESH, "fresh", "fresh"):
            return None
        values = {parameter.name: said.get(parameter.name, parameter.default) for parameter in FRESH}
        following = range(max(used, default=0) + 1, max(used, default=0) + 6)
        seeds = tuple(following) if values["seeds"] is None else self._seeds("fresh.seeds", values["seeds"])
        if both := sorted({*seeds} & {*used}):
            self.found.wrong(
                "fresh.seeds", f"the search has seen {', '.join(map(str, both))}", "Fresh seeds are others."
            )
        return Fresh(trials=int(values["trials"]), seeds=seeds, defaults=values["defaults"])
