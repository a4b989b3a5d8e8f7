"""Runs the command; see :mod:`experiments.compatibility.command`."""

import sys

from experiments.compatibility.command import main

if __name__ == "__main__":
  sys.exit(main())
