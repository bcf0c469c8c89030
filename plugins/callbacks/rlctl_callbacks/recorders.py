"""Descriptors of what records steps and films, and of the formats in which records leave; light, as all of plugin.py."""

from typing import Any

from rlctl import CallbackDescriptor, ExportDescriptor, Parameter

_CHUNK = Parameter(
    name="chunk_steps", kinds=("integer",), default=8192, minimum=16, doc="Most steps of an environment in one file."
)  # fmt: skip
_LONGEST = Parameter(
    name="flush_seconds", kinds=("number",), default=10.0, exclusive_minimum=0, doc="Longest time until steps are on disk."
)  # fmt: skip
_INFOS = Parameter(
    name="infos", kinds=("array",), default=[], doc="Entries of `info` to record: numbers, or arrays of one shape."
)  # fmt: skip
_EVERY = Parameter(
    name="every_episodes", kinds=("integer",), default=1, minimum=1, doc="Only of each so-many-th episode, the first one included."
)  # fmt: skip

_VIDEO = (
    Parameter(name="every_steps", kinds=("integer", "null"), minimum=1, doc="Film each time so many steps were taken."),
    Parameter(
        name="every_episodes",
        kinds=("integer", "null"),
        minimum=1,
        doc="Film each time so many training episodes ended.",
    ),
    Parameter(name="episodes", kinds=("integer",), default=1, minimum=1, maximum=1000, doc="Episodes in one film."),
    Parameter(name="max_steps", kinds=("integer", "null"), minimum=1, doc="Steps after which a film ends in any case."),
    Parameter(
        name="height",
        kinds=("integer", "null"),
        minimum=16,
        maximum=4320,
        doc="Pixels, an even number; the width follows.",
    ),
    Parameter(
        name="fps",
        kinds=("number", "null"),
        exclusive_minimum=0,
        doc="Pictures a second; by default the environment's.",
    ),
    Parameter(name="format", kinds=("string",), default="mp4", choices=("mp4", "gif"), doc="Kind of file."),
    Parameter(name="stochastic", kinds=("boolean",), default=False, doc="Let the policy sample its actions."),
)

_MINARI = (
    Parameter(
        name="dataset_id", kinds=("string", "null"), doc="Minari's id of the dataset; by default `rlctl/ENV/ALGO-v0`."
    ),
)
_EPISODES = (
    Parameter(name="actions", kinds=("boolean",), default=False, doc="With the actions, as `actions` recorded them."),
    Parameter(name="frames", kinds=("boolean",), default=False, doc="With the pictures, as `frames` recorded them."),
    Parameter(name="transitions", kinds=("boolean",), default=False, doc="With what `transitions` recorded."),
    Parameter(name="agent_logs", kinds=("boolean",), default=False, doc="With the metrics reported in each episode."),
    Parameter(
        name="reward_info",
        kinds=("string", "null"),
        doc="Entry of `info` that counts in `ep_return` in place of the reward.",
    ),
)


def recorders() -> list[CallbackDescriptor]:
    """Return the callbacks that record."""
    return [
        _steps("transitions", "each step of training as arrays, for rlctl.load_transitions and Minari", _INFOS),
        _steps("actions", "the actions of training as arrays, for rlctl.load_actions"),
        _steps("frames", "pictures of training episodes as arrays, for rlctl.load_frames", _EVERY),
        CallbackDescriptor(
            name="video",
            summary="films of the policy while it trains, in videos/",
            factory="rlctl_callbacks.video:Video",
            needs_policy=True,
            options=_VIDEO,
            requires=("gymnasium>=1.0", "imageio>=2.31", "imageio-ffmpeg>=0.4.9"),
        ),
    ]


def _steps(name: str, summary: str, *own: Parameter) -> CallbackDescriptor:
    """Return a callback that records steps; its observer is the class of `recording` that has its name."""
    return CallbackDescriptor(
        name=name,
        summary=summary,
        factory="rlctl_callbacks.recording:Records",
        env_observer=f"rlctl_callbacks.recording:{name.title()}",
        options=(_CHUNK, _LONGEST, *own),
        requires=("gymnasium>=1.0", "numpy>=1.26"),
    )


def formats_of_records() -> list[ExportDescriptor]:
    """Return the formats of `rlctl export` that need no policy."""
    without_a_policy: dict[str, Any] = {"needs_policy": False}
    return [
        ExportDescriptor(
            name="minari",
            summary="transitions as a Minari dataset, for offline learning",
            entry_point="rlctl_callbacks.minari_export:write",
            filename="minari",
            options=_MINARI,
            requires=("minari>=0.5", "h5py>=3.8"),
            install="pip install 'rlctl-callbacks[minari]'",
            **without_a_policy,
        ),
        ExportDescriptor(
            name="metrics-json",
            summary="rewards, lengths, evaluations, losses, epsilons and Q-values as parallel lists",
            entry_point="rlctl_callbacks.metrics_json:write",
            filename="metrics.json",
            **without_a_policy,
        ),
        ExportDescriptor(
            name="episodes",
            summary="a record for each training episode, as lines of JSON",
            entry_point="rlctl_callbacks.episode_records:write",
            filename="episodes.jsonl",
            options=_EPISODES,
            requires=("gymnasium>=1.0", "numpy>=1.26"),
            **without_a_policy,
        ),
    ]
