"""A worker that is killed by cells of seed 1, as the system kills a process that takes too much memory."""

import os
import signal
import sys

from experiments.sweep import run, worker

simulate = run.simulate_config


def deadly(config, *rest, **options):
  if config.seed == 1:
    os.kill(os.getpid(), signal.SIGKILL)
  return simulate(config, *rest, **options)


if __name__ == "__main__":
  run.simulate_config = deadly
  worker.main(sys.argv)
