"""Mistakes in attacks that poison data."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DATA_POISONING = (
  Mutant(
    "filler_budget",
    "fedrecjax/attacks/data_poisoning/shilling.py",
    "count, others = max_rows // 2 - num_targets, context.num_items - num_targets",
    "count, others = max_rows - num_targets, context.num_items - num_targets",
    "a profile's negatives are not counted among the rows it may upload",
    ("tests/attacks/data_poisoning/test_shilling.py::test_profiles_hold_the_targets_and_different_fillers",),
  ),
  Mutant(
    "bandwagon_repeats",
    "fedrecjax/attacks/data_poisoning/shilling.py",
    'rest = _fillers("bandwagon.max_rows", np.setdiff1d(ranked, popular_items), count - from_top, rng)',
    'rest = _fillers("bandwagon.max_rows", ranked, count - from_top, rng)',
    "a popular filler is drawn twice",
    ("tests/attacks/data_poisoning/test_shilling.py::test_profiles_hold_the_targets_and_different_fillers",),
  ),
  Mutant(
    "shilling_popularity_order",
    "fedrecjax/attacks/data_poisoning/shilling.py",
    'order = np.argsort(-popularity, kind="stable")',
    'order = np.argsort(popularity, kind="stable")[::-1]',
    "equally popular items are ordered the wrong way round",
    ("tests/attacks/data_poisoning/test_shilling.py::test_popular_profile",),
  ),
  Mutant(
    "mf_poison_targets_as_fillers",
    "fedrecjax/attacks/data_poisoning/mf_poison.py",
    "found[:, context.targets] = -1.0",
    "found[:, context.targets] = 2.0",
    "targets are not excluded from the fillers",
    ("tests/attacks/data_poisoning/test_data_poisoning.py::test_profiles_hold_the_targets_and_different_fillers",),
  ),
  Mutant(
    "mf_poison_projection_free",
    "fedrecjax/attacks/data_poisoning/mf_poison.py",
    "too_much = jnp.sum(jnp.clip(profile - middle, 0, 1)) > budget",
    "too_much = jnp.sum(jnp.maximum(profile - middle, 0)) > budget",
    "the projection forgets that no number exceeds 1",
    ("tests/attacks/data_poisoning/test_data_poisoning.py::test_projections",),
  ),
  Mutant(
    "dl_poison_penalty_margin",
    "fedrecjax/attacks/data_poisoning/dl_poison.py",
    "return jnp.maximum(jax.nn.log_sigmoid(reference) - jax.nn.log_sigmoid(target), -margin)",
    "return jnp.maximum(jax.nn.log_sigmoid(reference) - jax.nn.log_sigmoid(target), margin)",
    "the margin has the wrong sign",
    ("tests/attacks/data_poisoning/test_data_poisoning.py::test_a_penalty_stops_pulling_at_its_margin",),
  ),
  Mutant(
    "dl_poison_chance_never_reset",
    "fedrecjax/attacks/data_poisoning/dl_poison.py",
    "if np.all(np.delete(chance, targets) < 1):",
    "if np.all(chance < 1):",
    "targets are not left out when it is asked whether all items were chosen",
    ("tests/attacks/data_poisoning/test_data_poisoning.py::test_fillers_and_probabilities",),
  ),
  Mutant(
    "label_flip_of_the_benign",
    "fedrecjax/attacks/data_poisoning/label_flip.py",
    "return samples._replace(flipped=malicious)",
    "return samples._replace(flipped=~malicious)",
    "benign clients swap their labels instead",
    ("tests/attacks/data_poisoning/test_label_flip.py::test_uploads_are_gradients_of_the_flipped_loss",),
  ),
  Mutant(
    "fedattack_own_item_as_negative",
    "fedrecjax/attacks/data_poisoning/fedattack.py",
    "return lowest[rank_from_below], highest[ranks + (ranks >= own_rank)]",
    "return lowest[rank_from_below], highest[ranks + (ranks > own_rank)]",
    "the sample's own item may be its negative",
    ("tests/attacks/data_poisoning/test_fedattack.py::test_samples",),
  ),
)
