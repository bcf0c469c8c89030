"""Somebody else's arguments of a script as settings: what the script in use takes, and why it does not take the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from attrs import field, frozen

from rlctl.config.check import check_values
from rlctl.config.layers import Merged
from rlctl.descriptors import Parameter
from rlctl.errors import Problem, did_you_mean
from rlctl_cleanrl.catalogue import CATALOGUE
from rlctl_cleanrl.setup import hyperparameters
from rlctl_cleanrl.sources import current, load_scripts

NOT_HERE = (
    "is not checked yet: CleanRL's scripts are not here. `rlctl workers setup cleanrl` fetches them, a run does so too"
)


@frozen
class KnownScript:
    """A script by name; `parameters` None: the source is not here, and its arguments are not known."""

    name: str
    parameters: dict[str, Parameter] | None = field(default=None)

    def knows(self, name: str) -> bool:
        """Return whether it may have this setting."""
        return self.parameters is None or name in self.parameters

    def default(self, name: str) -> Any:
        """Return what the script takes where nothing is said; None where it is not known."""
        return None if self.parameters is None else self.parameters[name].default

    def wrong(self, settings: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with settings; the path of a problem is the setting's name."""
        if self.parameters is None:
            return []
        found = check_values(settings, self.parameters.values(), "", Merged({}, {}), f"cleanrl/{self.name}")
        return [Problem(problem.path.removeprefix("."), problem.message, problem.hint) for problem in found]

    def in_its_kind(self, name: str, value: Any) -> Any:
        """Return the value as the script takes it: 1e6 for a whole number is one."""
        return value if self.parameters is None else self.parameters[name].normalized(value)


def find_script(name: str) -> KnownScript | Problem:
    """Return the script of that name in the source in use, else in the one that would be fetched; or why there is none."""
    source = current()
    known: Collection[str] = [script.name for script in load_scripts(source)] if source else [a.name for a in CATALOGUE]
    if name in known:
        return KnownScript(name, {item.name: item for item in hyperparameters(name)} if source else None)
    hint = did_you_mean(name, known) or "Another source may have it: `rlctl workers setup cleanrl --source GIT-URL`."
    return Problem(
        "algo", f'CleanRL {source.version if source else ""} has no script "{name}".'.replace("  ", " "), hint
    )
