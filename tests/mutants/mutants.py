"""The table of seeded mistakes: small, likely ones, each of which the tests must find.

`tests` names what is most likely to find a mistake and is cheap: oracles of single functions and golden cases before
whole rounds. `python -m tests.mutants` shows whether they do.
"""

from __future__ import annotations

from tests.mutants.attacks_data_poisoning import DATA_POISONING
from tests.mutants.attacks_images import IMAGES
from tests.mutants.attacks_targeted import TARGETED
from tests.mutants.attacks_untargeted import UNTARGETED
from tests.mutants.checkpoints import CHECKPOINTS
from tests.mutants.clients_and_uploads import CLIENTS, UPLOADS
from tests.mutants.defenses import DEFENSES
from tests.mutants.metrics_and_data import METRICS, POPULARITY, SPLITS
from tests.mutants.mutant import Mutant
from tests.mutants.server_and_federation import FEDERATION, SERVER
from tests.mutants.simulation import SIMULATION
from tests.mutants.sweep import SWEEP

MUTANTS: tuple[Mutant, ...] = (
  *DATA_POISONING, *TARGETED, *UNTARGETED, *IMAGES, *DEFENSES, *CLIENTS, *UPLOADS, *SERVER, *FEDERATION, *SIMULATION,
  *CHECKPOINTS, *POPULARITY, *METRICS, *SPLITS, *SWEEP,
)
