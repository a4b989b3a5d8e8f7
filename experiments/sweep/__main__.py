"""Runs the command; see :mod:`experiments.sweep.command`."""

import sys

from experiments.sweep.command import main

if __name__ == "__main__":
  sys.exit(main())
