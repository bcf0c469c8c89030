"""`plans/ID/`: a plan as it was last started, its tasks, and a lock. How far it is, its members' directories say.

Nothing else holds a state: a member that has been begun has a directory, whose name follows from its plan, id and
configuration. So a host may be killed at any moment, and the next one sees what is true.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from rlctl.errors import CheckpointError, RunDirectoryError, UsageError, did_you_mean
from rlctl.plans.expansion import expand
from rlctl.plans.model import Member, Plan
from rlctl.plans.reading import Source
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory, state_of
from rlctl.runs.files import read_json, write_json, write_lines

FORMAT = 1
STATES = ("pending", "running", "finished", "stopped", "failed")


def plans_root(runs_root: Path) -> Path:
    """Return where plans are kept: beside the runs."""
    return runs_root.resolve().parent / "plans"


@frozen
class Standing:
    """How a member stands: its state, and the directory of its last try, which pending ones have not got."""

    state: str
    directory: RunDirectory | None = None
    tries: int = 0

    @property
    def result(self) -> dict[str, Any]:
        """Return how the last try ended."""
        return (read_json(self.directory.result) or {}) if self.directory else {}

    def error_line(self) -> str:
        """Return the last line that says why it failed."""
        result = self.result
        message = (result.get("failure") or {}).get("message") or result.get("reason") or ""
        return (message.strip().splitlines() or [""])[-1]


@frozen
class PlanStore:
    """One plan and its runs on disk."""

    plan: Plan
    runs_root: Path
    _names: dict[Path, set[str]] = field(factory=dict)

    @property
    def path(self) -> Path:
        """The plan's folder."""
        return plans_root(self.runs_root) / self.plan.id

    def root_of(self, member: Member) -> Path:
        """Return the folder that a member's directories are in."""
        return self.runs_root if member.kind == "run" else self.path / "tasks"

    def directory_name(self, member: Member, number: int) -> str:
        """Return the name of the directory of a member's try; another configuration has another one."""
        name = f"{self.plan.id}.{member.id}.{member.fingerprint[:8]}"
        return name if number == 1 else f"{name}.{number}"

    def look_again(self) -> None:
        """Forget which directories there are."""
        self._names.clear()

    def standing(self, member: Member) -> Standing:
        """Return how a member stands now."""
        root = self.root_of(member)
        if root not in self._names:  # one listing is much cheaper than a look for each of thousands
            self._names[root] = {path.name for path in root.iterdir()} if root.is_dir() else set()
        number = 0
        while self.directory_name(member, number + 1) in self._names[root]:
            number += 1
        if number == 0:
            return Standing("pending")
        directory = RunDirectory(root / self.directory_name(member, number))
        state = state_of(directory)
        state = {"created": "running", "lost": "stopped"}.get(state, state)
        if state == "stopped" and member.kind == "run" and _is_complete(directory):
            state = "finished"  # it was cut off after its last step, before it could say so
        return Standing(state, directory, number)

    def made(self, member: Member, directory: RunDirectory) -> None:
        """Remember a directory that was made since."""
        self._names.setdefault(self.root_of(member), set()).add(directory.path.name)

    def save(self, source: Source, command: list[str], placing: Mapping[str, Any]) -> None:
        """Keep the plan with its expansion, and by which options it is placed; one of the same id that it replaces is kept, too."""
        try:
            (self.path / "tasks").mkdir(parents=True, exist_ok=True)
            before = read_json(self.path / "plan.json")
            if before is not None and before.get("fingerprint") != self.plan.fingerprint:
                (self.path / "earlier").mkdir(exist_ok=True)
                os.replace(self.path / "plan.json", self.path / "earlier" / f"{before['fingerprint'][:8]}.json")
            write_lines(self.path / "members.jsonl", [described(member) for member in self.plan.members.values()])
            write_json(self.path / "plan.json", {
                "format": FORMAT,
                "id": self.plan.id,
                "fingerprint": self.plan.fingerprint,
                "saved_at": time.time(),
                "command": command,
                "placing": dict(placing),
                "runs_dir": str(self.runs_root.resolve()),
                "tree": source.tree,
                "origins": source.origins,
            })  # fmt: skip
        except OSError as error:
            raise RunDirectoryError(f'cannot write the plan to "{self.path}": {error.strerror or error}.') from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only host of this plan; the system lets go of the lock when this process dies, however it does.

        Raises UsageError while another one is.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                who = file.read().strip() or "another process"
                raise UsageError(
                    f"plan {self.plan.id} is being run by {who}.", hint="Stop it first, or wait until it is done."
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()}")
            file.flush()
            yield


def _is_complete(directory: RunDirectory) -> bool:
    """Return whether a run has a sound checkpoint of the end of its budget."""
    config = (read_json(directory.config) or {}).get("config") or {}
    try:
        last = CheckpointFolder(directory.path / "checkpoints").find_sound("latest")
    except CheckpointError:
        return False
    steps, episodes = config.get("total_timesteps"), config.get("total_episodes")
    return (steps is not None and last.step >= steps) or (
        episodes is not None and int(last.data["episodes"]) >= episodes
    )


def described(member: Member) -> dict[str, Any]:
    """Return a member of the expansion as data."""
    return {
        "id": member.id,
        "kind": member.kind,
        "group": member.group,
        "axes": {**member.inherited, **member.axes},
        "needs": list(member.needs),
        "fingerprint": member.fingerprint,
    }


def saved_source(reference: str, runs_root: Path) -> Source:
    """Return the plan that was last started under this id. Raises UsageError when there is none."""
    root = plans_root(runs_root)
    data = read_json(root / reference / "plan.json") if reference else None
    if data is None:
        known = [path.parent.name for path in root.glob("*/plan.json")]
        hint = did_you_mean(reference, known) or "Start one with `rlctl plan run FILE`."
        raise UsageError(f'there is no plan "{reference}" in {root}.', hint=hint)
    if data.get("format", 0) > FORMAT:
        raise UsageError(f"plan {reference} was written by a newer rlctl: upgrade this one.")
    return Source(data["id"], data["tree"], data["origins"])


def saved_placing(reference: str, runs_root: Path) -> dict[str, Any]:
    """Return by which options a plan was placed when it was last started; none for one that kept none."""
    return (read_json(plans_root(runs_root) / reference / "plan.json") or {}).get("placing") or {}


def open_plan(source: Source, runs_root: Path) -> PlanStore:
    """Return a plan, expanded, with its place on disk. Raises ConfigError with all that is wrong with it."""
    return PlanStore(expand(source), runs_root)
