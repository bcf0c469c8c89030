"""Makes a file of a run's policy or of its records: what is wrong is found first, the file is made by a process of its own."""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from rlctl import __version__
from rlctl.config.check import check_values, with_defaults
from rlctl.config.layers import Merged
from rlctl.errors import CheckpointError, ConfigError, NotAvailableError, PluginError, Problem, RlctlError, UsageError
from rlctl.exports import ExportDescriptor
from rlctl.launch.lend import Target, find_target, in_a_process, lend, prepare_target
from rlctl.launch.prepare import Prepared
from rlctl.launch.start import spaces_of
from rlctl.plugins import Registered, discover
from rlctl.requirements import all_missing
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json, sync_directory
from rlctl.runs.store import RunStore, default_root

_PROCESS = "rlctl.gym.export_process"

Report = Callable[[str], None]


@frozen
class Exported:
    """What was made, of whom: `path` and, where there are more files than one, all `files`; `found` is what the exporter says.

    `step` and `checkpoint`, the hash of the weights' bundle or file, are None where only records were exported.
    """

    format: str
    what: str
    path: Path
    files: tuple[Path, ...]
    step: int | None
    checkpoint: str | None
    found: Mapping[str, Any] = field(factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as data."""
        paths = {"path": str(self.path), "files": [str(path) for path in self.files]}
        whose = {"what": self.what, "step": self.step, "checkpoint": self.checkpoint}
        return {"format": self.format, **paths, **whose, "found": dict(self.found)}


@frozen
class _Asked:
    """What is to be exported, and how: sound."""

    format: Registered[ExportDescriptor]
    options: Mapping[str, Any]
    target: Target | None
    directory: RunDirectory | None


def export(
    target: str | Path,
    *,
    format: str,  # noqa: A002 - what the command line calls it as well
    checkpoint: str = "latest",
    output: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    force: bool = False,
    config: Mapping[str, Any] | None = None,
    trust: bool = False,
    runs_dir: str | Path | None = None,
    report: Report | None = None,
) -> Exported:
    """Write the policy of a run's checkpoint, or of a library's file with its `config`, in a format; returns what was made.

    By default the file is in the run's exports/, or of a library's file in the current folder. Another file of the same
    name is only replaced with `force`. Raises ConfigError with all that is wrong before anything is started, UsageError for
    a file that is there already, NotAvailableError for a policy that cannot be exported so, and RlctlError with the
    exporter's words; then no file was written.
    """
    report = report or (lambda line: print(f"rlctl: {line}", file=sys.stderr, flush=True))
    reference = str(target) if Path(target).is_file() else f"{target}:{checkpoint}"
    asked = _asked(reference, format, options or {}, output, config, Path(runs_dir or default_root()))
    prepared = None
    if asked.target is not None:
        prepared = prepare_target(asked.target, {}, "cpu", report)
        prepared.require_sound()
    place = _place(asked, None if output is None else Path(output))
    base = next(folder for folder in place.parents if folder.exists())
    try:
        staged = Path(tempfile.mkdtemp(prefix=".rlctl-export-", dir=base))
    except OSError as error:
        raise UsageError(f"{base} cannot be written: {error.strerror}.", hint="Say where with --output.") from error
    try:
        found = _in_its_process(asked, prepared, staged / place.name, trust=trust)
        files = _put_in_place(staged, place, force=force)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    what = asked.target.what if asked.target else f"run {asked.directory.run_id if asked.directory else reference}"
    step, sha256 = (asked.target.step, asked.target.sha256) if asked.target else (None, None)
    return Exported(format, what, place, files, step, sha256, found)


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def _asked(
    reference: str, name: str, options: Mapping[str, Any], output: Any, config: Mapping[str, Any] | None, root: Path
) -> _Asked:
    """Return what is asked for; raises ConfigError with all that can be said without starting anything."""
    problems: list[Problem] = []
    found = None
    try:
        found = discover().export(name)
    except NotAvailableError as error:
        problems.append(Problem("--format", error.message, error.hint, unavailable=True))
    if found is not None:
        problems += _problems_with(found.descriptor, options)
    if output is not None and Path(output).is_dir():
        problems.append(Problem("--output", f'"{output}" is a folder.', "Name a file in it."))
    target = directory = None
    try:
        if found is not None and not found.descriptor.needs_policy:
            directory = RunStore(root).find(reference.rpartition(":")[0] or reference)
        else:
            target = find_target(reference, config, root)
            directory = target.directory
    except (UsageError, CheckpointError) as error:
        problems.append(Problem("RUN", error.message, error.hint))
    if found is not None and (target or directory):
        problems += _problem_of_worker(found.descriptor, target, directory)
    if problems:
        raise ConfigError(problems)
    assert found is not None
    return _Asked(found, with_defaults(options, found.descriptor.options), target, directory)


def _problems_with(descriptor: ExportDescriptor, options: Mapping[str, Any]) -> list[Problem]:
    problems = []
    if lacking := all_missing(descriptor.requires):
        hint = descriptor.install or f"pip install {' '.join(repr(need) for need in descriptor.requires)}"
        message = f'"{descriptor.name}" cannot be written here: {"; ".join(lacking)}.'
        problems.append(Problem("--format", message, hint, unavailable=True))
    whose = f'format "{descriptor.name}"'
    return [*problems, *check_values(options, descriptor.options, "--option", Merged({}, {}), whose)]


def _problem_of_worker(
    descriptor: ExportDescriptor, target: Target | None, directory: RunDirectory | None
) -> list[Problem]:
    config = target.config if target is not None else _config_of(directory)
    worker = str(config.get("worker"))
    if not descriptor.workers or worker in descriptor.workers:
        return []
    allowed = " or ".join(f'"{name}"' for name in descriptor.workers)
    message = f'"{descriptor.name}" is for worker {allowed}; this policy is of worker "{worker}".'
    return [Problem("--format", message)]


def _config_of(directory: RunDirectory | None) -> Mapping[str, Any]:
    return ((read_json(directory.config) or {}) if directory else {}).get("config") or {}


# ---- making it -------------------------------------------------------------------------------------------------------


def _place(asked: _Asked, output: Path | None) -> Path:
    """Return where the file goes: of a run's policy into a folder for each checkpoint."""
    if output is not None:
        return Path(os.path.abspath(output))  # noqa: PTH100 - resolve() would follow the link that is to be replaced
    name = asked.format.descriptor.filename
    if asked.directory is None:
        return Path.cwd() / name
    folder = asked.directory.path.resolve() / "exports"
    return (folder if asked.target is None else folder / f"step-{asked.target.step:012d}") / name


def _in_its_process(asked: _Asked, prepared: Prepared | None, path: Path, *, trust: bool) -> dict[str, Any]:
    """Have the file made; returns what the exporter says of it."""
    found, target = asked.format, asked.target
    config = _config_of(asked.directory) if prepared is None else prepared.effective()
    request = {
        "path": str(path),
        "entry_point": found.descriptor.entry_point,
        "whose": f'the exporter of "{found.descriptor.name}", brought by {found.plugin.distribution}',
        "identity": _identity(asked, prepared, config),
        "config": dict(config),
        "options": asked.options,
        "source": None if target is None else str(target.path),
        "directory": None if asked.directory is None else str(asked.directory.path.resolve()),
        "seed": config.get("seed") or 0,
    }
    if target is None or prepared is None:
        answer = in_a_process(_PROCESS, {"path": None, "export": request}, {}, config=config)
    else:
        answer = lend(_PROCESS, prepared, {**target.identity(trust=trust), "export": request})
    if not path.exists():
        raise PluginError(f"{request['whose']} has written no {path.name}.")
    return dict(answer["found"])


def _identity(asked: _Asked, prepared: Prepared | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return whose policy it is, as the file is to say it; no time, so that the same policy gives the same file."""
    facts = prepared.env_facts if prepared is not None else None
    return {
        "run_id": None if asked.directory is None else asked.directory.run_id,
        "worker": config.get("worker"),
        "algo": config.get("algo"),
        "env": (config.get("env") or {}).get("id"),
        "step": None if asked.target is None else asked.target.step,
        "checkpoint": None if asked.target is None else asked.target.sha256,
        "spaces": None if facts is None else spaces_of(facts),
        "rlctl": __version__,
    }


def _put_in_place(staged: Path, place: Path, *, force: bool) -> tuple[Path, ...]:
    """Move what was made to where it belongs, the file of that name last, and return all paths, that one first.

    Raises UsageError, before anything is moved, where other files are in the way.
    """
    made = sorted((path for path in staged.rglob("*") if path.is_file()), key=lambda path: path != staged / place.name)
    moves = [(path, place.parent / path.relative_to(staged)) for path in made]
    in_the_way = [new for old, new in moves if os.path.lexists(new) and not _same(old, new)]
    if in_the_way and not force:
        names = ", ".join(map(str, in_the_way))
        raise UsageError(f"there is another file of this name already: {names}.", hint="--force replaces it.")
    try:
        for old, new in reversed(moves):
            new.parent.mkdir(parents=True, exist_ok=True)
            _sync(old)
            os.replace(old, new)
            sync_directory(new.parent)
    except OSError as error:
        raise RlctlError(f"{place} cannot be written: {error.strerror}.") from error
    return tuple(new for _, new in moves)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
