"""What environments there are: `python -m rlctl.gym.listing OUT` writes them as JSON, in a process of its own as `facts` is."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import gymnasium

from rlctl.families import FAMILIES, OTHER, Family, family_of
from rlctl.gym.environments import import_environments


def registered() -> list[dict[str, Any]]:
    """Return each environment that is registered here, sorted by family and id; nothing is made for it."""
    import_environments({})
    for family in FAMILIES:
        if family.registers is not None and is_installed(family):
            with contextlib.suppress(Exception):  # a broken package of environments must not cost the others
                importlib.import_module(family.registers)
    return sorted(map(_row, gymnasium.registry.values()), key=lambda row: (row["family"], row["id"]))


def is_installed(family: Family) -> bool:
    """Return whether everything is there that an environment of this family needs."""
    return all(importlib.util.find_spec(module) is not None for module in family.needs)


def _row(spec: Any) -> dict[str, Any]:
    entry_point = spec.entry_point if isinstance(spec.entry_point, str) else None
    family = family_of(spec.id, entry_point)
    return {
        "id": spec.id,
        "family": OTHER if family is None else family.name,
        "max_episode_steps": spec.max_episode_steps,
        "reward_threshold": spec.reward_threshold,
        "installed": family is None or is_installed(family),
    }


def main() -> None:
    """Write what there is to argv[1]."""
    listed = {
        "envs": registered(),
        "families": [{"name": family.name, "installed": is_installed(family)} for family in FAMILIES],
    }
    Path(sys.argv[1]).write_text(json.dumps(listed, default=str), encoding="utf-8")


if __name__ == "__main__":
    main()
