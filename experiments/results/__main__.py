"""Runs the command; see :mod:`experiments.results.command`."""

import sys

from experiments.results.command import main

if __name__ == "__main__":
  sys.exit(main())
