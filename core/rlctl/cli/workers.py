"""`rlctl workers`: list and show training backends, and set up those that need it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
import click

from rlctl.cli._render import json_option, note, pairs, print_json, table
from rlctl.descriptors import AlgorithmDescriptor, ObservationSpace, Parameter, WorkerDescriptor, resolve
from rlctl.errors import ConfigError, PluginError, Problem, RlctlError, UsageError, did_you_mean
from rlctl.launch.setup import set_up
from rlctl.plugins import Registered, discover
from rlctl.requirements import all_missing


@click.group()
def workers() -> None:
    """List and show training backends, set them up."""


@workers.command("list")
@json_option
def list_workers(as_json: bool) -> None:
    """List the workers that are installed, and why one cannot be used."""
    registry = discover()
    rows = [_row(found) for found in registry.workers]
    if as_json:
        print_json(rows)
    else:
        table(
            ("WORKER", "VERSION", "STATUS", "ALGORITHMS"),
            [(row["name"], row["version"], row["status"], _shortened(row["algorithms"])) for row in rows],
            "No worker is installed. `pip install rlctl-dqn rlctl-sb3 rlctl-cleanrl`, for example.",
        )
    for plugin in registry.plugins:
        if plugin.error:
            note(f"plugin {plugin.distribution} {plugin.version} is broken: {plugin.error}")


def _row(found: Registered[WorkerDescriptor]) -> dict[str, Any]:
    worker = found.descriptor
    reason = found.error or "; ".join(all_missing(worker.requires))
    return {
        "name": worker.name,
        "summary": worker.summary,
        "distribution": found.plugin.distribution,
        "version": found.plugin.version,
        "upstream": worker.upstream,
        "available": not reason,
        "status": reason or "ready",
        "algorithms": [algorithm.name for algorithm in worker.algorithms],
    }


def _shortened(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:8])} and {len(names) - 8} more"


@workers.command("show")
@click.argument("name")
@click.option("-a", "--algo", help="Show this algorithm's hyper-parameters.")
@json_option
def show_worker(name: str, algo: str | None, as_json: bool) -> None:
    """Show what a worker can do, or all settings of one of its algorithms."""
    found = discover().worker(name)
    worker = found.descriptor
    algorithm = worker.algorithm(algo) if algo else None
    if algo and algorithm is None:
        hint = did_you_mean(algo, (item.name for item in worker.algorithms))
        raise ConfigError([Problem("--algo", f'worker "{name}" has no algorithm "{algo}".', hint)])
    if as_json:
        chosen = [algorithm] if algorithm else worker.algorithms
        print_json({**_row(found), **_limits(worker), "algorithms": [_algorithm_data(item) for item in chosen]})
    elif algorithm:
        _show_algorithm(worker, algorithm)
    else:
        _show_worker(found)


def _limits(worker: WorkerDescriptor) -> dict[str, Any]:
    names = (
        "env_families",
        "curriculum",
        "max_agents",
        "requires",
        "requires_gpu",
        "cpu_cores",
        "estimated_memory_mb",
        "api_version",
        "sources",
    )
    return {name: getattr(worker, name) for name in names}


def _algorithm_data(algorithm: AlgorithmDescriptor) -> dict[str, Any]:
    data = attrs.asdict(algorithm, recurse=False)
    return {**data, "hyperparameters": [attrs.asdict(parameter) for parameter in _parameters(algorithm)]}


def _parameters(algorithm: AlgorithmDescriptor) -> tuple[Parameter, ...]:
    try:
        return algorithm.parameters()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(f"the plugin cannot list the hyper-parameters of {algorithm.name}: {reason}") from error


def _show_worker(found: Registered[WorkerDescriptor]) -> None:
    worker, row = found.descriptor, _row(found)
    pairs([
        ("worker", f"{worker.name}: {worker.summary}"),
        ("package", f"{row['distribution']} {row['version']}"),
        ("upstream", worker.upstream),
        ("status", row["status"]),
        ("environments", ", ".join(worker.env_families)),
        *(("source", " ".join(str(value) for value in source.values() if value)) for source in worker.sources),
    ])  # fmt: skip
    click.echo()
    families = any(item.family for item in worker.algorithms)
    table(
        ("ALGORITHM", *(["FAMILY"] if families else []), "ACTIONS", "OBSERVATIONS", "DEFAULT", "STATUS"),
        [
            (
                item.name,
                *([item.family or "-"] if families else []),
                "/".join(space.value for space in item.action_spaces) or "-",
                _observations(item.observation_spaces),
                f"{item.default_total_timesteps} steps of {item.default_env}",
                item.unavailable or "runs",
            )
            for item in worker.algorithms
        ],
    )
    note(f"settings of one: rlctl workers show {worker.name} --algo {worker.algorithms[0].name}")


def _observations(spaces: Iterable[ObservationSpace]) -> str:
    """Return the spaces in few words; a list of nearly all hides that it is one."""
    named = {space.value for space in spaces}
    everything = {space.value for space in ObservationSpace if space is not ObservationSpace.OTHER}
    return "any" if named >= everything else "/".join(space.value for space in spaces) or "-"


def _show_algorithm(worker: WorkerDescriptor, algorithm: AlgorithmDescriptor) -> None:
    click.echo(f"{worker.name}/{algorithm.name}: {algorithm.summary or worker.summary}")
    click.echo(f"default: {algorithm.default_total_timesteps} steps of {algorithm.default_env}")
    if algorithm.unavailable:
        click.echo(f"cannot run here: {algorithm.unavailable}")
    click.echo()
    rows = [(item.name, _kinds(item), item.default, item.doc) for item in _parameters(algorithm)]
    table(("HYPERPARAMETER", "TYPE", "DEFAULT", "MEANING"), rows, "It has no hyper-parameters.")


def _kinds(parameter: Parameter) -> str:
    return "|".join(parameter.kinds)


@workers.command("setup")
@click.argument("name", required=False)
@click.option("--source", help="Where from, if not the worker's default: a folder or a git URL.")
@click.option("--name", "named", metavar="NAME", help="Keep it beside the others: NAME/ALGO are its algorithms.")
@click.option("--list", "listing", is_flag=True, help="Show what has been set up.")
@click.option("--remove", metavar="NAME", help="Forget the source of this name.")
@json_option
def setup_worker(
    name: str | None, source: str | None, named: str | None, listing: bool, remove: str | None, as_json: bool
) -> int:
    """Fetch what a worker needs beside its package, or what all need; `run` does it by itself on first use.

    What is there already is not fetched again, and what is damaged is mended.
    """
    if name is None:
        if source is not None or named is not None or listing or remove is not None:
            raise UsageError("--source, --name, --list and --remove are for one worker.", hint="Say which one.")
        return _set_up_all(as_json)
    _set_up_one(discover().worker(name).descriptor, source, named, listing, remove, as_json)
    return 0


def _set_up_one(
    worker: WorkerDescriptor, source: str | None, named: str | None, listing: bool, remove: str | None, as_json: bool
) -> None:
    name = worker.name
    flags = {"--source": source, "--name": named, "--list": listing or None, "--remove": remove}
    given = [flag for flag, value in flags.items() if value is not None]
    if worker.setup is None:
        if given:
            raise UsageError(f'worker "{name}" has nothing to set up, so {", ".join(given)} means nothing.')
        note(f'worker "{name}" has nothing to set up')
        if as_json:
            print_json([] if listing else {})
        return
    if len(given) > 1 and (listing or remove is not None):
        raise UsageError(f"{', '.join(given)}: --list and --remove each go alone.")
    if listing:
        _list_sources(worker, as_json)
        return
    if remove is not None:
        if worker.remove_source is None:
            raise UsageError(f'worker "{name}" has no sources with names, so --remove "{remove}" means nothing.')
        note(resolve(worker.remove_source)(remove))
        return
    provenance = set_up(worker, note, source=source, name=named, repair=True)
    if as_json:
        print_json(provenance)
    else:
        pairs([(key, value) for key, value in provenance.items()])


def _saying(name: str) -> Callable[[str], None]:
    return lambda line: note(f"{name}: {line}")


def _set_up_all(as_json: bool) -> int:
    """Set up every worker that can run here; one that fails costs the others nothing. Returns the exit code."""
    rows: list[dict[str, Any]] = []
    code = 0
    for found in discover().workers:
        worker, known = found.descriptor, _row(found)
        row: dict[str, Any] = {"worker": worker.name, "status": "nothing to set up", "provenance": {}}
        rows.append(row)
        if not known["available"]:
            row["status"] = f"left out: {known['status']}"
        elif worker.setup is not None:
            try:
                row["provenance"] = set_up(worker, _saying(worker.name), repair=True)
                row["status"] = "ready"
            except RlctlError as error:
                row["status"] = f"failed: {error}"
                code = max(code, int(error.exit_code))
    if as_json:
        print_json(rows)
    else:
        table(("WORKER", "STATUS"), [(row["worker"], row["status"]) for row in rows], "No worker is installed.")
    return code


def _list_sources(worker: WorkerDescriptor, as_json: bool) -> None:
    if as_json:
        print_json([dict(source) for source in worker.sources])
        return
    names = list(worker.sources[0]) if worker.sources else ["name"]
    rows = [tuple(source[name] or "-" for name in names) for source in worker.sources]
    table([name.upper() for name in names], rows, f"Nothing yet. `rlctl workers setup {worker.name}`, for example.")
