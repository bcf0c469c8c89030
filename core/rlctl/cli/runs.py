"""`rlctl runs`: what has been run, how it goes and went, and ending or removing it."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlctl.cli._curve import learning_curve, show_curve
from rlctl.cli._render import best_in_words, json_option, note, number, pairs, print_json, table
from rlctl.cli.checkpoints import checkpoints
from rlctl.cli.mirror import mirror_in_words, pull, push
from rlctl.errors import UsageError
from rlctl.runs.directory import RunDirectory, host_name, is_alive
from rlctl.runs.files import LineReader, read_json, read_lines
from rlctl.runs.store import Record, RunStore, default_root, read_record
from rlctl.worker.eventlog import callback_troubles

if TYPE_CHECKING:
    from rlctl.events import Episode

_ENDED = ("finished", "stopped", "failed", "lost")


def complete_runs(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the references that a shell can complete."""
    store = RunStore(Path(ctx.params.get("runs_dir") or default_root()))
    names = ["@latest", *(item.run_id for item in store.directories())]
    return [name for name in names if name.startswith(incomplete)]


_runs_dir = click.option(
    "--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs."
)
_reference = click.argument("reference", metavar="RUN", default="@latest", shell_complete=complete_runs)


def _find(reference: str, runs_dir: Path | None) -> RunDirectory:
    return RunStore(runs_dir or default_root()).find(reference)


@click.group()
def runs() -> None:
    """List, show, follow, stop and remove runs.

    RUN is an id or its beginning, a name, a path, or @latest.
    """


@runs.command("list")
@click.option("--worker", help="Only runs of this worker.")
@click.option("--env", help="Only runs in this environment.")
@click.option("--state", type=click.Choice(["created", "running", *_ENDED]), help="Only runs in this state.")
@click.option("--label", metavar="NAME=TEXT", help="Only runs with this label.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the newest.")
@_runs_dir
@json_option
def list_runs(as_json: bool, runs_dir: Path | None, limit: int | None, label: str | None, **wanted: str | None) -> None:
    """List runs, newest first."""
    store = RunStore(runs_dir or default_root())
    name, separator, text = (label or "").partition("=")
    if label is not None and not separator:
        raise UsageError(f'--label: expected name=text, got "{label}".')
    asked = [(key, value) for key, value in wanted.items() if value is not None]
    fitting = (
        row
        for row in store.rows()
        if all(row[key] == value for key, value in asked) and (label is None or row["labels"].get(name) == text)
    )
    gc.disable()  # thousands of rows have no cycles, and looking for some takes a tenth of the time
    try:
        rows = list(itertools.islice(fitting, limit))
    finally:
        gc.enable()
    if as_json:
        print_json(rows)
        return
    table(
        ("RUN", "NAME", "STATE", "WORKER", "ENV", "SEED", "STEPS", "RETURN"),
        [
            (
                row["run_id"], row["name"] or "-", row["state"], f"{row['worker']}/{row['algo']}", row["env"] or "-",
                row["seed"], number(row["step"], 0), number(row["return_mean"]),
            )
            for row in rows
        ],
        f"No such run in {store.root}.",
    )  # fmt: skip


@runs.command("show")
@_reference
@click.option("--parts", default=10, type=click.IntRange(1, 1000), help="Parts that the learning curve is told in.")
@_runs_dir
@json_option
def show_run(reference: str, parts: int, runs_dir: Path | None, as_json: bool) -> None:
    """Show a run: its state, its outcome, and how the return developed."""
    from rlctl.events import episodes_of

    record = read_record(_find(reference, runs_dir))
    episodes = list(episodes_of(read_lines(record.directory.episodes)))
    curve = learning_curve(episodes, parts)
    if as_json:
        manifest = read_json(record.directory.manifest) or {}
        files = {"config": record.config, "declared": record.declared, "status": record.status}
        troubles = [{"callback": name, "message": trouble} for name, trouble in _troubles(record)]
        data = {**files, "result": record.result, "curve": curve, "callback_troubles": troubles}
        print_json({**record.summary(), **data, "manifest": manifest})
        return
    _show_head(record)
    click.echo()
    if not curve:
        note("no episodes are recorded" + ("" if "jsonl" in _callbacks(record) else ": the callback jsonl is off"))
        return
    show_curve(curve)


def _callbacks(record: Record) -> list[str]:
    return [name for name, options in (record.config.get("callbacks") or {}).items() if options is not False]


def _show_head(record: Record) -> None:
    row, result, status = record.summary(), record.result, record.status
    eta = status.get("eta_seconds") if record.state == "running" else None
    pairs([
        ("run", row["run_id"]),
        ("name", row["name"]),
        ("labels", ", ".join(f"{name}={text}" for name, text in row["labels"].items())),
        ("what", f"{row['worker']}/{row['algo']} on {row['env']}, seed {row['seed']}"),
        ("state", f"{row['state']}: {result.get('reason', '')}" if result else row["state"]),
        ("steps", f"{number(row['step'], 0)} in {number(row['seconds'])} s"),
        ("time left", f"{number(eta)} s" if eta is not None else None),
        ("episodes", f"{number(row['episodes'], 0)}, mean return of the last 100: {number(row['return_mean'])}"),
        ("best", best_in_words(result)),
        ("parent", _parent_in_words(record)),
        ("device", (read_json(record.directory.manifest) or {}).get("device")),
        ("process", _process_in_words(record)),
        *record.declared.items(),
        *(("callback", f"{name}: {trouble}") for name, trouble in _troubles(record)),
        ("mirror", mirror_in_words(record.directory)),
        ("directory", row["directory"]),
    ])  # fmt: skip
    failure = result.get("failure")
    if failure:
        click.echo(f"failure    {failure['kind']}: {failure['message']}")
        for line in (failure["traceback"] or failure["log_tail"]).rstrip().splitlines()[-10:]:
            click.echo(f"  {line}")


