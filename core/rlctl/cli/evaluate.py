"""`rlctl evaluate`: what a trained policy is worth, measured on episodes that its training never saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlctl.cli._render import json_option, note, number, pairs, print_json
from rlctl.cli.runs import complete_runs
from rlctl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rlctl.launch.evaluate import Evaluated


@click.command()
@click.argument("target", metavar="RUN", default="@latest", shell_complete=complete_runs)
@click.option("--checkpoint", default="latest", help="latest, best, or the step of one.")
@click.option("--episodes", type=click.IntRange(min=1), default=20, show_default=True, help="Episodes to measure.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed of the first episode; by default some that training never had."
)
@click.option("--stochastic", is_flag=True, help="Let the policy sample its actions, instead of the best one.")
@click.option("--video", is_flag=True, help="Film every episode, into the run's videos/.")
@click.option("--env", "env_id", help="Another environment, with the same spaces.")
@click.option("--env-kwargs", metavar="MAPPING", help="Arguments of the environment, as {gravity: 5}.")
@click.option("--max-episode-steps", type=click.IntRange(min=1), help="Truncate episodes after so many steps.")
@click.option("--gamma", type=click.FloatRange(0, 1), help="Discount; by default the algorithm's.")
@click.option(
    "--num-envs", type=click.IntRange(min=1), help="Environments stepped side by side; 16 at most by default."
)
@click.option(
    "--time-limit", type=click.FloatRange(0, min_open=True), help="Seconds, after which what has ended counts."
)
@click.option("--repeat", type=click.IntRange(min=1), default=1, help="Repeat with other seeds; all are kept.")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps; by default the run's.")
@click.option("-w", "--worker", help="For a library's own file: the worker that it belongs to.")
@click.option("-a", "--algo", help="For a library's own file: the algorithm.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="For a library's own file: a setting.")
@click.option("--trust", is_flag=True, help="Unpickle the file if need be, which runs whatever code is in it.")
@click.option("--runs-dir", type=click.Path(path_type=Path), help="Where runs are kept: RLCTL_RUNS_DIR, else ./runs.")
@json_option
def evaluate(target: str, checkpoint: str, runs_dir: Path | None, as_json: bool, **options: Any) -> int:
    """Evaluate a run's policy, or a file such as SB3's model.zip or CleanRL's .cleanrl_model.

    Every episode has a seed of its own, and all are played to their end. The policy is greedy unless told otherwise, and
    its statistics of normalisation stand still. The result names the checkpoint by its hash.
    """
    from rlctl.launch.evaluate import EvaluationOptions
    from rlctl.launch.evaluate import evaluate as measured

    env: dict[str, Any] = {"id": options["env_id"], "max_episode_steps": options["max_episode_steps"]}
    env = {name: value for name, value in env.items() if value is not None}
    if options["env_kwargs"] is not None:
        env["kwargs"] = _mapping(options["env_kwargs"])
    names = ("episodes", "seed", "stochastic", "video", "gamma", "num_envs", "time_limit", "repeat", "device", "trust")
    said = EvaluationOptions(env=env, **{name: options[name] for name in names})
    is_file = Path(target).is_file()
    if not is_file:
        _refuse_what_is_for_files(options)
    config = _config_of_file(options) if is_file else None
    found = measured(target, checkpoint=checkpoint, config=config, options=said, runs_dir=runs_dir, report=note)
    _show(found, as_json)
    ended, asked = len(found.returns), said.episodes * said.repeat
    if ended < asked:
        note(f"time was over when {ended} of {asked} episodes had ended")
    return ExitCode.DONE if ended else ExitCode.RUN_FAILED


def _mapping(text: str) -> dict[str, Any]:
    from rlctl.config.files import parse_scalar

    value = parse_scalar(text)
    if not isinstance(value, dict):
        raise UsageError(f"--env-kwargs: expected a mapping such as {{gravity: 5}}, got {text!r}")
    return value


def _config_of_file(options: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration that builds the training of a file, as it is said on the command line."""
    from rlctl.config.layers import merge, parse_overrides

    values: dict[str, Any] = dict(merge(parse_overrides(options["overrides"])).values)
    worker, _, algo = (options["worker"] or "").partition("/")
    said = {"worker": worker or None, "algo": options["algo"] or algo or None}
    return {**values, **{name: value for name, value in said.items() if value is not None}}


def _refuse_what_is_for_files(options: dict[str, Any]) -> None:
    """Refuse what a run knows itself."""
    for name, flag in (("worker", "--worker"), ("algo", "--algo"), ("overrides", "--set")):
        if options[name]:
            raise UsageError(f"{flag} is for a library's own file; a run knows what it is.")


def _show(found: Evaluated, as_json: bool) -> None:
    import statistics

    returns = found.returns
    if as_json:
        evaluations = [evaluation.to_json() for evaluation in found.evaluations]
        print_json({
            "what": found.what,
            "path": str(found.path),
            "step": found.step,
            "checkpoint": found.evaluations[0].checkpoint,
            "episodes": len(returns),
            "return_mean": statistics.fmean(returns) if returns else None,
            "return_std": statistics.pstdev(returns) if returns else None,
            "evaluations": evaluations,
        })  # fmt: skip
        return
    first = found.evaluations[0]
    rows: list[tuple[str, object]] = [
        ("policy", f"{found.what}, step {number(found.step, 0)}" if found.step else found.what),
        ("checkpoint", f"{found.path}"),
        ("sha256", first.checkpoint),
        ("acting", "greedily" if first.greedy else "as in training"),
    ]
    for index, evaluation in enumerate(found.evaluations):
        label = "episodes" if len(found.evaluations) == 1 else f"batch {index + 1}"
        rows.append((label, _in_words(evaluation)))
        if evaluation.overestimation is not None:
            rows.append(("estimates", _estimates_in_words(evaluation)))
    if len(found.evaluations) > 1 and returns:
        spread = f"{number(statistics.fmean(returns), 2)} ± {number(statistics.pstdev(returns), 2)}"
        rows.append(("together", f"{len(returns)} episodes, return {spread}"))
    for evaluation in found.evaluations:
        rows += [("film", path) for path in evaluation.videos]
    pairs(rows)


def _in_words(evaluation: Any) -> str:
    count = len(evaluation.measured)
    if count == 0:
        return "none"
    text = f"{count}, return {number(evaluation.return_mean, 2)} ± {number(evaluation.return_std, 2)}"
    text += f" ({number(min(evaluation.returns), 2)} to {number(max(evaluation.returns), 2)})"
    text += f", length {number(evaluation.length_mean)}"
    if evaluation.gamma is not None:
        text += f", discounted by {evaluation.gamma:g}: {number(evaluation.discounted_return_mean, 2)}"
    return text


def _estimates_in_words(evaluation: Any) -> str:
    over = evaluation.overestimation
    side = "below" if over < 0 else "above"
    return (
        f"{number(evaluation.value_mean, 2)} by the policy itself, {number(abs(over), 2)} {side} the discounted return"
    )
