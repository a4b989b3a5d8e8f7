"""Label flipping: malicious clients train on their own data with the labels swapped."""

from __future__ import annotations

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.types import Array, Attack, AttackView, Samples, State


@ATTACKS.register
@traced
def label_flip() -> Attack:
  """Malicious clients take their positives for negatives and their negatives for positives.

  With cross-entropy the positive has label 0 and its negatives label 1; with BPR every negative is to be ranked above
  the positive. Items, uploads and the training of the clients' own vectors are otherwise those of honest clients.

  Returns:
    A data-poisoning attack of clients with data of their own; it knows nothing else.

  References:
    Tolpegin et al., "Data Poisoning Attacks Against Federated Learning Systems", 2020, for implicit feedback as the
    baseline of Yu et al. (ClusterAttack), 2023, and of Spattack needs it.
  """

  def samples(state: State, samples: Samples, view: AttackView, malicious: Array, key: Array) -> Samples:
    del state, view, key
    return samples._replace(flipped=malicious)

  return Attack(samples=samples, requires=frozenset({"own_data"}))
