"""What this package brings to rlctl: descriptors only."""

from rlctl import ActionSpace, AlgorithmDescriptor, Mode, ObservationSpace, Resume, WorkerDescriptor, hookimpl


@hookimpl
def rlctl_workers() -> list[WorkerDescriptor]:
    return [
        WorkerDescriptor(
            name="dqn",
            summary="rlctl's own DQN in PyTorch",
            entry_point="rlctl_dqn.worker:DqnWorker",
            algorithms=(
                AlgorithmDescriptor(
                    name="dqn",
                    summary="Deep Q-network (Mnih et al. 2015) for vector observations; defaults of CleanRL's dqn.py",
                    action_spaces=(ActionSpace.DISCRETE,),
                    observation_spaces=(ObservationSpace.VECTOR,),
                    hyperparameters="rlctl_dqn.config:hyperparameters",
                    default_env="CartPole-v1",
                    default_total_timesteps=500_000,
                ),
            ),
            requires=("torch>=2.3", "gymnasium>=1.0", "numpy>=1.26", "safetensors"),
            estimated_memory_mb=400,
            resume=Resume.EXACT,
            modes=(Mode.TRAIN, Mode.EVALUATE),
        )
    ]
