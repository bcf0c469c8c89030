"""`rlctl verify`: proofs that a worker keeps its promises, on this machine and with these settings."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from rlctl.cli._foreign import TrainingCommand
from rlctl.cli._options import layers_of, says_nothing, training_options
from rlctl.cli._render import json_option, note, pairs, print_json
from rlctl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rlctl.verify import Verdict


@click.group()
def verify() -> None:
    """Prove that a worker keeps its promises."""


@verify.command("resume", cls=TrainingCommand)
@training_options
@click.option("--share", default=0.5, type=click.FloatRange(0.01, 0.99), help="Stop after this share of the budget.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep both runs in this folder.")
@json_option
def resume(share: float, keep: Path | None, as_json: bool, **options: Any) -> int:
    """Train in one go, and stopped and resumed in processes of their own, and compare.

    Episodes, weights, optimizers, generators and replay buffers must be equal for a worker that declares `exact`.
    Exit code 1 when they are not.
    """
    if says_nothing(options):
        raise UsageError("say what to verify: a worker, as in `rlctl verify resume dqn -n 12000`.")
    from rlctl.plugins import discover
    from rlctl.runs.store import default_root
    from rlctl.verify import verify_resume

    with tempfile.TemporaryDirectory(prefix="rlctl-verify-") as temporary:
        verdict = verify_resume(layers_of(options), discover(), keep or Path(temporary), share, note, default_root())
    return show_verdict(verdict, as_json)


def show_verdict(verdict: Verdict, as_json: bool, **numbers: float) -> int:
    """Print what a comparison found, and `numbers` beside it; returns the exit code."""
    if as_json:
        print_json({**attrs.asdict(verdict), "holds": verdict.holds, **numbers})
    else:
        equal = "equal" if not verdict.differences else "; ".join(verdict.differences)
        pairs([
            ("what", verdict.what),
            ("declared", verdict.declared.value),
            ("stopped at", f"{verdict.stopped_at} of {verdict.steps} steps"),
            *((name.replace("_", " "), f"{value:.1f}") for name, value in numbers.items()),
            ("compared", f"{verdict.episodes} episodes, weights, optimizers, generators, replay buffer"),
            ("result", equal),
        ])  # fmt: skip
    return ExitCode.DONE if verdict.holds else ExitCode.RUN_FAILED
