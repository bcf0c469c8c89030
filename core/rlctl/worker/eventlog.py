"""events.jsonl: the life cycle of a run, one object a line with a sequence number, a time and a type."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rlctl.runs.files import read_lines


def append_event(path: Path, event_type: str, **data: Any) -> None:
    """Append one event. Host and worker both do, but never at the same time: before, during or after the training.

    A torn last line, left by a kill, is closed first so that it costs only itself.
    """
    sequence = max((event.get("seq", -1) for event in read_lines(path)), default=-1) + 1
    line = json.dumps({"seq": sequence, "time": time.time(), "type": event_type, **data}, default=str) + "\n"
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(line.encode())
