"""`rlctl scripts`: shell scripts of several trainings, what their tags say, how they were run, and the runs of their phases."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from rlctl.cli._render import json_option, note, number, pairs, print_json, table

if TYPE_CHECKING:
    from rlctl.plans.executions import Execution
    from rlctl.plans.scripts import Script

_folders = click.option(
    "--folder", "folders", type=click.Path(path_type=Path, file_okay=False, exists=True), multiple=True,
    help="Where scripts are, *.sh; by default scripts/ in the current folder.",
)  # fmt: skip
_runs_dir = click.option(
    "--runs-dir", type=click.Path(path_type=Path),
    help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs. Executions are beside it.",
)  # fmt: skip


@click.group()
def scripts() -> None:
    """Run shell scripts of several trainings, and find their runs again.

    A script says what it is in its first comments: @description, @phases, @total_timesteps, @env_family.
    """


@scripts.command("list")
@_folders
@click.option("--executions", "executed", is_flag=True, help="List how scripts were run, the last one first.")
@_runs_dir
@json_option
def list_scripts(folders: tuple[Path, ...], executed: bool, runs_dir: Path | None, as_json: bool) -> None:
    """List scripts by their tags; or, with --executions, how they were run."""
    from rlctl.plans.scripts import find_scripts

    if executed:
        _list_executions(_root(runs_dir), as_json)
        return
    found = find_scripts(_places(folders))
    if as_json:
        print_json([_data(script) for script in found])
        return
    table(
        ("SCRIPT", "PHASES", "STEPS", "FAMILY", "ENVS", "DESCRIPTION"),
        [
            (
                script.name, script.phases or "-", number(script.total_timesteps, 0), script.env_family or "-",
                ", ".join(dict.fromkeys(script.envs.values())) or "-", script.description or "-",
            )
            for script in found
        ],
        f"There is no script in {', '.join(map(str, _places(folders)))}.",
    )  # fmt: skip
    for script in found:
        if script.problems:
            note(f"{script.name}: {len(script.problems)} problems; see rlctl scripts show {script.path}")


@scripts.command("show")
@click.argument("reference", metavar="SCRIPT|EXECUTION", default="@latest")
@_folders
@_runs_dir
@json_option
def show(reference: str, folders: tuple[Path, ...], runs_dir: Path | None, as_json: bool) -> None:
    """Show a script, a name or path, with all that is wrong with it; or an execution, by its id or @latest, with its runs."""
    from rlctl.errors import UsageError
    from rlctl.plans.executions import executions, find_execution
    from rlctl.plans.scripts import find_script

    root = _root(runs_dir)
    execution = find_execution(reference, root)
    if execution is not None:
        _show_execution(execution, as_json)
        return
    if reference == "@latest":
        raise UsageError("no script was run yet.", hint="Say which script to show; `rlctl scripts list` lists them.")
    script = find_script(reference, _places(folders))
    path = str(script.path.resolve())
    past = [item for item in executions(root) if item.said.get("path") == path]
    if as_json:
        print_json({**_data(script), "executions": [item.row() for item in past]})
        return
    _show_script(script)
    if past:
        click.echo()
        _execution_table(past)
    for problem in script.problems:
        note(str(problem))


@scripts.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("reference", metavar="SCRIPT")
@click.argument("arguments", metavar="[-- ARGS]...", nargs=-1, type=click.UNPROCESSED)
@_folders
@_runs_dir
@json_option
def run(
    reference: str, arguments: tuple[str, ...], folders: tuple[Path, ...], runs_dir: Path | None, as_json: bool
) -> int:
    """Run a script: each `rlctl run` in it is linked to this execution, which is kept with the script's text and output.

    Ends with the script's exit code; stopped by Ctrl-C or SIGTERM with 75 if a training of it can be resumed.
    """
    from rlctl.plans.executions import begin_execution, follow
    from rlctl.plans.scripts import find_script

    script = find_script(reference, _places(folders))
    execution = begin_execution(script, arguments, _root(runs_dir))
    note(f"{script.name}: {execution.directory.path}")

    def pass_on(output: bytes) -> None:
        if output:
            sys.stderr.write(output.decode("utf-8", "replace"))
            sys.stderr.flush()

    code = follow(execution, note, pass_on)
    _show_execution(execution, as_json)
    count = len(execution.runs())
    if code == 0 and script.phases not in (None, count):
        note(f"@phases says {script.phases}, and {count} runs were started")
    return int(code)


def _root(runs_dir: Path | None) -> Path:
    from rlctl.runs.store import default_root

    return runs_dir or default_root()


def _places(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    from rlctl.plans.scripts import DEFAULT_FOLDER

    return folders or (DEFAULT_FOLDER,)


def _data(script: Script) -> dict[str, Any]:
    return {
        "script": script.name,
        "path": str(script.path.resolve()),
        "sha256": script.sha256,
        **{key: getattr(script, key) for key in ("description", "phases", "total_timesteps", "env_family", "envs")},
        "problems": [attrs.asdict(problem) for problem in script.problems],
    }


def _show_script(script: Script) -> None:
    pairs([
        ("script", script.name),
        ("description", script.description),
        ("phases", script.phases),
        ("steps", number(script.total_timesteps, 0) if script.total_timesteps else None),
        ("family", script.env_family),
        *((f"phase {phase}", env) for phase, env in script.envs.items()),
        ("sha256", script.sha256),
        ("path", str(script.path)),
    ])  # fmt: skip


def _list_executions(root: Path, as_json: bool) -> None:
    from rlctl.plans.executions import executions

    found = executions(root)
    if as_json:
        print_json([item.row() for item in found])
    else:
        _execution_table(found)


def _execution_table(found: list[Execution]) -> None:
    rows = []
    for row in (item.row() for item in found):
        code = "-" if row["exit_code"] is None else row["exit_code"]
        rows.append((row["id"], row["script"], _moment(row["started_at"]), row["state"], code))
    table(("EXECUTION", "SCRIPT", "STARTED", "STATE", "CODE"), rows, "No script was run yet.")


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _show_execution(execution: Execution, as_json: bool) -> None:
    row, runs = execution.row(), execution.runs()
    if as_json:
        print_json({**row, "runs": runs})
        return
    pairs([
        ("execution", row["id"]),
        ("script", row["script"]),
        ("arguments", " ".join(row["arguments"] or [])),
        ("state", f"{row['state']}: {row['reason']}" if row["reason"] else row["state"]),
        ("exit code", row["exit_code"]),
        ("output", str(execution.directory.log)),
    ])  # fmt: skip
    click.echo()
    table(
        ("PHASE", "RUN", "STATE", "WORKER", "ENV", "STEPS", "RETURN"),
        [
            (
                phase, run["run_id"], run["state"], f"{run['worker']}/{run['algo']}", run["env"] or "-",
                number(run["step"], 0), number(run["return_mean"]),
            )
            for phase, run in enumerate(runs, 1)
        ],
        "It has started no run.",
    )  # fmt: skip
    for run in runs:
        if run["state"] in ("stopped", "lost"):
            note(f"to go on with it: rlctl resume {run['run_id']}")
