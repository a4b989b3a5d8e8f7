"""No attack: the run that every other is compared with."""

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.types import Attack


@ATTACKS.register
@traced
def none() -> Attack:
  """No malicious clients take part; exposure of the targets is measured all the same."""
  return Attack()
