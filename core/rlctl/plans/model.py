"""What a plan is: frozen data, from the file's members to those that a matrix makes of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from rlctl.config.layers import Layer, Merged, merge, nested

UNESSENTIAL = ("name", "labels", "executor", "address", "grace", "save_uri")
"""Keys of a run's configuration that change nothing of its training."""
SOURCE_KEYS = ("of", "from")
"""What names the members whose outcome a member uses."""


@frozen(kw_only=True)
class Resources:
    """What a member takes while it runs, of this machine or of the cluster that it is placed on."""

    cpus: int | None = field(
        default=None, metadata={"doc": "CPU slots; by default the run's `threads`, else 1.", "minimum": 1}
    )
    gpus: int = field(default=0, metadata={"doc": "GPUs, which it then sees alone.", "minimum": 0})
    memory_mb: int = field(default=0, metadata={"doc": "Memory in MiB.", "minimum": 0})


@frozen(kw_only=True)
class Template:
    """A member as the file has it. `values` is what stands below its kind, `layers` (of a run) that with the defaults."""

    id: str
    kind: str
    values: Any
    layers: tuple[Layer, ...] = ()
    sources: tuple[str, ...] = ()
    checkpoint: str = "latest"
    needs: tuple[str, ...] = ()
    matrix: Mapping[str, list[Any]] = field(factory=dict)
    include: tuple[Mapping[str, Any], ...] = ()
    exclude: tuple[Mapping[str, Any], ...] = ()
    resources: Resources = Resources()
    retries: int = 0
    time_limit: float | None = None
    group: str | None = None


@frozen(kw_only=True, eq=False)
class Member:
    """One thing to do. `axes` are its values of the matrix, `inherited` those of its source.

    `needs` names members, or templates of which all members are meant; `sources` those whose outcome it uses.
    """

    id: str
    template: Template
    axes: Mapping[str, Any]
    inherited: Mapping[str, Any]
    needs: tuple[str, ...]
    sources: tuple[str, ...]
    fingerprint: str = ""

    @property
    def kind(self) -> str:
        """Return run, evaluate, compare or script."""
        return self.template.kind

    @property
    def group(self) -> str:
        """Return what its runs are grouped by: what the file says, else the template."""
        return self.template.group or self.template.id

    def layers(self) -> list[Layer]:
        """Return the layers of a run's configuration, weakest first."""
        seed = {"seed": self.inherited["seed"]} if "seed" in self.inherited else {}
        axes = [
            Layer(f"matrix of {self.template.id}", nested(key.split("."), value)) for key, value in self.axes.items()
        ]
        return [Layer("the run that it goes on from", seed), *self.template.layers, *axes]

    def merged(self) -> Merged:
        """Return the run's configuration as it is said, without defaults."""
        return merge(self.layers())

    def settings(self) -> dict[str, Any]:
        """Return what an evaluation is to do, the matrix applied."""
        values = {key: value for key, value in self.template.values.items() if key != "of"}
        layers = [Layer("", values), *(Layer("", nested(key.split("."), value)) for key, value in self.axes.items())]
        return merge(layers).values

    def essence(self) -> Any:
        """Return what the outcome depends on, as data, without that of other members."""
        if self.kind == "run":
            said = {key: value for key, value in self.merged().values.items() if key not in UNESSENTIAL}
            return {"run": said, "checkpoint": self.template.checkpoint}
        if self.kind == "evaluate":
            return {"evaluate": self.settings()}
        return {self.kind: self.template.values, "axes": dict(self.axes)}


@frozen(kw_only=True, eq=False)
class Plan:
    """All members, each after those that it needs; `templates` in the order of the file."""

    id: str
    templates: Mapping[str, Template]
    members: Mapping[str, Member]
    of_template: Mapping[str, tuple[str, ...]]

    def expanded(self, name: str) -> tuple[str, ...]:
        """Return the members that a name means: itself, or all that a matrix has made of it."""
        return (name,) if name in self.members else self.of_template[name]

    @property
    def fingerprint(self) -> str:
        """Return a hash of all that the outcomes depend on."""
        return fingerprint_of({member.id: member.fingerprint for member in self.members.values()})


def fingerprint_of(data: Any) -> str:
    """Return the SHA-256 of data as canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()
