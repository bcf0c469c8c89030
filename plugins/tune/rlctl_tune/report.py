"""What `rlctl sweep show` says: trials, the best so far, which parameter mattered, and what fresh seeds have shown."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from rlctl.runs.files import read_json
from rlctl_tune.samplers import values_of
from rlctl_tune.study import SweepFolder

if TYPE_CHECKING:
    from optuna import Study

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "open", "WAITING": "open"}
_FEWEST = 4
"""With fewer complete trials an importance would be chance."""
_NOTHING = 1e-9


def trials_of(folder: SweepFolder, study: Study) -> list[dict[str, Any]]:
    """Return the trials in their order, each with the best score up to it."""
    rows: list[dict[str, Any]] = []
    best: float | None = None
    for trial in study.get_trials(deepcopy=False):
        state = STATES[trial.state.name]
        score = trial.value if state == "complete" else None
        best = score if best is None else best if score is None else max(best, score)
        known = all(item.key in trial.params for item in folder.sweep.space.free)
        rows.append({
            "trial": trial.number,
            "state": state,
            "score": score,
            "best_so_far": best,
            "values": values_of(folder.sweep.space, trial.params) if known else dict(trial.params),
            "scores": trial.user_attrs.get("scores"),
            "evaluations": {
                str(step): value if math.isfinite(value) else None for step, value in trial.intermediate_values.items()
            },
            "said": trial.user_attrs.get("sentence", ""),
        })  # fmt: skip
    return rows


def importance_of(study: Study) -> dict[str, float] | None:
    """Return how much each parameter tells the better half of the trials from all, by PED-ANOVA; the shares add up to 1.

    None with too few complete trials, or when no parameter tells them apart.
    """
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    if len(complete) < _FEWEST or len({trial.value for trial in complete}) == 1:
        return None
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's, on what is new in it
        # A half, as Optuna's tenth of a few trials is one or two, which differ from the others in everything.
        evaluator = PedAnovaImportanceEvaluator(target_quantile=0.5)
        found = get_param_importances(study, evaluator=evaluator, normalize=False)
    total = sum(found.values())
    # Normalised by Optuna, nothing at all would be equal shares.
    return {name: float(value) / total for name, value in found.items()} if total > _NOTHING else None


def shown(folder: SweepFolder, study: Study) -> dict[str, Any]:
    """Return all of it as data."""
    trials, sweep = trials_of(folder, study), folder.sweep
    counts = {state: sum(row["state"] == state for row in trials) for state in dict.fromkeys(STATES.values())}
    result = read_json(folder.result) or {}
    return {
        "sweep": sweep.name,
        "directory": str(folder.path),
        "sampler": sweep.sampler,
        "pruner": sweep.pruner.kind,
        "seeds": list(sweep.seeds),
        "wanted": sweep.trials,
        "counts": counts,
        "trials": trials,
        "importance": importance_of(study),
        "fresh": result.get("outcome"),
        "winner": result.get("winner_file"),
    }
