"""`rlctl export --format episodes`: what is known of each training episode, a line of JSON each."""

from __future__ import annotations

from typing import Any

import orjson

from rlctl import Exportable
from rlctl.gym.episodes import load_episodes


def write(exportable: Exportable) -> dict[str, Any]:
    """Write the file; raises what `rlctl.load_episodes` raises."""
    count = 0
    with exportable.path.open("wb") as file:
        for record in load_episodes(exportable.directory, **exportable.options):
            file.write(orjson.dumps(_data(record), option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))
            count += 1
    return {"episodes": count}


def _data(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as data: of what was recorded of each life the arrays, under their names."""
    return {
        name: [_part(item) for item in value] if isinstance(value, list) else value for name, value in record.items()
    }


def _part(item: Any) -> Any:
    if isinstance(item, dict):
        return item
    names = [attribute.name for attribute in type(item).__attrs_attrs__]
    return {name: _whole(getattr(item, name)) for name in names}


def _whole(value: Any) -> Any:
    """Return dictionaries and tuples of arrays with arrays that lie in one piece, as orjson wants them."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_whole(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value
