"""Formats for tests: of a policy and of records, one for another worker, and those that go wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rlctl import Exportable, ExportDescriptor, Parameter, RlctlError, hookimpl


@hookimpl
def rlctl_exports() -> list[ExportDescriptor]:
    digits = Parameter(name="digits", kinds=("integer",), default=3, minimum=0, doc="Digits of the action.")

    def made(name: str, function: str, **more: Any) -> ExportDescriptor:
        return ExportDescriptor(
            name=name, summary=f"{name}, for tests", entry_point=f"toy_format:{function}", filename="toy.json", **more
        )

    return [
        made("skill", "write_skill", workers=("toy",), options=(digits,)),
        made("returns", "write_returns", needs_policy=False),
        made("elsewhere", "write_skill", workers=("dqn", "sb3")),
        made("unmet", "write_skill", requires=("what-nobody-has>=2",), install="pip install what-nobody-has"),
        made("broken", "write_half_and_raise"),
        made("refusing", "refuse"),
        made("silent", "write_nothing"),
    ]


def write_skill(exportable: Exportable) -> Mapping[str, Any]:
    """Write what the policy does in hard places, and beside it the configuration."""
    import numpy as np

    assert exportable.state is not None
    with exportable.state.policy(exportable.seed) as policy:
        actions = policy.act(np.array([[0.01], [0.99]]), greedy=True, started=np.ones(2))
    acting = [round(float(action), exportable.options["digits"]) for action in actions]
    exportable.path.write_text(json.dumps({"identity": exportable.identity, "actions": acting}))
    exportable.path.with_name("config.json").write_text(json.dumps(exportable.config["total_timesteps"]))
    return {"actions": len(acting), "digits": exportable.options["digits"]}


def write_returns(exportable: Exportable) -> None:
    """Write the returns of a run's training episodes."""
    assert exportable.directory is not None
    assert exportable.state is exportable.observe is exportable.source is None
    lines = (exportable.directory / "episodes.jsonl").read_text().splitlines()
    exportable.path.write_text(json.dumps([json.loads(line)["return"] for line in lines]))


def write_half_and_raise(exportable: Exportable) -> None:
    exportable.path.write_text("half")
    raise ValueError("no more ink")


def refuse(exportable: Exportable) -> None:
    exportable.path.write_text("half")
    raise RlctlError("it does not act as it should.", hint="Look again.")


def write_nothing(exportable: Exportable) -> None:
    """Forget to write."""
