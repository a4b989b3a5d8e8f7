"""The command `python -m experiments.attack_costs`; see :mod:`experiments.bench.attack_costs`."""

import sys

from experiments.bench.attack_costs import main

if __name__ == "__main__":
  sys.exit(main())
