"""Lists the training scripts of a checkout of CleanRL, with their spaces and needs: `python list_scripts.py FOLDER`.

Prints scripts_of_master.json, from which the table of docs/cleanrl.md is made: master cannot be had from PyPI.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rlctl_cleanrl.needs import extra_modules
from rlctl_cleanrl.scripts import read_scripts


def listed(folder: Path) -> list[dict[str, object]]:
    """Return the scripts below a folder as data, sorted by name."""
    return [
        {
            "name": script.name,
            "action_spaces": list(script.action_spaces),
            "image": script.image,
            "needs": list(extra_modules(script.imports)),
        }
        for script in read_scripts(folder)
    ]


def main() -> None:
    """Print the list with the commit that it is of."""
    folder = Path(sys.argv[1])
    head = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    print(json.dumps({"commit": commit, "scripts": listed(folder)}, indent=1))


if __name__ == "__main__":
    main()
