"""Begins a member: a run anew or from its checkpoint, or the process of a task; both are followed by a supervisor."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
from attrs import Factory, define, field

from rlctl.api import follow_again, following, supervise
from rlctl.compatibility import EnvFacts
from rlctl.config.layers import Layer
from rlctl.config.schema import EnvConfig
from rlctl.descriptors import Resume
from rlctl.errors import CheckpointError
from rlctl.events import RunInfo
from rlctl.launch.executor import Executor, Task
from rlctl.launch.gathering import Executors
from rlctl.launch.parent import check_parent
from rlctl.launch.prepare import Prepared, placing_layers, prepare
from rlctl.launch.probe import Probe, probe_configured
from rlctl.launch.resume import Resumption, find_resumption, reopen, require_resumable
from rlctl.launch.start import THREAD_VARIABLES, create_run, task_for
from rlctl.launch.supervise import Supervisor
from rlctl.launch.warm import WarmExecutor
from rlctl.plans.model import Member
from rlctl.plans.reading import words_of
from rlctl.plans.schedule import Share
from rlctl.plans.store import PlanStore, Standing
from rlctl.plans.warming import open_runs, warm_up, worker_of
from rlctl.plugins import Registry
from rlctl.runs.checkpoints import CheckpointFolder
from rlctl.runs.directory import RunDirectory, create, process_identity
from rlctl.runs.files import read_json
from rlctl.runs.lease import FOLDER, Attempts
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.status import initial_status

Report = Callable[[str], None]
_GRACE = 30.0
"""Seconds that a task gets to end when it is stopped."""


def probe_once() -> Probe:
    """Return a probe that makes each environment once: a plan has a few, and hundreds of runs in each."""
    known: dict[str, EnvFacts | None] = {}

    def probe(env: EnvConfig) -> EnvFacts | None:
        key = repr(env)
        if key not in known:
            known[key] = probe_configured(env)
        return known[key]

    return probe


@define
class Starter:
    """Begins the members of one plan."""

    store: PlanStore
    registry: Registry
    report: Report
    executor: str | None = None
    """Who places all members, whatever their configurations say; None leaves it to these, and tasks to `local`."""
    address: str | None = None
    probe: Probe = field(factory=probe_once)
    warm: WarmExecutor = field(factory=WarmExecutor)
    """Places runs on this machine."""
    executors: Executors = field(default=Factory(lambda self: Executors(self.registry), takes_self=True))
    """Place all else; what is begun may wait for their `hand_over`."""
    _declared: set[str] = field(factory=set)
    _runs_of: Counter[Any] | None = None

    def prepared(self, member: Member, init_from: str | None = None) -> Prepared:
        """Return a run's member, checked, with all that is wrong with it."""
        plan = self.store.plan.id
        names: dict[str, Any] = {"labels": {"plan": plan, "member": member.id, "group": member.group}}
        if init_from is not None:
            names["init_from"] = init_from
        # A bar for each would be a riot in one terminal; the host says how they all fare.
        ours = Layer(f"plan {plan}", {**names, "callbacks": {"progress": False}})
        layers = [Layer(f"plan {plan}", {"name": member.id}), *member.layers(), ours]
        return self._prepare(layers)

    def _prepare(self, layers: list[Layer]) -> Prepared:
        layers = [*layers, *placing_layers(self.executor, self.address)]
        return prepare(layers, self.registry, self.report, self.probe)

    def begin(self, member: Member, share: Share) -> Supervisor | None:
        """Start a member and return who follows it: on the GPUs and cores of its share, a task with as many threads as cores.

        What an engine still has of a host that has left is followed again. None when a process has it that cannot be followed.
        Raises RlctlError when it is refused, and OSError when its process cannot be started.
        """

        def say(line: str) -> None:
            self.report(f"{member.id}: {line}")

        standing = self.store.standing(member)
        followed = self._followed(member, standing.directory, say) if standing.state in ("running", "stopped") else None
        if followed is not None:
            say(f"was placed before, and is followed again in {followed.directory.path}")
            return followed
        if standing.state == "running":
            return None
        supervisor, task = (
            self._run(member, standing, say) if member.kind == "run" else self._task(member, standing, say)
        )
        self.store.made(member, supervisor.directory)
        more = {"CUDA_VISIBLE_DEVICES": ",".join(share.gpus)} if share.gpus else {}
        if member.kind != "run":
            more |= dict.fromkeys(THREAD_VARIABLES, str(share.demand.cpus))
        supervisor.begin(
            attrs.evolve(task, environment={**task.environment, **more}, cores=share.cores, demand=share.demand)
        )
        say(f"started in {supervisor.directory.path}")
        return supervisor

    def placing_of(self, member: Member) -> tuple[str, str | None]:
        """Return who places a member, and the address of its engine."""
        if self.executor is not None:
            return self.executor, self.address
        said = member.merged().values if member.kind == "run" else {}
        return said.get("executor", "local"), self.address if said and self.address else said.get("address")

    def _followed(self, member: Member, directory: RunDirectory | None, say: Report) -> Supervisor | None:
        """Return who follows a member that an engine has been given before and is not done with; None when there is none."""
        if directory is None or directory.result.exists() or not (directory.path / FOLDER).exists():
            return None
        if member.kind == "run":
            placing = placing_layers(self.executor, self.address)
            found = follow_again(directory, self.registry, say, placing=placing, probe=self.probe)
        else:
            found = following(self._follower_of_task(member, directory, say))
        if found is None:
            return None
        supervisor, handle = found
        supervisor.follow(handle)
        return supervisor

    # ---- runs ------------------------------------------------------------------------------------------------------

    def _run(self, member: Member, standing: Standing, say: Report) -> tuple[Supervisor, Task]:
        going_on = self._resumption(standing.directory) if standing.directory is not None else None
        if going_on is not None:
            resumption, prepared = going_on
            say(f"goes on from step {resumption.checkpoint.step}")
            supervisor = supervise(
                prepared,
                self.registry,
                lambda relay: reopen(resumption, prepared, relay, say),
                report=say,
                executor=self._executor_of(prepared),
            )
        else:
            _withdraw(standing)
            prepared = self.prepared(member, self._parent(member))
            root, name = self.store.runs_root, self.store.directory_name(member, standing.tries + 1)
            check_parent(prepared, root)
            prepared.require_sound()
            supervisor = supervise(
                prepared,
                self.registry,
                lambda relay: create_run(prepared, root, name, relay),
                report=say,
                executor=self._executor_of(prepared),
            )
        for plugin, sentence in prepared.declared.items():
            line = f"{plugin}: {sentence}"
            if line not in self._declared:  # once for a hundred seeds
                self._declared.add(line)
                say(line)
        task = task_for(supervisor.directory, prepared.effective())
        return supervisor, attrs.evolve(task, warm_up=warm_up(prepared, self._count(member)))

    def _executor_of(self, prepared: Prepared) -> Executor:
        config = prepared.config
        assert config is not None
        return self.warm if config.executor == "local" else self.executors.of(config.executor, config.address)

    def _count(self, member: Member) -> int:
        if self._runs_of is None:
            self._runs_of = open_runs(self.store)
        return self._runs_of[worker_of(member)]

    def _resumption(self, directory: RunDirectory) -> tuple[Resumption, Prepared] | None:
        """Return how a run goes on that was cut off; None when it has to begin anew, having saved nothing of use."""
        worker = (read_json(directory.manifest) or {}).get("worker") or {}
        if not Resume(worker.get("resume", "none")).goes_on:
            return None
        for bundle in reversed(CheckpointFolder(directory.path / "checkpoints").all()):
            try:
                resumption = find_resumption(directory, str(bundle.step), None, None)
            except CheckpointError:
                continue  # torn; an earlier one will do
            prepared = self._prepare([resumption.layer])
            prepared.require_sound()
            require_resumable(resumption, prepared, False)
            return resumption, prepared
        return None

    def _parent(self, member: Member) -> str | None:
        return (
            f"{self._directory_of(member.sources[0]).run_id}:{member.template.checkpoint}" if member.sources else None
        )

    def _directory_of(self, name: str) -> RunDirectory:
        directory = self.store.standing(self.store.plan.members[name]).directory
        assert directory is not None, f"{name} is not done"
        return directory

    # ---- tasks -----------------------------------------------------------------------------------------------------

    def _task(self, member: Member, standing: Standing, say: Report) -> tuple[Supervisor, Task]:
        _withdraw(standing)
        asked = {"evaluate": self._evaluation, "compare": self._comparison, "script": self._script}[member.kind](member)
        files = {
            "request.json": {"kind": member.kind, "grace": _GRACE, **asked},
            "status.json": initial_status(process_identity()),
        }
        directory = create(self.store.root_of(member), self.store.directory_name(member, standing.tries + 1), files)
        supervisor = self._follower_of_task(member, directory, say)
        argv = (sys.executable, "-m", "rlctl.plans.task", str(directory.path))
        return supervisor, Task(
            run_id=directory.run_id,
            argv=argv,
            environment={"PYTHONUNBUFFERED": "1"},
            log=directory.log,
            directory=directory.path,
        )

    def _follower_of_task(self, member: Member, directory: RunDirectory, say: Report) -> Supervisor:
        info = RunInfo(
            run_id=directory.run_id, directory=directory.path, worker="plan", algo=member.kind, env_id="", seed=0,
            total_timesteps=None, total_episodes=None,
        )  # fmt: skip
        name, address = self.placing_of(member)
        executor = self.executors.of(name, address)
        return Supervisor(directory, info, executor, Dispatcher(_raise), say, grace=_GRACE)

    def _evaluation(self, member: Member) -> dict[str, Any]:
        settings = member.settings()
        checkpoint = settings.pop("checkpoint", "latest")
        run = self._directory_of(member.sources[0]).run_id
        root = str(self.store.runs_root.resolve())
        return {"run": run, "checkpoint": checkpoint, "options": settings, "runs_dir": root}

    def _comparison(self, member: Member) -> dict[str, Any]:
        """Return the answers of the evaluations by group: what differs in nothing but the seed is one."""
        groups: dict[str, list[str]] = {}
        for name in (one for source in member.sources for one in self.store.plan.expanded(source)):
            evaluation = self.store.plan.members[name]
            axes = {**evaluation.inherited, **evaluation.axes}
            label = ", ".join(
                [evaluation.template.id, *(f"{key}={value}" for key, value in axes.items() if key != "seed")]
            )
            groups.setdefault(label, []).append(str(self._directory_of(name).path.resolve() / "answer.json"))
        return {"groups": groups, "confidence": member.template.values.get("confidence", 0.95)}

    def _script(self, member: Member) -> dict[str, Any]:
        needs = {
            one: str(self._directory_of(one).path.resolve())
            for name in member.needs
            for one in self.store.plan.expanded(name)
        }
        environment = {
            "RLCTL_RUNS_DIR": str(self.store.runs_root.resolve()),
            "RLCTL_MEMBER": member.id,
            "RLCTL_AXES": json.dumps(dict(member.axes)),
            "RLCTL_NEEDS": json.dumps(needs),
        }
        return {"argv": words_of(member.template.values), "environment": environment}


def _withdraw(standing: Standing) -> None:
    """Let nobody begin what is begun anew in another directory: an engine may still have it in its queue."""
    if standing.directory is not None:
        Attempts(standing.directory.path / FOLDER).withdraw()


def _raise(name: str, hook: str, error: BaseException) -> None:
    raise AssertionError(f"{name} failed in {hook}") from error
