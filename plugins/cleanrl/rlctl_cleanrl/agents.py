"""`hyperparameters.network`: which networks can stand for a script's own, and for which scripts. Light."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rlctl import Parameter, Problem
from rlctl.errors import did_you_mean

NETWORKS = ("minigrid_cnn", "mlp")
METHODS = {
    "get_value": "get_value(x)",
    "get_action_and_value": "get_action_and_value(x, action=None), which returns action, log_prob, entropy, value",
}
_DOTTED = re.compile(r"[\w.]+:\w+")
_PATH = "hyperparameters.network"

NETWORK = Parameter(
    name="network",
    kinds=("null", "string"),
    default=None,
    doc="The network in the place of the script's own: minigrid_cnn (three convolutions, for grids of any height and width), mlp "
    "(two layers of 64, shared), or package.module:Class.",
)


def network_problems(script: Mapping[str, Any], network: Any) -> Iterator[Problem]:
    """Yield why a script of the index that can have another network cannot have this one; what is no string, rlctl says."""
    name = script["name"]
    if not isinstance(network, str):
        return
    if network not in NETWORKS and not _DOTTED.fullmatch(network):
        expected = f'expected {", ".join(NETWORKS)} or package.module:Class, got "{network}".'
        yield Problem(_PATH, expected, did_you_mean(network, NETWORKS))
    elif network in NETWORKS and script["image"]:
        yield Problem(_PATH, f"{name}.py makes pictures of its observations, and {network} takes none.")
    elif network == "minigrid_cnn" and script["flattens"]:
        yield Problem(_PATH, f"{name}.py lays observations flat, and minigrid_cnn takes grids.", "Take mlp.")
