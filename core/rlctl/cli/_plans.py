"""How a plan stands, printed: counts, the members that failed with their last error lines, and comparisons."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from rlctl.cli._render import note, number, print_json, table
from rlctl.runs.files import read_json

if TYPE_CHECKING:
    from rlctl.plans.outcome import Outcome
    from rlctl.plans.store import PlanStore

_ORDER = ("finished", "running", "failed", "stopped", "blocked", "pending")


def show_members(store: PlanStore, as_json: bool, *, everything: bool) -> None:
    """Print how each member stands now, by what its directory says."""
    rows = []
    for member in store.plan.members.values():
        standing = store.standing(member)
        result = standing.result
        progress = result or (read_json(standing.directory.status) or {} if standing.directory else {})
        rows.append({
            "member": member.id,
            "kind": member.kind,
            "state": standing.state,
            "step": progress.get("step", 0),
            "return_mean": progress.get("return_mean"),
            "reason": standing.error_line() if standing.state in ("failed", "stopped") else "",
            "directory": str(standing.directory.path) if standing.directory else None,
        })  # fmt: skip
    counts = Counter(row["state"] for row in rows)
    if as_json:
        print_json({"plan": store.plan.id, "counts": counts, "members": rows})
        return
    shown = [row for row in rows if everything or row["state"] != "finished"]
    table(
        ("MEMBER", "KIND", "STATE", "STEPS", "RETURN", "WHY"),
        [
            (
                row["member"], row["kind"], row["state"], number(row["step"], 0) if row["kind"] == "run" else "-",
                number(row["return_mean"]), row["reason"],
            )
            for row in shown
        ],
        "All members are finished.",
    )  # fmt: skip
    note(f"plan {store.plan.id}: {counted(counts)}")


def show_outcome(store: PlanStore, outcome: Outcome, as_json: bool) -> None:
    """Print how a plan ended."""
    comparisons = {name: answer for name in store.plan.members if (answer := _comparison(store, name)) is not None}
    if as_json:
        members = {
            name: {"state": ended.state, "reason": ended.reason, "directory": _directory(store, name)}
            for name, ended in outcome.members.items()
        }
        exit_code = int(outcome.exit_code)
        print_json({
            "plan": store.plan.id, "directory": str(store.path), "exit_code": exit_code, "members": members,
            "comparisons": comparisons,
        })  # fmt: skip
        return
    for name, answer in comparisons.items():
        show_comparison(name, answer)
    wrong = [
        (name, ended) for name, ended in outcome.members.items() if ended.state in ("failed", "stopped", "blocked")
    ]
    if wrong:
        rows = [(name, ended.state, ended.reason or "-", _directory(store, name) or "-") for name, ended in wrong]
        table(("MEMBER", "STATE", "WHY", "DIRECTORY"), rows)
    plan_id = store.plan.id
    counts = Counter(ended.state for ended in outcome.members.values())
    note(f"plan {plan_id}: {counted(counts)}; {store.path}")
    if outcome.in_state("failed"):
        note(f"to try those again that failed: rlctl plan retry {plan_id} --failed")
    elif outcome.exit_code:
        note(f"to go on: rlctl plan resume {plan_id}")


def show_comparison(name: str, answer: dict[str, Any]) -> None:
    """Print the table of a comparison."""
    percent = f"{answer['confidence']:.0%}"
    rows = [
        (
            row["group"], row["seeds"], number(row["iqm"], 2), _interval(row["iqm_interval"]), number(row["mean"], 2),
            _interval(row["mean_interval"]),
        )
        for row in answer["groups"]
    ]  # fmt: skip
    click.echo(f"{name}: return by seed, {percent} bootstrap intervals")
    table(("GROUP", "SEEDS", "IQM", "INTERVAL", "MEAN", "INTERVAL"), rows)
    click.echo()


def _interval(bounds: list[float] | None) -> str:
    return "-" if bounds is None else f"{number(bounds[0], 2)} to {number(bounds[1], 2)}"


def _comparison(store: PlanStore, name: str) -> dict[str, Any] | None:
    member = store.plan.members[name]
    standing = store.standing(member) if member.kind == "compare" else None
    if standing is None or standing.state != "finished" or standing.directory is None:
        return None
    return read_json(standing.directory.path / "answer.json")


def _directory(store: PlanStore, name: str) -> str | None:
    directory = store.standing(store.plan.members[name]).directory
    return None if directory is None else str(directory.path)


def counted(counts: Counter[str]) -> str:
    """Return how many members are in each state, in words."""
    return ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
