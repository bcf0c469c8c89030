"""A table of all members of a plan on a terminal's stderr while it runs; plain lines elsewhere, and where rich is missing."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rlctl.cli._plans import counted
from rlctl.cli._render import note, number, one_line

if TYPE_CHECKING:
    from rlctl.plans.host import Display, Row

_FRAME = 5
"""Lines of a terminal that are not for members: the table's head and frame, the counts."""


@contextlib.contextmanager
def live_table() -> Iterator[tuple[Callable[[str], None], Display | None]]:
    """Give who reports a line, and who is shown the members; on a terminal the lines run above the table."""
    if not sys.stderr.isatty() or find_spec("rich") is None:
        yield note, None
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)

    def report(line: str) -> None:
        console.print(f"rlctl: {one_line(line)}", markup=False, highlight=False, soft_wrap=True)

    with Live(console=console, auto_refresh=False) as live:

        def display(rows: list[Row]) -> None:
            live.update(table_of(rows, max(1, console.height - _FRAME)), refresh=True)

        yield report, display


def table_of(rows: list[Row], height: int) -> Any:
    """Return rich's table of the first `height` members, and how many there are in each state."""
    from rich.table import Table

    counts = counted(Counter(row.state for row in rows))
    hidden = len(rows) - height
    table = Table(caption=counts if hidden <= 0 else f"{counts}; {hidden} of them are not shown", expand=False)
    for title in ("MEMBER", "KIND", "STATE", "STEPS", "RETURN", "STEPS/S", "WHY"):
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    for row in rows[:height]:
        cells = (row.member, row.kind, row.state, number(row.step, 0), number(row.return_mean),
                 number(row.steps_per_second, 0), row.reason)  # fmt: skip
        table.add_row(*(one_line(cell).replace("[", r"\[") for cell in cells))
    return table
