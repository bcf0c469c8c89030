"""The host's side of the scripts: fetching them, and their hyper-parameters in rlctl's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from rlctl import NotAvailableError, Parameter
from rlctl.errors import ConfigError, Problem
from rlctl_cleanrl import sources
from rlctl_cleanrl.agents import NETWORK
from rlctl_cleanrl.index import split_algorithm


def setup(
    *, source: str | None, name: str | None, algo: str | None, report: Callable[[str], None], repair: bool
) -> dict[str, Any]:
    """Return which source has the `name` or that of the algorithm "NAME/script", verified; it is `source` from now on.

    Without a `source` it stays the one that it is; the one without a name is PyPI's at first. Raises
    NotAvailableError when it cannot be had, UsageError for what cannot be a name, and ConfigError for an algorithm of
    a source that there is not.
    """
    wanted = name or split_algorithm(algo or "")[0]
    if wanted and not name:
        try:
            sources.require_named(wanted)
        except NotAvailableError as error:
            raise ConfigError([Problem("algo", error.message, error.hint, unavailable=True)]) from error
    used = sources.ensure(source, report, repair=repair, name=wanted)
    # The index beside the scripts is what algorithms are listed from: an earlier rlctl may have left one of its own.
    sources.load_scripts(used, report if repair else None)
    return {**attrs.asdict(used), "path": str(used.path)}


def remove(name: str) -> str:
    """Forget a source that has a name, and return a sentence about it; raises NotAvailableError where there is none."""
    return f"removed {name}: {sources.remove(name)}"


def hyperparameters(algorithm: str) -> tuple[Parameter, ...]:
    """Return the settings of a script of the source that it names; raises NotAvailableError before there is one."""
    name, wanted = split_algorithm(algorithm)
    source = sources.current(name)
    if source is None:
        raise NotAvailableError("CleanRL's scripts are not here yet.", hint="Run `rlctl workers setup cleanrl`.")
    script = next(script for script in sources.load_scripts(source) if script.name == wanted)
    own = tuple(
        Parameter(
            name=parameter.name,
            kinds=(parameter.kind, "null") if parameter.nullable else (parameter.kind,),  # type: ignore[arg-type]
            default=parameter.default,
            doc=parameter.doc,
            choices=parameter.choices,
        )
        for parameter in script.hyper_parameters
    )
    return own if script.no_network is not None else (*own, NETWORK)
