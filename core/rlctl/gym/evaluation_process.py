"""The process that evaluates a saved policy: `python -m rlctl.gym.evaluation_process DIRECTORY`.

The directory is one of a run that is never trained: the worker builds its training, takes the weights, lends the policy,
and is done. So every worker can be evaluated that can be resumed, by the code that it trains with.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path
from typing import Any

from rlctl.errors import RlctlError
from rlctl.evaluations import Evaluation, EvaluationRequest
from rlctl.gym.evaluation import measure
from rlctl.runs.directory import RunDirectory
from rlctl.runs.files import read_json, write_json
from rlctl.worker.beginning import PolicyLent, Weights
from rlctl.worker.dispatch import Dispatcher
from rlctl.worker.main import make_worker, run_info
from rlctl.worker.protocol import Resumable
from rlctl.worker.run import Run

REQUEST, ANSWER = "evaluation-request.json", "evaluation-answer.json"


def main(argv: list[str]) -> int:
    """Evaluate as the directory `argv[1]` asks for, and leave an answer there: evaluations, or an error."""
    directory = RunDirectory(Path(argv[1]).resolve())
    try:
        answer: dict[str, Any] = {"evaluations": [item.to_json() for item in evaluate(directory)]}
    except RlctlError as error:
        answer = {"error": error.message, "hint": error.hint}
    except Exception as error:  # noqa: BLE001 - whatever a library raises is the answer
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}", "hint": None}
    write_json(directory.path / ANSWER, answer)
    return 0


def evaluate(directory: RunDirectory) -> list[Evaluation]:
    """Return one evaluation for each of the requests."""
    asked = read_json(directory.path / REQUEST) or {}
    config = (read_json(directory.config) or {})["config"]
    manifest = read_json(directory.manifest) or {}
    made: list[Evaluation] = []

    def use(state: Resumable) -> None:
        requests = [EvaluationRequest(**{**one, "seeds": tuple(one["seeds"])}) for one in asked["requests"]]
        made.extend(_evaluation(state, request, asked) for request in requests)

    run = Run(
        run_info(directory, config),
        directory=directory,
        hyperparameters=config["hyperparameters"],
        horizon=manifest["horizon"],
        dispatcher=Dispatcher(_raise),
        threads=config.get("threads"),
        source=manifest["worker"].get("source"),
        beginning=Weights(Path(asked["path"]), trust=asked["trust"], use=use),
    )
    try:
        make_worker(directory).train(run)
    except PolicyLent:
        return made
    raise RlctlError(f"{run.info.worker} trained instead of lending its policy: it does not call `run.restore()`")


def _evaluation(state: Resumable, request: EvaluationRequest, asked: dict[str, Any]) -> Evaluation:
    began = time.perf_counter()
    with state.policy(request.seeds[0]) as policy:
        measured = measure(policy, request)
    folder = None if request.video is None else Path(request.video)
    videos = [str(path) for item in measured if folder for path in folder.glob(f"seed-{item.seed}-return-*.mp4")]
    return Evaluation(
        step=asked["step"],
        episodes=asked["episodes"],
        checkpoint=asked["checkpoint"],
        measured=tuple(measured),
        greedy=request.greedy,
        gamma=request.gamma,
        duration=time.perf_counter() - began,
        videos=tuple(videos),
    )


def _raise(name: str, hook: str, error: BaseException) -> None:
    raise AssertionError(f"{name} failed in {hook}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv))
