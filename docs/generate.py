"""Writes the generated parts of docs/, between their markers: `python docs/generate.py`, or `make docs`.

With `--check` nothing is written, and the exit code is 1 when a part is out of date.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from rlctl.config.jsonschema import config_reference
from rlctl.evaluations import EvaluatedEpisode, Evaluation
from rlctl.vocabulary import VOCABULARY
from rlctl_callbacks.plugin import rlctl_callbacks
from rlctl_cleanrl.catalogue import CATALOGUE, FAMILIES, Algorithm, family_of
from rlctl_cleanrl.needs import packages_of, why_impossible

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
MASTER = ROOT / "plugins/cleanrl/reference/scripts_of_master.json"
WORKER_MODULES = {
    "sb3": ROOT / "plugins/sb3/rlctl_sb3/worker.py",
    "cleanrl": ROOT / "plugins/cleanrl/rlctl_cleanrl/worker.py",
}


def canonical_names(module: Path) -> dict[str, str]:
    """Return a worker's `_CANONICAL`, its own tag → rlctl's name, from its source: importing it would import torch."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["_CANONICAL"]:
            found: dict[str, str] = ast.literal_eval(node.value)
            return found
    raise LookupError(f"{module} has no _CANONICAL")


def reported_names(folder: Path) -> set[str]:
    """Return the names of metrics that stand as texts in the modules of a package."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in folder.glob("*.py"))
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return {
        text
        for text in texts
        if isinstance(text, str) and re.fullmatch(r"(train|time|episode|evaluation|diagnostics)/\w+", text)
    }


def vocabulary() -> str:
    """Return the table of names with their units and meanings."""
    rows = [f"| `{name}` | {metric.unit} | {metric.meaning} |" for name, metric in VOCABULARY.items()]
    return "\n".join(["| name | unit | meaning |", "|---|---|---|", *rows])


def evaluation_names() -> set[str]:
    """Return the names under which rlctl itself reports an evaluation, the same for every backend."""
    episode = EvaluatedEpisode(seed=1, episode_return=1.0, length=1, terminated=True, discounted_return=1.0, value=1.0)
    return set(Evaluation(step=1, episodes=1, checkpoint=None, measured=(episode,), gamma=0.9).metrics())


def native_tags() -> str:
    """Return the table of what each backend reports under which name; what rlctl reports itself is not in it."""
    tags = {worker: canonical_names(module) for worker, module in WORKER_MODULES.items()}
    own = reported_names(ROOT / "plugins/dqn/rlctl_dqn")

    def cell(name: str, worker: str) -> str:
        return ", ".join(f"`{tag}`" for tag, known in tags[worker].items() if known == name) or "-"

    ours = {"episode/return", "episode/length"} | evaluation_names()
    rows = [
        f"| `{name}` | {'yes' if name in own else '-'} | {cell(name, 'sb3')} | {cell(name, 'cleanrl')} |"
        for name in VOCABULARY
        if name not in ours
    ]
    return "\n".join(["| name | dqn | sb3 | cleanrl |", "|---|---|---|---|", *rows])


def cleanrl_scripts() -> str:
    """Return the table of CleanRL's scripts: family, spaces, where they are, and what they need on any machine."""
    released = {script.name: script for script in CATALOGUE}
    listed = json.loads(MASTER.read_text(encoding="utf-8"))["scripts"]
    master = {
        entry["name"]: Algorithm(entry["name"], tuple(entry["action_spaces"]), entry["image"], tuple(entry["needs"]))
        for entry in listed
    }
    rows = []
    order = [*FAMILIES, ""]
    for name in sorted({*released, *master}, key=lambda name: (order.index(family_of(name)), name)):
        versions = {"1.2.0": released.get(name), "master": master.get(name)}
        there = {version: script for version, script in versions.items() if script is not None}
        script = next(iter(there.values()))
        spaces = " or ".join(script.action_spaces) or "any", "image" if script.image else "vector"
        needs = {version: _runs(found.needs) for version, found in there.items()}
        says = [*dict.fromkeys(needs.values())]
        runs = says[0] if len(says) == 1 else "; ".join(f"{version}: {text}" for version, text in needs.items())
        rows.append(f"| {family_of(name)} | `{name}` | {spaces[0]} | {spaces[1]} | {', '.join(there)} | {runs} |")
    header = "| family | script | actions | observations | in | runs |"
    return "\n".join([header, "|---|---|---|---|---|---|", *rows])


def _runs(modules: tuple[str, ...]) -> str:
    reason = why_impossible(modules)
    if reason is not None:
        return f"cannot: {reason}"
    return f"needs `pip install {packages_of(modules)}`" if modules else "runs"


def callbacks() -> str:
    """Return the table of rlctl's callbacks: what each does, where it lives, and its options with their defaults."""
    rows = []
    for found in rlctl_callbacks():
        options = [f"`{item.name}` (`{json.dumps(item.default)}`): {item.doc}" for item in found.options]
        needs = ", ".join(f"`{name}`" for name in found.requires) or "-"
        rows.append(
            f"| `{found.name}` | {found.summary} | {found.process.value} | {needs} | {'<br>'.join(options) or '-'} |"
        )
    return "\n".join(["| callback | what it writes or shows | in | needs | options |", "|---|---|---|---|---|", *rows])


def learning() -> str:
    """Return the tables of what agents have learned."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from benchmarks.learning import table

    return "\n" + table() + "\n"


PARTS: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("callbacks.md", "callbacks", callbacks),
    ("cleanrl.md", "scripts", cleanrl_scripts),
    ("configuration.md", "keys", config_reference),
    ("metrics.md", "vocabulary", vocabulary),
    ("metrics.md", "native tags", native_tags),
    ("benchmarks/dqn.md", "learning", learning),
)
"""Page, name of the part, and what makes it."""


def markers(part: str) -> tuple[str, str]:
    """Return the lines before and after a generated part."""
    return f"<!-- generated by `make docs`: {part} -->", f"<!-- end of {part} -->"


def replaced(text: str, part: str, content: str) -> str:
    """Return `text` with `content` between the markers of `part`. Raises ValueError without exactly one pair."""
    start, end = markers(part)
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"expected the markers of {part} once each")
    before, _, rest = text.partition(start)
    return f"{before}{start}\n{content}\n{end}{rest.partition(end)[2]}"


def main() -> int:
    """Bring all parts up to date, or with `--check` say which are not."""
    stale = []
    for page, part, make in PARTS:
        path = DOCS / page
        text = path.read_text(encoding="utf-8")
        new = replaced(text, part, make())
        if new != text:
            stale.append(f"{page}: {part}")
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8")
    for line in stale:
        sys.stderr.write(f"{'out of date' if '--check' in sys.argv else 'written'}: {line}\n")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
