"""Runs the command; see :mod:`experiments.bench.command`."""

import sys

from experiments.bench.command import main

if __name__ == "__main__":
  sys.exit(main())
