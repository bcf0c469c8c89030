"""The best trials with seeds that the search has not seen, by how much it was too optimistic, and the winner's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlctl.config.writing import as_yaml
from rlctl.plans.comparison import compare
from rlctl.plans.reading import Source
from rlctl.plans.running import make_ready, run_plan
from rlctl.plans.store import PlanStore
from rlctl.runs.files import write_json, write_text
from rlctl_tune.checks import Ready
from rlctl_tune.samplers import values_of
from rlctl_tune.study import SweepFolder
from rlctl_tune.trials import configured, curve_of, labelled, member_name, origins_of, score_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_CONFIDENCE = 0.95
DEFAULTS = "defaults"


def best_trials(study: Study, count: int) -> list[FrozenTrial]:
    """Return the trials with the highest scores, best first; of equal ones the earlier first."""
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    return sorted(complete, key=lambda trial: (-float(trial.value or 0.0), trial.number))[:count]


def run_fresh(ready: Ready, best: list[FrozenTrial]) -> tuple[int, PlanStore]:
    """Train the best trials, and the defaults, with fresh seeds; return (exit code, their plan)."""
    sweep = ready.sweep
    members: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for trial in best:
        values, name = values_of(sweep.space, trial.params), member_name(trial.number)
        config = configured(sweep, values)
        members[name] = labelled(sweep, config, sweep.fresh.seeds, trial=str(trial.number), phase="fresh")
        origins |= origins_of(sweep, name, values)
    if sweep.fresh.defaults:
        members[DEFAULTS] = labelled(sweep, sweep.run, sweep.fresh.seeds, phase=DEFAULTS)
        origins |= origins_of(sweep, DEFAULTS, {})
    name = f"{sweep.name}-fresh"
    plan = make_ready(
        Source(name, {"name": name, "members": members}, origins), ready.runs_root, ready.placing, ready.report
    )
    return int(run_plan(plan, ready.report).exit_code), plan.store


def judged(ready: Ready, best: list[FrozenTrial], store: PlanStore) -> dict[str, Any]:
    """Return what the fresh seeds show: a table, the winner, and the optimism of the search."""
    scores = {}
    for name, members in store.plan.of_template.items():
        standings = [store.standing(store.plan.members[member]) for member in members]
        curves = [curve_of(item.directory.path, ready.every_steps) for item in standings if item.directory is not None]
        scores[name] = [score for score in score_of(curves, ready.sweep.score)[1] if score is not None]
    table = compare({name: values for name, values in scores.items() if values}, _CONFIDENCE)
    # One that has failed on a seed is shown with the others it has, and is neither winner nor compared.
    means = {row["group"]: row["mean"] for row in table["groups"] if row["seeds"] == len(ready.sweep.fresh.seeds)}
    first = best[0]
    searched, found = float(first.value or 0.0), means.get(member_name(first.number))
    trials = [trial for trial in best if member_name(trial.number) in means]
    winner = max(trials, key=lambda trial: means[member_name(trial.number)], default=None)
    return {
        "seeds": list(ready.sweep.fresh.seeds),
        "score": ready.sweep.score,
        **table,
        "best": {
            "trial": first.number, "searched": searched, "fresh": found,
            "optimism": None if found is None else searched - found,
        },
        "winner": None if winner is None else {"trial": winner.number, "fresh": means[member_name(winner.number)]},
        "defaults": means.get(DEFAULTS),
    }  # fmt: skip


def write_outcome(folder: SweepFolder, best: list[FrozenTrial], outcome: Mapping[str, Any] | None) -> None:
    """Write winner.yaml, a configuration that `rlctl run -c` takes, and result.json; there may be no winner.

    Without fresh seeds (`outcome` None) it is the best of the search.
    """
    won = {"trial": best[0].number} if outcome is None else outcome["winner"]
    if won is not None:
        trial = next(item for item in best if item.number == won["trial"])
        config = configured(folder.sweep, values_of(folder.sweep.space, trial.params))
        write_text(folder.winner, as_yaml(config, _said_of(folder.sweep.name, trial, outcome)))
    write_json(folder.result, {
        "winner_file": None if won is None else str(folder.winner),
        "trial": None if won is None else won["trial"],
        "outcome": outcome,
    })  # fmt: skip
    if won is None:
        folder.winner.unlink(missing_ok=True)


def _said_of(sweep: str, trial: FrozenTrial, outcome: Mapping[str, Any] | None) -> list[str]:
    """Return what the winner's file says of it."""
    lines = [
        f"Trial {trial.number} of the sweep {sweep}, score {float(trial.value or 0):.2f} on the seeds of the search."
    ]
    if outcome is None:
        return [*lines, "It was not trained with fresh seeds, so that score is too good."]
    lines.append(f"With fresh seeds: {outcome['winner']['fresh']:.2f}.")
    if outcome["defaults"] is not None:
        lines.append(f"The configuration that the sweep began with, on the same seeds: {outcome['defaults']:.2f}.")
    return lines
