"""events.jsonl: the life cycle of a run, one object a line with a sequence number, a time and a type."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlctl.runs.files import append_line, read_lines


def append_event(path: Path, event_type: str, **data: Any) -> None:
    """Append one event. Host and worker both do, but never at the same time: before, during or after the training."""
    sequence = max((event.get("seq", -1) for event in read_lines(path)), default=-1) + 1
    append_line(path, {"seq": sequence, "time": time.time(), "type": event_type, **data})


def callback_troubles(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield (callback, what is wrong, in one line) for each event that tells of a callback's trouble."""
    for event in events:
        if event.get("type") == "callback_trouble":
            said = str(event.get("message"))
        elif event.get("type") == "callback_failed":
            said = f"failed in {event.get('hook')} and is switched off: {event.get('error')}"
        else:
            continue
        yield str(event.get("callback")), " ".join(said.split())


def declare(path: Path, event_type: str, sentence: str, **data: Any) -> None:
    """Append an event, and print the sentence to the log; once in a run, also if that is resumed."""
    event = {"type": event_type, **data}
    if any(event.items() <= known.items() for known in read_lines(path)):
        return  # said before this run was resumed
    append_event(path, event_type, **data)
    print(f"rlctl: {sentence}", file=sys.stderr, flush=True)
