"""From layers of values to a run that is known to fit: presets, defaults, facts, and every problem at once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import attrs
from attrs import define, field

from rlctl.compatibility import EnvFacts, check_fit
from rlctl.config.check import check_values, numbers_that_are_none, structure, with_defaults
from rlctl.config.combinations import impossible_combinations
from rlctl.config.curriculum import final_id
from rlctl.config.layers import Layer, Merged, merge, script_layer
from rlctl.config.schema import DEFAULT_CALLBACKS, RunConfig
from rlctl.descriptors import AlgorithmDescriptor, CallbackDescriptor, WorkerDescriptor
from rlctl.errors import ConfigError, Problem, RlctlError, did_you_mean
from rlctl.launch.executor import executor_problems
from rlctl.launch.machine import machine_facts
from rlctl.launch.plugin_answers import PluginAnswers
from rlctl.launch.probe import Probe, probe_configured
from rlctl.launch.setup import set_up
from rlctl.plugins import Registered, Registry
from rlctl.requirements import all_missing
from rlctl.runs.remote import save_uri_problems

Report = Callable[[str], None]


@define
class Prepared:
    """What is known of a run before it starts. `problems` empty means that it can; then the fields are all set.

    `declared` is what plugins will do in it that the configuration does not say.
    """

    merged: Merged
    problems: list[Problem] = field(factory=list)
    config: RunConfig | None = None
    worker: Registered[WorkerDescriptor] | None = None
    algorithm: AlgorithmDescriptor | None = None
    callbacks: dict[str, Registered[CallbackDescriptor]] = field(factory=dict)
    env_facts: EnvFacts | None = None
    provenance: dict[str, Any] = field(factory=dict)
    declared: dict[str, str] = field(factory=dict)

    def effective(self) -> dict[str, Any]:
        """Return the effective configuration as data, in the order of the schema."""
        assert self.config is not None
        return attrs.asdict(self.config)

    def refuse(self, problems: Iterable[Problem]) -> None:
        """Note what is wrong, each with where its value is from."""
        self.problems += [attrs.evolve(item, origin=item.origin or self.merged.origin(item.path)) for item in problems]

    def require_sound(self) -> None:
        """Raise ConfigError with all problems, if there are any."""
        if self.problems:
            raise ConfigError(self.problems)


def placing_layers(executor: str | None, address: str | None) -> list[Layer]:
    """Return the layers that place a run otherwise than before; the address of another executor does not hold then."""
    if executor is not None:
        return [Layer("--executor", {"executor": executor, "address": address})]
    return [] if address is None else [Layer("--address", {"address": address})]


def prepare(layers: Iterable[Layer], registry: Registry, report: Report, probe: Probe = probe_configured) -> Prepared:
    """Return the run that the layers describe, checked; never raises for a user's mistake. `report` hears of a set-up."""
    layers = list(layers)
    said = merge(layers)
    prepared = Prepared(said)
    _find_worker(prepared, registry, report)
    prepared.merged = merge([_defaults(), _preset(prepared, said), script_layer(), *layers])
    config, shape_problems = structure(prepared.merged)
    found = {problem.path for problem in prepared.problems}
    prepared.problems += [problem for problem in shape_problems if problem.path not in found]
    _check_budget(prepared)
    _check_hyperparameters(prepared)
    _check_callbacks(prepared, registry)
    _check_finite(prepared)
    if config is not None:
        prepared.refuse(impossible_combinations(config))
        prepared.refuse(save_uri_problems(config.save_uri))
    sound = config or _sound_part(prepared, shape_problems)
    _check_env(prepared, sound, probe)
    if sound is not None and prepared.worker is not None and prepared.algorithm is not None:
        sound = _complete(prepared, sound)
        _check_fit(prepared, sound, registry)
        prepared.config = sound if config is not None else None
    return prepared


def _sound_part(prepared: Prepared, problems: list[Problem]) -> RunConfig | None:
    """Return the configuration without the values that have `problems`, so that what is wrong with the rest is found too."""
    values = dict(prepared.merged.values)
    for problem in problems:
        head, _, inner = problem.path.partition(".")
        if problem.path not in values and head == "env" and inner and isinstance(values.get("env"), dict):
            values["env"] = {key: value for key, value in values["env"].items() if key != inner}
        else:
            values.pop(problem.path if problem.path in values else head, None)
    config, more = structure(Merged(values, prepared.merged.origins))
    prepared.problems += more if config is not None else []
    return config


# ---- worker and preset ---------------------------------------------------------------------------------------------


