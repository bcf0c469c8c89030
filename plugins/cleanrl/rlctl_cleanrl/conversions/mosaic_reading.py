"""What is read of a file of MOSAIC, and what becomes of it; `mosaic.py` says what is built of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, field

from rlctl import ConvertedConfig, Problem
from rlctl.config.foreign import NotTakenError, Reader, flag, read_fields
from rlctl_cleanrl.conversions import mosaic_fields as fields

NESTED = "metadata.worker.config"
"""Where a job of MOSAIC's trainer has the configuration of its worker."""


def value_at(tree: Any, *keys: str) -> Any:
    """Return what is at nested keys; None where there is no such place."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


@define
class Reading:
    """A file's fields and the configuration that is made of them; `said` has what was read, by its path in the file."""

    tree: dict[str, Any]
    stem: str
    prefix: str = ""
    said: dict[str, Any] = field(factory=dict)
    made: ConvertedConfig = field(init=False)

    def read(self) -> None:
        """Read all fields by their tables; what of `extras` is in none of them is an argument of the script."""
        readers: dict[str, Reader] = {self.at(path): reader for path, reader in fields.CONFIG.items()}
        reasons = {self.at(f"extras.{name}"): reason for name, reason in fields.EXTRAS_REASONS.items()}
        evaluates = self.raw_extras().get("mode") == "policy_eval"
        extras = {**fields.EXTRAS, **(fields.EVALUATION if evaluates else {})}
        for name in self.raw_extras():
            if name in fields.EVALUATION and not evaluates:
                reasons[self.at(f"extras.{name}")] = fields.MEASURED
            elif name.startswith("wandb"):
                reasons[self.at(f"extras.{name}")] = fields.WANDB
            elif name not in fields.EXTRAS_REASONS:
                extras.setdefault(name, lambda value: value)
        readers |= {self.at(f"extras.{name}"): reader for name, reader in extras.items()}
        if self.prefix:
            readers, reasons = {**fields.ENVELOPE, **readers}, {**fields.ENVELOPE_REASONS, **reasons}
        self.said, left_out = read_fields(self.tree, readers, reasons)
        name = self.said.get("run_name") or self.said.get(self.at("run_id")) or self.stem
        self.made = ConvertedConfig(name=name, left_out=left_out)

    def at(self, path: str) -> str:
        """Return the path in the file of a field of the worker's configuration."""
        return f"{self.prefix}{path}"

    def raw_extras(self) -> Mapping[str, Any]:
        """Return the extras as they stand in the file."""
        extras = value_at(self.tree, *self.at("extras").split("."))
        return extras if isinstance(extras, Mapping) else {}

    def take(self, path: str, source: str) -> None:
        """Put what was read from `source` at a dotted path of the configuration, if it was."""
        if source in self.said:
            self.put(path, self.said[source], source)

    def put(self, path: str, value: Any, source: str) -> None:
        *outer, last = path.split(".")
        target = self.made.config
        for key in outer:
            target = target.setdefault(key, {})
        target[last] = value
        self.made.origins[path] = source

    def leave_out(self, path: str, reason: str, hint: str | None = None) -> None:
        self.made.left_out.append(Problem(path, reason, hint))

    def change(self, path: str, reason: str) -> None:
        self.made.changed.append(Problem(path, reason))

    def unusable(self, path: str, reason: str, hint: str | None = None) -> None:
        self.made.unusable.append(Problem(path, reason, hint))

    def require(self, *names: str) -> None:
        """Without these nobody knows what is meant; a wrong one is told where it would be missed."""
        for path in map(self.at, names):
            if path not in self.said:
                wrong = [problem for problem in self.made.left_out if problem.path == path]
                self.made.unusable += wrong or [Problem(path, "is required")]
                self.made.left_out = [problem for problem in self.made.left_out if problem not in wrong]

    def arguments(self) -> Iterator[tuple[str, str, Any]]:
        """Yield (path, name, value) of `algo_params` and of extras that are no field: there each becomes a flag."""
        where = self.at("extras.algo_params")
        for key, value in self.said.get(where, {}).items():
            yield f"{where}.{key}", key.replace("-", "_"), value
        for path, value in self.said.items():
            key = path.removeprefix(self.at("extras."))
            if path == self.at(f"extras.{key}") and key not in fields.EXTRAS:
                yield path, key.replace("-", "_"), value

    def device(self, settings: dict[str, tuple[str, Any]]) -> tuple[str, str] | None:
        """Return (device, path); None where nothing is said of one. `settings` loses its `cuda`."""
        flags = {self.at(f"extras.{name}"): self.said.get(self.at(f"extras.{name}")) for name in fields.GPU_FLAGS}
        path, value = settings.pop("cuda", ("", None))
        if value is not None:
            try:
                flags[path] = flag(value)
            except NotTakenError as error:
                self.leave_out(path, str(error))
        said = {path: value for path, value in flags.items() if value is not None}
        requested = self.said.get("resources.gpus.requested")
        if not said:
            return self.requested_device(requested)
        first = next(iter(said))
        for path, value in said.items():
            if value != said[first]:
                self.leave_out(path, f"{first} says otherwise")
        if requested == 0 and said[first]:
            self.change("resources.gpus.requested", f"0, and yet {first} wants one: there it is hidden from the script")
        elif requested and not said[first]:
            self.leave_out("resources.gpus.requested", f"{first} wants none")
        return ("cuda" if said[first] else "cpu"), first

    def requested_device(self, requested: int | None) -> tuple[str, str] | None:
        """Return the device that the job's resources mean."""
        if requested is None:
            return None
        path = "resources.gpus.requested"
        mandatory = self.said.get("resources.gpus.mandatory", False)
        device = "cpu" if requested == 0 else "cuda" if mandatory else "auto"
        self.change(path, f"{requested}, so device: {device}" + (". A run has one" if requested > 1 else ""))
        return device, path
