"""Spattack: malicious clients cancel the benign gradients item by item, or drown them in one common noise.

"O" attacks know the benign gradients and "L" attacks do not; "D" (dense) ones upload all items and "S" (sparse) ones no
more than a benign client would. Where the paper and its published code differ, the choice is an option;
docs/fidelity_attacks.md compares them.
"""

from __future__ import annotations

import dataclasses

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.untargeted.spattack_uploads import (
  NoiseOptions,
  OppositeOptions,
  SparseOptions,
  list_of_popular,
  no_list,
  noise_attack,
  opposite_attack,
)
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.methods.options import keywords_of
from fedrecjax.types import Attack


@ATTACKS.register
@traced
@keywords_of(OppositeOptions)
def spattack_od(options: OppositeOptions) -> Attack:
  """Spattack-O-D: all malicious clients of a round upload minus the benign sum of every item, in equal shares.

  Returns:
    A model-poisoning attack that sees all benign uploads of the round.

  Raises:
    ValueError: if `seen_clip` is not positive.

  References:
    "Spattack", AAAI 2025, sections "Spattack: Byzantine Attack Strategies" and RQ3; Table 1.
  """
  return opposite_attack("spattack_od", options, no_list, frozenset())


@ATTACKS.register
@traced
@keywords_of(NoiseOptions)
def spattack_ld(options: NoiseOptions) -> Attack:
  """Spattack-L-D: all malicious clients upload the same normal noise for every item.

  Returns:
    A model-poisoning attack without knowledge.

  Raises:
    ValueError: if `scale` is not positive.

  References:
    "Spattack", AAAI 2025, sections "Spattack: Byzantine Attack Strategies" and RQ3; Table 1.
  """
  return noise_attack("spattack_ld", options, no_list, frozenset())


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparseOppositeOptions(OppositeOptions, SparseOptions):
  """Hyperparameters of :func:`spattack_os`."""


@ATTACKS.register
@traced
@keywords_of(SparseOppositeOptions)
def spattack_os(options: SparseOppositeOptions) -> Attack:
  """Spattack-O-S: as Spattack-O-D, but each malicious client keeps to a list of items of its own.

  The lists are drawn once, without replacement and in proportion to popularity. An item's benign sum is shared by
  those malicious clients of the round that hold it; an item that none of them holds is left alone.

  Returns:
    A model-poisoning attack that sees all benign uploads of the round and knows how popular items are.

  Raises:
    ValueError: if `max_items` or `seen_clip` is not positive.

  References:
    "Spattack", AAAI 2025, sections "Spattack: Byzantine Attack Strategies" and RQ3; Table 1.
  """
  return opposite_attack("spattack_os", options, *list_of_popular("spattack_os", options))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparseNoiseOptions(NoiseOptions, SparseOptions):
  """Hyperparameters of :func:`spattack_ls`."""


@ATTACKS.register
@traced
@keywords_of(SparseNoiseOptions)
def spattack_ls(options: SparseNoiseOptions) -> Attack:
  """Spattack-L-S: as Spattack-L-D, but each malicious client keeps to a list of items of its own.

  Returns:
    A model-poisoning attack that knows how popular items are.

  Raises:
    ValueError: if `max_items` or `scale` is not positive.

  References:
    "Spattack", AAAI 2025, sections "Spattack: Byzantine Attack Strategies" and RQ3; Table 1.
  """
  return noise_attack("spattack_ls", options, *list_of_popular("spattack_ls", options))
