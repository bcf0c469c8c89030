"""Lets another program step a policy by lines of JSON: finds what is wrong first, and then gives it the policy's process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import attrs
from attrs import frozen

from rlctl.compatibility import EnvFacts
from rlctl.errors import RlctlError, UsageError
from rlctl.interaction import InteractionRequest
from rlctl.launch.acting import ActingOptions, env_alone, find_actor, prepare_actor
from rlctl.launch.evaluate import num_envs_of
from rlctl.launch.lend import Report, Target, in_a_process, lend
from rlctl.launch.prepare import Prepared
from rlctl.runs.store import default_root

_PROCESS = "rlctl.gym.interactive_process"


@frozen(kw_only=True)
class InteractiveOptions(ActingOptions):
    """What a session is where its client does not say: `frames`, one of `rlctl.interaction.FRAMES`."""

    frames: str = "asked"


def interact(
    target: str | None,
    *,
    options: InteractiveOptions,
    config: Mapping[str, Any] | None = None,
    runs_dir: str | Path | None = None,
    report: Report,
) -> None:
    """Answer the requests on stdin until it ends; only answers go to stdout, whatever libraries print goes to stderr.

    What acts is `RUN`, `RUN:CHECKPOINT`, a library's file with its `config`, a `config` alone, whose policy has learned
    nothing, or chance in `options.env`. Raises ConfigError with everything that is wrong before a process is started for it,
    and RlctlError when that fails; KeyboardInterrupt for SIGINT and SIGTERM. Such an error is on stdout as well, as the last
    answer.
    """
    with _channel() as channel, _ended_by_sigterm():
        started = False
        try:
            found = find_actor(target, config, Path(runs_dir or default_root()), options)
            prepared = None if found is None else prepare_actor(found, options, report, lambda *_: [])
            request = _request(options, found, prepared, channel)
            report(
                f"{found.what if found else 'no policy'}: acting {options.acting} in {request.env['id']}, by requests"
            )
            started = True
            _serve(request, found, prepared, options.trust)
        except RlctlError as error:
            code = "ended" if started else "cannot_start"
            said = {"type": "error", "id": None, "code": code, "message": error.message, "hint": error.hint}
            with contextlib.suppress(BrokenPipeError):
                os.write(channel[1], (json.dumps(said) + "\n").encode())
            raise


def _serve(request: InteractionRequest, found: Target | None, prepared: Prepared | None, trust: bool) -> None:
    asked: dict[str, Any] = {"interaction": attrs.asdict(request), "env_only": found is None}
    channel = (request.input, request.output)
    if found is None or prepared is None:
        in_a_process(_PROCESS, asked, {}, config={}, channel=channel)
    else:
        lend(_PROCESS, prepared, {**asked, **found.identity(trust=trust)}, channel=channel)


def _request(
    options: InteractiveOptions, found: Target | None, prepared: Prepared | None, channel: tuple[int, int]
) -> InteractionRequest:
    if found is None or prepared is None:
        env, facts = env_alone(options, lambda *_: [])
        config: Mapping[str, Any] = {"env": env}
        seeds: dict[str, Any] = {"seed": options.seed or 0}
    else:
        config, facts = prepared.effective(), prepared.env_facts or EnvFacts()
        seeds = {"seed": options.seed, "run_seed": config["seed"], "num_envs": num_envs_of(found.config)}
    identity = {
        "run_id": found.directory.run_id if found and found.directory else None,
        "env_id": config["env"]["id"],
        "worker": config.get("worker"),
        "algo": config.get("algo"),
        "policy_path": str(found.path) if found and found.path else None,
        "step": found.step if found and found.directory else None,
        "acting": options.acting,
    }
    return InteractionRequest(
        env=config["env"],
        identity=identity,
        greedy=not options.stochastic,
        random=options.random,
        frames=options.frames,
        can_render="rgb_array" in (facts.render_modes or ()),
        input=channel[0],
        output=channel[1],
        **seeds,
    )


@contextlib.contextmanager
def _channel() -> Iterator[tuple[int, int]]:
    """Take stdin and stdout for the protocol, whoever prints meanwhile: what goes to stdout in here is on stderr."""
    try:
        channel = os.dup(0), os.dup(1)
    except OSError as error:
        raise UsageError("requests come on stdin and answers go to stdout, and one of them is closed.") from error
    os.dup2(2, 1)
    try:
        yield channel
    finally:
        os.dup2(channel[1], 1)
        for descriptor in channel:
            os.close(descriptor)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM a KeyboardInterrupt: it ends the policy's process as well, and leaves nothing behind."""

    def interrupt(_: int, __: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
