"""The command `python -m experiments.purification_bench`; see :mod:`experiments.bench.purification`."""

import sys

from experiments.bench.purification import main

if __name__ == "__main__":
  sys.exit(main())
