"""Runs the command; see :mod:`experiments.image_report.command`."""

import sys

from experiments.image_report.command import main

if __name__ == "__main__":
  sys.exit(main())