def _process_in_words(record: Record) -> str | None:
    started = [line for line in read_lines(record.directory.events) if line.get("type") == "training_started"]
    said = started[-1].get("process") if started else None
    return "forked from a warm one" if said == "forked" else said


def _troubles(record: Record) -> list[tuple[str, str]]:
    """Return (callback, what went wrong), each once: a resumed run may tell it again."""
    return list(dict.fromkeys(callback_troubles(read_lines(record.directory.events))))


def _parent_in_words(record: Record) -> str | None:
    parent = (read_json(record.directory.manifest) or {}).get("parent")
    if parent is None:
        return None
    return f"run {parent['run_id']}, step {parent['checkpoint_step']}" if "run_id" in parent else str(parent["path"])


@runs.command("tail")
@_reference
@click.option("--log", is_flag=True, help="Follow the worker's output instead of its episodes.")
@click.option("--no-follow", is_flag=True, help="Print what there is and return.")
@click.option("-n", "--lines", default=10, type=click.IntRange(min=0), help="Start with the last N.")
@_runs_dir
@json_option
def tail_run(reference: str, log: bool, no_follow: bool, lines: int, runs_dir: Path | None, as_json: bool) -> None:
    """Follow a run until it ends: a line per episode, or the worker's own output."""
    from rlctl.events import episodes_of

    directory = _find(reference, runs_dir)
    if log:
        _tail_log(directory, lines, follow=not no_follow)
        return
    reader = LineReader(directory.episodes)
    waiting = list(reader.read())
    waiting = waiting[-lines:] if lines else []
    while True:
        ended = no_follow or read_record(directory).state in _ENDED
        new = [*waiting, *reader.read()]
        for text in map(json.dumps, new) if as_json else map(_episode_line, episodes_of(new)):
            click.echo(text)
        waiting = []
        if ended:
            break
        time.sleep(0.2)
    record = read_record(directory)
    note(f"{record.state}: {record.result.get('reason', '')}" if record.result else record.state)


def _episode_line(episode: Episode) -> str:
    return f"step {episode.step:>9}  episode {episode.index:>6}  return {episode.episode_return:>10.2f}  length {episode.length}"


def _tail_log(directory: RunDirectory, lines: int, *, follow: bool) -> None:
    click.echo(directory.log_tail(lines))
    position = directory.log.stat().st_size
    while follow:
        ended = read_record(directory).state in _ENDED
        with directory.log.open("rb") as file:
            file.seek(position)
            click.echo(file.read(), nl=False)
            position = file.tell()
        if ended:
            return
        time.sleep(0.2)


@runs.command("stop")
@_reference
@click.option("--reason", default="rlctl runs stop", help="Kept in result.json.")
@click.option("--kill", is_flag=True, help="Do not wait for a safe point.")
@_runs_dir
@json_option
def stop_run(reference: str, reason: str, kill: bool, runs_dir: Path | None, as_json: bool) -> None:
    """Ask a run to end at its next safe point, and wait until it has; after its grace it is killed."""
    directory = _find(reference, runs_dir)
    record = read_record(directory)
    if record.state in _ENDED:
        raise UsageError(f"run {directory.run_id} has ended already: {record.state}.")
    directory.request_stop(reason)
    deadline = time.monotonic() + (0 if kill else float(record.config.get("grace", 30.0)))
    while (record := read_record(directory)).state not in _ENDED:
        if time.monotonic() > deadline:
            _kill(record)
            deadline = time.monotonic() + 10
        time.sleep(0.1)
    if as_json:
        print_json(record.summary())
    else:
        note(f"run {directory.run_id} is {record.state}: {record.result.get('reason', 'killed')}")


def _kill(record: Record) -> None:
    """Kill the worker's process group, if the very process that the status names still lives on this machine."""
    identity = record.status.get("process")
    if record.status.get("host") != host_name():
        raise UsageError(f"run {record.directory.run_id} does not end, and it lives on another machine.")
    if is_alive(identity):
        note(f"run {record.directory.run_id} is killed")
        with contextlib.suppress(ProcessLookupError):  # it may end meanwhile
            os.killpg(int(identity["pid"]), signal.SIGKILL)  # type: ignore[index]


@runs.command("remove")
@click.argument("references", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_runs)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_runs_dir
def remove_runs(references: tuple[str, ...], yes: bool, runs_dir: Path | None) -> None:
    """Delete runs with everything they have written."""
    store = RunStore(runs_dir or default_root())
    found = {directory.path.resolve(): directory for directory in map(store.find, references)}
    for directory in found.values():
        store.require_ended(directory)
    for directory in found.values():
        if not yes:
            summary = read_record(directory).summary()
            what = f"{summary['worker']}/{summary['algo']} on {summary['env']}, {number(summary['step'], 0)} steps"
            click.confirm(f"Delete {directory.path} ({what})?", abort=True, err=True)
        store.remove(directory)
        note(f"removed {directory.path}")


for _command in (checkpoints, pull, push):
    runs.add_command(_command)
