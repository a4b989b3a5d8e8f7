"""Runs the command; see :mod:`experiments.data.command`."""

import sys

from experiments.data.command import main

if __name__ == "__main__":
  sys.exit(main())