def _find_worker(prepared: Prepared, registry: Registry, report: Report) -> None:
    name, origin = prepared.merged.values.get("worker"), prepared.merged.origin("worker")
    if not isinstance(name, str):
        return  # missing or of the wrong kind: the schema says so
    try:
        worker = registry.worker(name)
    except RlctlError as error:
        prepared.problems.append(Problem("worker", error.message, error.hint, origin, unavailable=True))
        return
    lacking = all_missing(worker.descriptor.requires)
    if lacking:
        message = f'worker "{name}" cannot run here: {"; ".join(lacking)}.'
        hint = f"pip install {' '.join(repr(need) for need in worker.descriptor.requires)}"
        prepared.problems.append(Problem("worker", message, hint, origin, unavailable=True))
    if worker.descriptor.setup and not lacking:
        worker = _set_up(prepared, registry, worker, report)
    prepared.worker = worker
    _find_algorithm(prepared, worker.descriptor)


def _set_up(
    prepared: Prepared, registry: Registry, worker: Registered[WorkerDescriptor], report: Report
) -> Registered[WorkerDescriptor]:
    """Run the worker's set-up, which may bring algorithms that the descriptor could not know before."""
    try:
        algo = prepared.merged.values.get("algo")
        prepared.provenance = set_up(worker.descriptor, report, algo=algo if isinstance(algo, str) else None)
    except RlctlError as error:
        own = Problem("worker", error.message, error.hint, unavailable=True)
        found = error.problems if isinstance(error, ConfigError) else [own]
        prepared.problems += [attrs.evolve(item, origin=prepared.merged.origin(item.path)) for item in found]
        return worker
    return registry.refreshed(worker)


def _find_algorithm(prepared: Prepared, worker: WorkerDescriptor) -> None:
    name = prepared.merged.values.get("algo")
    if name is not None and not isinstance(name, str):
        return
    prepared.algorithm = worker.algorithm(name)
    if prepared.algorithm is None and not any(problem.path == "algo" for problem in prepared.problems):
        hint = did_you_mean(str(name), (algorithm.name for algorithm in worker.algorithms))
        message = f'worker "{worker.name}" has no algorithm "{name}".'
        prepared.problems.append(Problem("algo", message, hint, prepared.merged.origin("algo")))


def _defaults() -> Layer:
    """Return the schema's defaults, so that each has an origin and is shown by a dry run."""
    values: dict[str, Any] = {}
    for item in attrs.fields(RunConfig):
        if item.default is not attrs.NOTHING and not isinstance(item.default, attrs.Factory):  # type: ignore[arg-type]
            values[item.name] = item.default
    return Layer("default", {**values, "callbacks": DEFAULT_CALLBACKS})


def _preset(prepared: Prepared, said: Merged) -> Layer:
    """Return what the algorithm brings where nothing is said: its environment and budget."""
    algorithm = prepared.algorithm
    if algorithm is None or prepared.worker is None:
        return Layer("default", {})
    env = said.values.get("env")
    last = final_id(env.get("curriculum")) if isinstance(env, dict) else None
    values: dict[str, Any] = {"algo": algorithm.name, "env": {"id": last or algorithm.default_env}}
    if said.values.get("total_episodes") is None:
        values["total_timesteps"] = algorithm.default_total_timesteps
    return Layer(f"{prepared.worker.descriptor.name}/{algorithm.name}", values)


# ---- checks ---------------------------------------------------------------------------


def _check_budget(prepared: Prepared) -> None:
    values, origin = prepared.merged.values, prepared.merged.origin
    steps, episodes = values.get("total_timesteps"), values.get("total_episodes")
    if steps is not None and episodes is not None:
        where = f"{origin('total_timesteps')} and {origin('total_episodes')}"
        message = f"two budgets: total_timesteps = {steps} and total_episodes = {episodes}"
        prepared.problems.append(Problem("total_timesteps", message, "Keep one.", where))
    elif steps is None and episodes is None and prepared.algorithm is not None:
        message = "no budget: both total_timesteps and total_episodes are null."
        prepared.problems.append(Problem("total_timesteps", message, "Set one.", origin("total_timesteps")))


def _check_hyperparameters(prepared: Prepared) -> None:
    values = prepared.merged.values.get("hyperparameters")
    if prepared.algorithm is None or prepared.worker is None or not isinstance(values or {}, dict):
        return
    whose = f"{prepared.worker.descriptor.name}/{prepared.algorithm.name}"
    parameters = _parameters(prepared)
    if parameters is not None:
        prepared.problems += check_values(values or {}, parameters, "hyperparameters", prepared.merged, whose)


