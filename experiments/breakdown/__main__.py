"""Runs the command; see :mod:`experiments.breakdown.command`."""

import sys

from experiments.breakdown.command import main

if __name__ == "__main__":
  sys.exit(main())
