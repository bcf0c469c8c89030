"""Which callbacks of a run see the steps of its training environments: data that reaches the process of each environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from rlctl.events import RunInfo


@frozen
class EnvObserver:
    """A callback that sees steps: its name, how it is made for one environment, and whether the run fails where it does."""

    name: str
    entry_point: str
    run: RunInfo
    options: Mapping[str, Any]
    critical: bool = False
