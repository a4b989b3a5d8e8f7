"""Runs the command; see :mod:`experiments.gradients.command`."""

import sys

from experiments.gradients.command import main

if __name__ == "__main__":
  sys.exit(main())
