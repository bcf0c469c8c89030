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
from rlctl.config.curriculum import curriculum_problems
from rlctl.config.schema import EnvConfig
from rlctl.config.wrappers import wrapper_problems
from rlctl.errors import NotAvailableError
from rlctl.requirements import all_missing

Probe = Callable[[EnvConfig], EnvFacts | None]


def probe_configured(env: EnvConfig) -> EnvFacts | None:
    """Return what a configured environment is; None if that is not known, because its wrappers have not the right form.

    Of a curriculum that has not the right form, the environment without it is looked at.
    """
    said = attrs.asdict(env)
    if any(curriculum_problems(env.curriculum, env.id)):
        said["curriculum"] = []
    if not any(wrapper_problems(env.wrappers)):
        return probe_env(said)
    bare = probe_env({**said, "wrappers": [], "curriculum": []})
    return bare if bare.error else None


def list_envs() -> dict[str, Any]:
    """Return what `rlctl.gym.listing` writes, `envs` and `families`; raises NotAvailableError where it cannot."""
    lacking = all_missing(["gymnasium"])
    if lacking:
        raise NotAvailableError("; ".join(lacking) + ".", hint="pip install 'rlctl[gym]'")
    with tempfile.TemporaryDirectory(prefix="rlctl-") as folder:
        answer = Path(folder) / "envs.json"
        process = _run("rlctl.gym.listing", answer)
        if answer.is_file():
            listed: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
            return listed
    raise NotAvailableError(f"the environments cannot be listed: {process.stderr.decode(errors='replace').strip()}")


def _run(module: str, *paths: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a module in a process that opens no window; raises TimeoutExpired after two minutes."""
    command = [sys.executable, "-m", module, *map(str, paths)]
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, env=environment, check=False
    )


def probe_env(env: dict[str, Any]) -> EnvFacts:
    """Make the environment once in a process of its own and return what it is; a failure is a fact, too."""
    with tempfile.TemporaryDirectory(prefix="rlctl-") as folder:
        asked, answer = Path(folder) / "env.json", Path(folder) / "facts.json"
        asked.write_text(json.dumps(env, default=str), encoding="utf-8")
        try:
            process = _run("rlctl.gym.facts", asked, answer)
        except subprocess.TimeoutExpired:
            return EnvFacts(error=f"{env['id']} could not be made within 120 s.")
        if answer.is_file():
            return EnvFacts(**json.loads(answer.read_text(encoding="utf-8")))
    lines = process.stderr.decode(errors="replace").strip().splitlines() or ["nothing was printed"]
    code = process.returncode
    how = f"code {code}" if code >= 0 else signal.Signals(-code).name
    return EnvFacts(error=f"making {env['id']} ended its process with {how}: {lines[-1]}")
