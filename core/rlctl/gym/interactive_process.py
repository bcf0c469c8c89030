"""The process that `rlctl interactive` talks to: `python -m rlctl.gym.interactive_process DIRECTORY`, see `rlctl.gym.lending`.

It reads and writes the client's own pipes, without anything in between: a client that does not read makes it wait.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from rlctl.gym.environments import make_env
from rlctl.gym.interaction import Lend, Message, Sessions
from rlctl.gym.lending import answer, lend
from rlctl.gym.random_policy import RandomPolicy
from rlctl.interaction import LINE_LIMIT, InteractionRequest
from rlctl.runs.directory import RunDirectory
from rlctl.worker.protocol import Policy, Resumable

_CHUNK = 1 << 16


def interact(directory: RunDirectory, asked: dict[str, Any]) -> dict[str, Any]:
    """Answer requests until there are no more. With `env_only` there is no policy, only an environment to act in by chance."""
    request = InteractionRequest(**asked["interaction"])

    def use(state: Resumable) -> None:
        _serve(request, functools.partial(_by_chance, state) if request.random else state.policy)

    if asked["env_only"]:
        _serve(request, lambda _: contextlib.nullcontext(RandomPolicy(make_env)))
    else:
        lend(directory, asked, use)
    return {}


@contextlib.contextmanager
def _by_chance(state: Resumable, seed: int) -> Iterator[Policy]:
    with state.policy(seed) as policy:
        yield RandomPolicy(policy.make_env)


def _serve(request: InteractionRequest, lend: Lend) -> None:
    for descriptor in (request.input, request.output):
        os.set_inheritable(descriptor, False)  # what an environment starts must not hold the client's pipes open
    sessions = Sessions(request, lend, functools.partial(_write, request.output))
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        sessions.greet()
        for line in lines_of(request.input, LINE_LIMIT):
            if line is None or line.strip():
                sessions.answer(line)
    sessions.close()


def lines_of(descriptor: int, limit: int) -> Iterator[bytes | None]:
    """Yield what is read, line by line, the last one even if it does not end; None for a line of more than `limit` bytes.

    No more than that is ever kept.
    """
    kept, is_long = bytearray(), False
    while chunk := os.read(descriptor, _CHUNK):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            kept += part
            yield None if is_long or len(kept) > limit else bytes(kept)
            kept.clear()
            is_long = False
        kept += rest
        if len(kept) > limit:
            kept.clear()
            is_long = True
    if kept or is_long:
        yield None if is_long else bytes(kept)


def _write(descriptor: int, message: Message) -> None:
    line = memoryview((json.dumps(message, allow_nan=False, separators=(",", ":")) + "\n").encode())
    while line:
        line = line[os.write(descriptor, line) :]


if __name__ == "__main__":
    sys.exit(answer(sys.argv, interact))
