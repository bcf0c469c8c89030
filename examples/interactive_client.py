"""Plays one episode with the policy of a run, by `rlctl interactive`: python examples/interactive_client.py RUN."""

import json
import subprocess
import sys
from typing import Any

command = ["rlctl", "interactive", *(sys.argv[1:] or ["--random", "--env", "CartPole-v1"])]
with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

    def ask(**request: Any) -> Any:
        """Send a request and return its answer."""
        print(json.dumps(request), file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())

    print(json.loads(process.stdout.readline()))  # who is there: said by itself, once
    answer = ask(cmd="reset", seed=3)
    while answer["type"] != "error" and not (answer.get("terminated") or answer.get("truncated")):
        answer = ask(cmd="step")  # or ask(cmd="step", action=1)
    print(json.loads(process.stdout.readline()) if answer["type"] == "step" else answer)
    process.stdin.close()
