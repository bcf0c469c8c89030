"""The host's side of the scripts: fetching them, and their hyper-parameters in rlctl's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from rlctl import NotAvailableError, Parameter
from rlctl_cleanrl import sources
from rlctl_cleanrl.agents import NETWORK


def setup(*, source: str | None, report: Callable[[str], None], repair: bool) -> dict[str, Any]:
    """Make a source the one in use and return which it is; None keeps the current one, or fetches PyPI's at first.

    Raises NotAvailableError when it cannot be had.
    """
    used = sources.ensure(source, report, repair=repair)
    return {**attrs.asdict(used), "path": str(used.path)}


def hyperparameters(algorithm: str) -> tuple[Parameter, ...]:
    """Return the settings of a script of the source in use; raises NotAvailableError before there is one."""
    source = sources.current()
    if source is None:
        raise NotAvailableError("CleanRL's scripts are not here yet.", hint="Run `rlctl workers setup cleanrl`.")
    script = next(script for script in sources.load_scripts(source) if script.name == algorithm)
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
