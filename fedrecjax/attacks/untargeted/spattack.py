"""Spattack: malicious clients cancel the benign gradients item by item, or drown them in one common noise.

"O" attacks know the benign gradients and "L" attacks do not; "D" (dense) ones upload all items and "S" (sparse) ones no
more than a benign client would. Where the paper and its published code differ, the choice is an option;
docs/fidelity_attacks.md compares them.
"""

from __future__ import annotations

from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.untargeted.spattack_uploads import (
  Copies,
  Knowledge,
  Limit,
  Redraw,
  list_of_popular,
  no_list,
  noise_attack,
  opposite_attack,
)
from fedrecjax.methods.hyperparameters import traced
from fedrecjax.types import Attack


@ATTACKS.register
@traced
def spattack_od(
  *,
  copies: Copies = "sum",
  knowledge: Knowledge = "benign",
  seen_clip: float | None = None,
  upload_shared: bool = True,
) -> Attack:
  """Spattack-O-D: all malicious clients of a round upload minus the benign sum of every item, in equal shares.

  Args:
    copies: where a benign client sends several rows for one item, their "sum" counts, or only the "last" one as in
      the published code, whose earlier copies hold nothing but the L2 term.
    knowledge: "benign" gradients of the round are known (paper), or only those that the round's malicious clients
      would send if they behaved, "own": their sum, times the number of other clients over their own. The paper has no
      such variant.
    seen_clip: benign rows are clipped to this norm before they are added up, as in the published code under its Norm
      defence; none: they are taken as sent.
    upload_shared: whether the same is done to all shared parameters (the paper's test on FedGNN). Without effect on
      models that have none.

  Returns:
    A model-poisoning attack that sees all benign uploads of the round.

  Raises:
    ValueError: if `seen_clip` is not positive.

  References:
    "Spattack", AAAI 2025, sections "Spattack: Byzantine Attack Strategies" and RQ3; Table 1.
  """
  return opposite_attack("spattack_od", copies=copies, knowledge=knowledge, seen_clip=seen_clip,
                   upload_shared=upload_shared, init=no_list, requires=frozenset())


@ATTACKS.register
@traced
def spattack_ld(
  *,
  scale: float = 1.0,
  redraw: Redraw = "never",
  per_client: bool = False,
  upload_shared: bool = True,
) -> Attack:
  """Spattack-L-D: all malicious clients upload the same normal noise for every item.

  Args:
    scale: standard deviation of the noise; 1 is the published code's, the paper gives none.
    redraw: the noise stays the same for the whole run, "never" (published code), or is drawn "every_round".
    per_client: whether each malicious client has a noise of its own; in paper and published code they share one.
    upload_shared: whether noise is uploaded for all shared parameters too (the paper's test on FedGNN).

  Returns:
    A model-poisoning attack without knowledge.

  Raises:
    ValueError: if `scale` is not positive.

  References:
    "Spattack", AAAI 2025, sections "Spattack: Byzantine Attack Strategies" and RQ3; Table 1.
  """
  return noise_attack("spattack_ld", scale=scale, redraw=redraw, per_client=per_client, upload_shared=upload_shared,
                hold=no_list, requires=frozenset())


@ATTACKS.register
@traced
def spattack_os(
  *,
  max_items: int | None = None,
  limit: Limit = "uploads",
  copies: Copies = "sum",
  knowledge: Knowledge = "benign",
  seen_clip: float | None = None,
  upload_shared: bool = True,
) -> Attack:
  """Spattack-O-S: as Spattack-O-D, but each malicious client keeps to a list of items of its own.

  The lists are drawn once, without replacement and in proportion to popularity. An item's benign sum is shared by
  those malicious clients of the round that hold it; an item that none of them holds is left alone.

  Args:
    max_items: items of each malicious client, m_max. None: as many as the benign client with most, for which alone the
      attack must be granted all interactions.
    limit: what that client is counted by: the different items that it "uploads", negatives too, as in the published
      code (1261 on MovieLens-100K), here as expected with one negative for each item; or its "interactions" (paper's
      text). Without effect where `max_items` is given.
    copies: where a benign client sends several rows for one item, their "sum" counts, or only the "last" one.
    knowledge: "benign" gradients are known (paper), or only the malicious clients' "own", as in `spattack_od`.
    seen_clip: norm to which benign rows are clipped before they are added up; none: they are taken as sent.
    upload_shared: whether the same is done to all shared parameters, by all malicious clients of the round.

  Returns:
    A model-poisoning attack that sees all benign uploads of the round and knows how popular items are.

  Raises:
    ValueError: if `max_items` or `seen_clip` is not positive.

  References:
    "Spattack", AAAI 2025, sections "Spattack: Byzantine Attack Strategies" and RQ3; Table 1.
  """
  hold, requires = list_of_popular("spattack_os", max_items, limit)
  return opposite_attack("spattack_os", copies=copies, knowledge=knowledge, seen_clip=seen_clip,
                   upload_shared=upload_shared, init=hold, requires=requires)


@ATTACKS.register
@traced
def spattack_ls(
  *,
  max_items: int | None = None,
  limit: Limit = "uploads",
  scale: float = 1.0,
  redraw: Redraw = "never",
  per_client: bool = False,
  upload_shared: bool = True,
) -> Attack:
  """Spattack-L-S: as Spattack-L-D, but each malicious client keeps to a list of items of its own.

  Args:
    max_items: items of each malicious client, m_max, drawn as in `spattack_os`. None: as many as the benign client
      with most.
    limit: what that client is counted by: the different items that it "uploads", or its "interactions", as in
      `spattack_os`.
    scale: standard deviation of the noise.
    redraw: the noise stays the same for the whole run, "never", or is drawn "every_round".
    per_client: whether each malicious client has a noise of its own.
    upload_shared: whether noise is uploaded for all shared parameters too.

  Returns:
    A model-poisoning attack that knows how popular items are.

  Raises:
    ValueError: if `max_items` or `scale` is not positive.

  References:
    "Spattack", AAAI 2025, sections "Spattack: Byzantine Attack Strategies" and RQ3; Table 1.
  """
  hold, requires = list_of_popular("spattack_ls", max_items, limit)
  return noise_attack("spattack_ls", scale=scale, redraw=redraw, per_client=per_client, upload_shared=upload_shared,
                hold=hold, requires=requires)
