"""Optuna's study of a sweep, and `sweeps/NAME/`: the sweep as it was begun, the journal, the lock, what came out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define

from rlctl.errors import UsageError, did_you_mean
from rlctl.runs.files import read_json, write_json
from rlctl_tune.reading import Sweep, sweep_of
from rlctl_tune.samplers import distribution_of, proposed, pruner_of, sampler_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

FORMAT = 1
_FOLDER = "rlctl_folder"
"""The study's attribute that says which sweep it is of."""
_EXAMPLE = "Expected a URL as SQLAlchemy has them, its driver installed. Example: sqlite:////data/trials.db"


def sweeps_root(runs_root: Path) -> Path:
    """Return where sweeps are kept: beside the runs."""
    return runs_root.resolve().parent / "sweeps"


@define
class SweepFolder:
    """One sweep on disk."""

    sweep: Sweep
    runs_root: Path

    @property
    def path(self) -> Path:
        """The sweep's folder."""
        return sweeps_root(self.runs_root) / self.sweep.name

    @property
    def winner(self) -> Path:
        """The configuration of the winner."""
        return self.path / "winner.yaml"

    @property
    def _begun(self) -> Path:
        """A file that says that there is a study in the storage."""
        return self.path / "begun"

    @property
    def result(self) -> Path:
        """What the fresh seeds have shown."""
        return self.path / "result.json"

    def require_same(self) -> None:
        """Raise UsageError when a sweep of this name was begun with other settings: its trials would mean two things."""
        before = read_json(self.path / "sweep.json")
        if before is None or not self._begun.exists():
            return
        then, now = _kept(before, self.sweep.name).essence(), self.sweep.essence()
        other = [key for key in now if now[key] != then[key]]
        if other:
            raise UsageError(
                f"sweep {self.sweep.name} was begun with another {', '.join(other)} ({self.path}).",
                hint="Give this one another name; trials, fresh and resources are what can be changed.",
            )

    def save(self, command: list[str]) -> None:
        """Keep the sweep, so that its name is enough to go on with it; as `require_same`, under the lock once more."""
        self.require_same()
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "sweep.json", {
            "format": FORMAT,
            "name": self.sweep.name,
            "saved_at": time.time(),
            "command": command,
            "runs_dir": str(self.runs_root.resolve()),
            "tree": self.sweep.tree,
            "origins": self.sweep.origins,
        })  # fmt: skip

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only host of this sweep. Raises UsageError while another one is."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                who = file.read().strip() or "another process"
                hint = "Stop it first, or wait until it is done."
                raise UsageError(f"sweep {self.sweep.name} is being run by {who}.", hint=hint) from error
            file.truncate(0)
            file.write(f"process {os.getpid()}")
            file.flush()
            _mend(self.path / "journal.jsonl")
            yield

    def study(self, *, create: bool) -> Study:
        """Return the study. Raises UsageError when there is none and it is not to be made, or no storage can be had."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        name, begun = self.sweep.name, self._begun.exists()
        if not create and not begun:
            raise UsageError(f"sweep {name} has no trial yet.", hint=f"Begin it with `rlctl sweep resume {name}`.")
        try:
            storage, pruner = self._storage(), pruner_of(self.sweep.pruner)
            if begun:
                return optuna.load_study(study_name=name, storage=storage, pruner=pruner)
            study = optuna.create_study(
                study_name=name, storage=storage, pruner=pruner, direction="maximize", load_if_exists=True
            )
        except KeyError as error:
            hint = "Bring it back, or give the sweep another name."
            raise UsageError(f"the trials of sweep {name} are not in {self._where()}.", hint=hint) from error
        except Exception as error:  # a database has a hundred ways to fail, of as many libraries
            raise self._unusable(error) from error
        self._claim(study)
        self._begun.touch()
        return study

    def _claim(self, study: Study) -> None:
        """Make a study ours that is not begun. Raises UsageError when it is another's: a database may hold many sweeps."""
        owner, ours = study.user_attrs.get(_FOLDER), f"{self.path} on {platform.node()}"
        if owner is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(_FOLDER, ours)
        elif owner != ours:
            raise UsageError(
                f"storage: {self._where()} has a study {self.sweep.name} already, of {owner or 'another program'}.",
                hint="Give this sweep another name.",
            )

    @contextlib.contextmanager
    def storage_trouble(self) -> Iterator[None]:
        """Raise UsageError when a database fails in the midst of a sweep."""
        from optuna.exceptions import StorageInternalError

        try:
            yield
        except StorageInternalError as error:
            raise self._unusable(error.__cause__ or error) from error

    def _unusable(self, error: BaseException) -> UsageError:
        said = (str(error).splitlines() or [repr(error)])[0]
        hint = f"When it can be: rlctl sweep resume {self.sweep.name}" if self._begun.exists() else _EXAMPLE
        return UsageError(f"storage: {self._where()} cannot be used: {said.rstrip('.')}.", hint=hint)

    def _where(self) -> str:
        """Return what to call the storage; a URL may have a password in it."""
        url = self.sweep.storage
        if url is None:
            return str(self.path / "journal.jsonl")
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"

    def _storage(self) -> BaseStorage:
        from optuna.storages import JournalStorage, RDBStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        if self.sweep.storage is not None:
            return RDBStorage(self.sweep.storage)
        path = str(self.path / "journal.jsonl")
        return JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))


