#!/usr/bin/env bash
# @description DQN learns CartPole in short episodes first, then goes on with these weights in long ones
# @phases 2
# @total_timesteps 3000
# @env_family classic_control
#
# rlctl scripts run cartpole_two_phases --folder examples/scripts -- [SEED]
set -euo pipefail

PHASE1_ENV="CartPole-v1"
PHASE2_ENV="CartPole-v1"
seed="${1:-1}"
# By hand, without `rlctl scripts run`, the id of this shell stands for that of the execution.
first="${RLCTL_SCRIPT:-$$}-1"

rlctl run dqn "$PHASE1_ENV" --run-id "$first" --seed "$seed" --total-timesteps 1500 \
    --set env.max_episode_steps=100 --set hyperparameters.learning_starts=200

rlctl run dqn "$PHASE2_ENV" --init-from "$first" --seed "$seed" --total-timesteps 1500 \
    --set hyperparameters.learning_starts=200
