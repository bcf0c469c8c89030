"""A converter for tests: of JSON, a list of `{"name": ..., "steps": ..., "color": ...}`; and one whose function is not there."""

from __future__ import annotations

import json
from pathlib import Path

from rlctl import Conversion, ConvertedConfig, ConverterDescriptor, Problem, UsageError, hookimpl


def convert(path: Path) -> Conversion:
    """Make a configuration of each entry; `color` is of no use here, and without `steps` there is no training."""
    print("this converter talks")
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f'"{path}" is no file of the toy system.') from error
    return Conversion(
        system="the toy system", configs=[_config(entry) for entry in entries], left_out=[Problem("version", "no use")]
    )


def _config(entry: dict[str, object]) -> ConvertedConfig:
    made = ConvertedConfig(name=str(entry["name"]))
    if "steps" not in entry:
        made.unusable.append(Problem("steps", "is required"))
        return made
    made.config = {"worker": entry.get("worker", "toy"), "total_timesteps": entry["steps"], "labels": {"from": "toy"}}
    made.origins = {"total_timesteps": "steps"}
    made.changed.append(Problem("steps", "is total_timesteps"))
    if "color" in entry:
        made.left_out += [
            Problem("color", f"a run has none\nlike {entry['color']}", "Paint it."),
            Problem("shade", "nor this"),
        ]
    return made


@hookimpl
def rlctl_converters() -> list[ConverterDescriptor]:
    return [
        ConverterDescriptor(name="toy", summary="of the toy system", convert="toy_converter:convert"),
        ConverterDescriptor(name="absent", summary="cannot be loaded", convert="toy_converter:absent"),
    ]
