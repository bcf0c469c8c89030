"""Facts about an environment, from a process of its own in the worker's Python."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from rlctl.compatibility import EnvFacts
from rlctl.config.schema import EnvConfig
from rlctl.config.wrappers import wrapper_problems

Probe = Callable[[EnvConfig], EnvFacts | None]


def probe_configured(env: EnvConfig) -> EnvFacts | None:
    """Return what a configured environment is; None if that is not known, because its wrappers have not the right form."""
    said = attrs.asdict(env)
    if not any(wrapper_problems(env.wrappers)):
        return probe_env(said)
    bare = probe_env({**said, "wrappers": []})
    return bare if bare.error else None


def probe_env(env: dict[str, Any]) -> EnvFacts:
    """Make the environment once in a process of its own and return what it is; a failure is a fact, too."""
    with tempfile.TemporaryDirectory(prefix="rlctl-") as folder:
        asked, answer = Path(folder) / "env.json", Path(folder) / "facts.json"
        asked.write_text(json.dumps(env, default=str), encoding="utf-8")
        command = [sys.executable, "-m", "rlctl.gym.facts", str(asked), str(answer)]
        environment = {**os.environ, "SDL_VIDEODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
        try:
            process = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, env=environment, check=False
            )
        except subprocess.TimeoutExpired:
            return EnvFacts(error=f"{env['id']} could not be made within 120 s.")
        if answer.is_file():
            return EnvFacts(**json.loads(answer.read_text(encoding="utf-8")))
    lines = process.stderr.decode(errors="replace").strip().splitlines() or ["nothing was printed"]
    code = process.returncode
    how = f"code {code}" if code >= 0 else signal.Signals(-code).name
    return EnvFacts(error=f"making {env['id']} ended its process with {how}: {lines[-1]}")