def _parameters(prepared: Prepared) -> Any:
    assert prepared.algorithm is not None
    try:
        return prepared.algorithm.parameters()
    except Exception as error:  # noqa: BLE001 - a plugin's function may raise anything
        message = f"the plugin cannot list the hyper-parameters: {type(error).__name__}: {error}"
        if not any(problem.path == "hyperparameters" for problem in prepared.problems):
            prepared.problems.append(Problem("hyperparameters", message, unavailable=True))
        return None


def _check_callbacks(prepared: Prepared, registry: Registry) -> None:
    named = prepared.merged.values.get("callbacks")
    if not isinstance(named, dict):
        return
    for name, options in named.items():
        where, origin = f"callbacks.{name}", prepared.merged.origin(f"callbacks.{name}")
        if options is False and name in DEFAULT_CALLBACKS:
            continue
        if not (options is None or isinstance(options, bool)) and not isinstance(options, dict):
            message = f"expected a mapping of options, true or false, got {options!r}"
            prepared.problems.append(Problem(where, message, origin=origin))
            continue
        try:
            found = registry.callback(name)
        except RlctlError as error:
            # A default callback whose package was left out is no mistake of the user's.
            if origin != "default":
                prepared.problems.append(Problem(where, error.message, error.hint, origin, unavailable=True))
            continue
        if options is False:  # known, so no slip of the pen, and off
            continue
        prepared.callbacks[name] = found
        if lacking := "; ".join(all_missing(found.descriptor.requires)):
            prepared.problems.append(Problem(where, f"{lacking}.", "pip install it.", origin, unavailable=True))
        given = options if isinstance(options, dict) else {}
        whose = f'callback "{name}"'
        prepared.problems += check_values(given, found.descriptor.options, where, prepared.merged, whose)


def _check_env(prepared: Prepared, config: RunConfig | None, probe: Probe) -> None:
    """Look at the environment if the worker takes gymnasium's, also when other things are wrong already."""
    worker = prepared.worker
    if config is None or worker is None or "gymnasium" not in worker.descriptor.env_families:
        return
    if config.env.id is not None and not all_missing(["gymnasium"]):
        prepared.env_facts = probe(config.env)


def _check_finite(prepared: Prepared) -> None:
    """Refuse NaN and infinities anywhere, also in what only the environment or a plugin understands: JSON has none."""
    found = {problem.path for problem in prepared.problems}
    for path, value in numbers_that_are_none(prepared.merged.values):
        if path not in found:
            found.add(path)
            origin = prepared.merged.origin(path)
            prepared.problems.append(Problem(path, f"must be a finite number, got {value}", origin=origin))


def _complete(prepared: Prepared, config: RunConfig) -> RunConfig:
    """Return the configuration with hyper-parameters and options filled in, noting the origin of what was."""
    assert prepared.algorithm is not None and prepared.worker is not None
    parameters = _parameters(prepared) or ()
    preset = f"{prepared.worker.descriptor.name}/{prepared.algorithm.name}"
    for parameter in parameters:
        prepared.merged.origins.setdefault(f"hyperparameters.{parameter.name}", preset)
    callbacks: dict[str, Any] = dict.fromkeys(config.callbacks, False)
    for name, found in prepared.callbacks.items():
        given = config.callbacks[name] if isinstance(config.callbacks[name], dict) else {}
        callbacks[name] = with_defaults(given, found.descriptor.options)
    return attrs.evolve(
        config,
        env=copy.deepcopy(config.env),  # what the layers hold stays theirs
        hyperparameters=with_defaults(config.hyperparameters, parameters),
        callbacks=callbacks,
    )


def _check_fit(prepared: Prepared, config: RunConfig, registry: Registry) -> None:
    assert prepared.worker is not None and prepared.algorithm is not None
    worker = prepared.worker.descriptor
    callbacks = [found.descriptor for found in prepared.callbacks.values()]
    prepared.refuse(check_fit(config, worker, prepared.algorithm, prepared.env_facts, machine_facts(), callbacks))
    prepared.refuse(executor_problems(config.executor, config.address, registry))
    ask = PluginAnswers(registry, config, worker, prepared.env_facts, prepared.problems)
    for found in ask.each("rlctl_check_run", list):
        prepared.refuse(found)
    if not prepared.problems:
        for declared in ask.each("rlctl_declare_run", lambda answer: dict(answer or {})):
            prepared.declared |= declared
