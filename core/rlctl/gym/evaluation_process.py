"""The process that evaluates a saved policy: `python -m rlctl.gym.evaluation_process DIRECTORY`, see `rlctl.gym.lending`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from rlctl.evaluations import Evaluation, EvaluationRequest
from rlctl.gym.evaluation import measure
from rlctl.gym.lending import answer, lend
from rlctl.runs.directory import RunDirectory
from rlctl.worker.protocol import Resumable


def evaluate(directory: RunDirectory, asked: dict[str, Any]) -> dict[str, Any]:
    """Return one evaluation for each of the requests, as data."""
    made: list[Evaluation] = []

    def use(state: Resumable) -> None:
        requests = [EvaluationRequest.from_json(one) for one in asked["requests"]]
        made.extend(_evaluation(state, request, asked) for request in requests)

    lend(directory, asked, use)
    return {"evaluations": [item.to_json() for item in made]}


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


if __name__ == "__main__":
    sys.exit(answer(sys.argv, evaluate))