def _mend(journal: Path) -> None:
    """Cut off the line in the middle of which a host was killed: Optuna would refuse all that follows it.

    Its lock goes, too: as only the host writes, and only one is, nobody holds it.
    """
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if not journal.exists():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(journal, whole)


def _kept(data: dict[str, Any], name: str) -> Sweep:
    if data.get("format", 0) > FORMAT:
        raise UsageError(f"sweep {name} was written by a newer rlctl-tune: upgrade this one.")
    return sweep_of(data["tree"], data["origins"])


def kept_sweep(name: str, runs_root: Path) -> Sweep:
    """Return the sweep that was begun under this name. Raises UsageError when there is none."""
    root = sweeps_root(runs_root)
    data = read_json(root / name / "sweep.json") if name else None
    if data is None:
        known = [path.parent.name for path in root.glob("*/sweep.json")]
        hint = did_you_mean(name, known) or "Begin one with `rlctl sweep run FILE`."
        raise UsageError(f'there is no sweep "{name}" in {root}.', hint=hint)
    return _kept(data, name)


# ---- trials --------------------------------------------------------------------------------------------------------


def ask(study: Study, sweep: Sweep) -> Trial:
    """Return a new trial with all of its values."""
    trials = study.get_trials(deepcopy=False)
    number = len(trials)
    study.sampler = sampler_of(sweep, number)
    waiting = any(trial.state.name == "WAITING" for trial in trials)  # a host was killed after it had proposed
    proposal = None if waiting else proposed(sweep, number, trials)
    if proposal is not None:
        study.enqueue_trial(proposal[0], user_attrs=proposal[1])
    return _with_values(study.ask(), sweep)


def reopened(study: Study, sweep: Sweep, frozen: FrozenTrial) -> Trial:
    """Return a trial that was cut off; values that it had not been given yet are drawn now."""
    from optuna.trial import Trial

    study.sampler = sampler_of(sweep, frozen.number)
    return _with_values(Trial(study, frozen._trial_id), sweep)  # noqa: SLF001 - its constructor wants this id


def _with_values(trial: Trial, sweep: Sweep) -> Trial:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's, on what is new in it
        for item in sweep.space.free:
            distribution = distribution_of(item)
            if isinstance(distribution, CategoricalDistribution):
                trial.suggest_categorical(item.key, distribution.choices)
            elif isinstance(distribution, IntDistribution):
                trial.suggest_int(
                    item.key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
                )
            elif isinstance(distribution, FloatDistribution):
                trial.suggest_float(
                    item.key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
                )
    return trial
