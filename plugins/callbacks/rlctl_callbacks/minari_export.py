"""`rlctl export --format minari`: the transitions of a run as a dataset of Minari, the format of the Farama foundation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minari import __version__ as minari_version
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_dataset import parse_dataset_id
from minari.dataset.minari_storage import MinariStorage

from rlctl import Exportable, RlctlError
from rlctl.gym.environments import make_env
from rlctl.gym.transitions import EpisodeTransitions, load_transitions


def write(exportable: Exportable) -> dict[str, Any]:
    """Write the folder, below which the dataset lies under its id; raises RlctlError for a run without whole episodes."""
    assert exportable.directory is not None
    options, config = exportable.options, exportable.config
    name = (
        options["dataset_id"]
        or f"rlctl/{config['env']['id'].replace('/', '-').replace(':', '-').lower()}/{config['algo']}-v0"
    )
    try:
        parse_dataset_id(name)
    except ValueError as error:
        raise RlctlError(
            f'"{name}" is no id of a dataset: {error}.', hint="--option dataset_id=cartpole/mine-v0"
        ) from error
    env = make_env(config["env"])
    folder = exportable.path / name / "data"
    folder.mkdir(parents=True)
    storage = MinariStorage.new(
        folder,
        observation_space=env.observation_space,
        action_space=env.action_space,
        env_spec=env.spec,
        data_format="hdf5",
        jpeg_encoding=False,  # what is exported is what was seen, to the last bit
    )
    env.close()
    identity = exportable.identity
    storage.update_metadata(
        {
            "dataset_id": name,
            "algorithm_name": f"{identity['worker']}/{identity['algo']}",
            "minari_version": minari_version,
            "description": f"Training episodes of rlctl's run {identity['run_id']}, seed {config['seed']}.",
        }
    )
    counts = {"episodes": 0, "steps": 0, "left_out": 0}
    storage.update_episodes(_buffers(exportable, counts))
    if not counts["episodes"]:
        raise RlctlError("no episode has come to its end in what was recorded.")
    return {"dataset_id": name, **counts}


def _buffers(exportable: Exportable, counts: dict[str, int]) -> Iterator[EpisodeBuffer]:
    """Yield the episodes that have come to their end, and count them; the others are left out."""
    for episode in load_transitions(exportable.directory):
        if not episode.ended:
            counts["left_out"] += 1
            continue
        yield _buffer(episode, counts["episodes"])
        counts["episodes"] += 1
        counts["steps"] += len(episode)


def _buffer(episode: EpisodeTransitions, number: int) -> EpisodeBuffer:
    return EpisodeBuffer(
        id=number,
        seed=episode.seed,
        observations=episode.observations,
        actions=episode.actions,
        rewards=episode.rewards.tolist(),
        terminations=episode.terminations.tolist(),
        truncations=episode.truncations.tolist(),
        infos=dict(episode.infos) or None,
    )
