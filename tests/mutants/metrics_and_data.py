"""Mistakes in popularity, metrics and data sets."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

POPULARITY = (
  Mutant(
    "mining_excludes_nothing",
    "fedrecjax/popularity/mining.py",
    "handicap=jnp.zeros(num_items, jnp.float32).at[jnp.asarray(excluded, jnp.int32)].set(-jnp.inf),",
    "handicap=jnp.zeros(num_items, jnp.float32),",
    "targets are not excluded from the popular items",
    ("tests/popularity/test_mining.py::test_mining_matches_after_every_round",),
  ),
  Mutant(
    "mining_last_change_alone",
    "fedrecjax/popularity/mining.py",
    "moved += row_norms(tables[newer] - tables[older])",
    "moved += row_norms(tables[newer])",
    "lengths are added up instead of changes",
    ("tests/popularity/test_mining.py::test_mining_matches_after_every_round",),
  ),
  Mutant(
    "mining_place_freed_early",
    "fedrecjax/popularity/mining.py",
    "free.extend(freed_at.pop(number, []))",
    "free.extend(freed_at.pop(number + 1, []))",
    "a table's place is used again a round too early",
    ("tests/popularity/test_mining.py::test_places_of_tables_are_used_again_and_never_too_early",),
  ),
)

METRICS = (
  Mutant(
    "hit_with_ties",
    "fedrecjax/metrics/ranking.py",
    "return jnp.clip((k - place.better) / (place.equal + 1), 0.0, 1.0)",
    "return jnp.where(place.better < k, 1.0, 0.0)",
    "ties are broken in the item's favour",
    (
      "tests/metrics/test_ranking.py::test_a_constant_model_hits_by_chance",
    ),
  ),
  Mutant(
    "ndcg_discount",
    "fedrecjax/metrics/ranking.py",
    "np.cumsum(1 / np.log2(1 + ranks))",
    "np.cumsum(1 / np.log2(2 + ranks))",
    "ranks are discounted a place too much",
    ("tests/metrics/test_ranking.py::test_discounts",),
  ),
  Mutant(
    "exposure_mean_over_all_targets",
    "fedrecjax/metrics/exposure.py",
    "jnp.sum(jnp.where(eligible, hit(place, k), 0.0)) / jnp.maximum(jnp.sum(eligible, dtype=jnp.int32), 1)",
    "jnp.mean(jnp.where(eligible, hit(place, k), 0.0))",
    "targets that a user has count as not exposed",
    ("tests/metrics/test_ranking.py::test_exposure_of_targets",),
  ),
  Mutant(
    "detection_of_any_row",
    "fedrecjax/metrics/detection.py",
    "clients = counts((rows > 0) & (rows_flagged == rows), rows > 0, malicious)",
    "clients = counts((rows > 0) & (rows_flagged > 0), rows > 0, malicious)",
    "a client counts as flagged when any of its rows is",
    ("tests/metrics/test_detection.py::test_verdicts_count_clients_and_rows",),
  ),
  Mutant(
    "detection_precision",
    "fedrecjax/metrics/detection.py",
    "shares = ((caught, caught + false), (caught, malicious), (false, benign))",
    "shares = ((caught, malicious), (caught, caught + false), (false, benign))",
    "precision and recall are swapped",
    ("tests/metrics/test_detection.py::test_columns_are_shares_of_the_counts",),
  ),
  Mutant(
    "stealth_ties",
    "fedrecjax/metrics/stealth.py",
    "shorter = jnp.cumsum(benign) - 0.5 * benign",
    "shorter = jnp.cumsum(benign)",
    "equally long rows count as shorter",
    (
      "tests/attacks/test_grants.py::test_of_rows_of_one_length_each_is_half_behind_the_other",
    ),
  ),
  Mutant(
    "interval_biased",
    "fedrecjax/metrics/stats.py",
    "error = float(array.std(ddof=1)) / math.sqrt(array.size)",
    "error = float(array.std()) / math.sqrt(array.size)",
    "the deviation of a sample is divided by n instead of n - 1",
    ("tests/metrics/test_stats.py::test_interval_of_a_textbook_sample",),
  ),
  Mutant(
    "pairs_by_place",
    "fedrecjax/metrics/stats.py",
    "return first[1][place] - second[1][baseline_place]",
    "return first[1][: common.size] - second[1][: common.size]",
    "users are paired by place instead of number",
    ("tests/metrics/test_stats.py::test_pairs_follow_users_not_places",),
  ),
)

SPLITS = (
  Mutant(
    "digest_of_one_file",
    "fedrecjax/datasets/named.py",
    "return (file, *(one for one in beside if one is not None))",
    "return (file,)",
    "the digest of data leaves out the files beside the first",
    ("tests/datasets/test_digests.py::test_files_beside_belong_to_it_where_they_are_read",),
  ),
  Mutant(
    "split_holds_out_the_first",
    "fedrecjax/datasets/splits.py",
    "held_out[ends[lengths > 0] - 1] = True",
    "held_out[starts[lengths > 0]] = True",
    "a user's first row is held out instead of the last",
    ("tests/datasets/test_splits.py::test_splits_by_hand",),
  ),
  Mutant(
    "split_ties",
    "fedrecjax/datasets/splits.py",
    "return np.lexsort((interactions.time, interactions.users))",
    "return np.lexsort((-np.arange(len(interactions)), interactions.time, interactions.users))",
    "of rows of the same time the earlier in the file is held out",
    ("tests/datasets/test_splits.py::test_of_tied_rows_the_later_in_the_file_is_held_out",),
  ),
  Mutant(
    "split_ratio_leaves_nothing",
    "fedrecjax/datasets/splits.py",
    "wanted = np.minimum(np.floor(test_ratio * lengths + 0.5), lengths - 1)",
    "wanted = np.floor(test_ratio * lengths + 0.5)",
    "a user may be left without a training row",
    ("tests/datasets/test_splits.py::test_ratio_rounds_and_leaves_a_training_row",),
  ),
  Mutant(
    "validation_items_trained",
    "fedrecjax/datasets/splits.py",
    "for part in (~held_out & ~aside, held_out, aside)",
    "for part in (~held_out, held_out, aside)",
    "items that are set aside for validation are trained on",
    ("tests/datasets/test_last_two.py::test_time_decides_and_the_file_breaks_ties",),
  ),
  Mutant(
    "repeats_of_test_rows_trained",
    "fedrecjax/datasets/splits.py",
    'candidates = np.argsort(interactions.test, kind="stable")',
    'candidates = np.argsort(~interactions.test, kind="stable")',
    "of a pair that is trained on and held out the held-out row stays",
    ("tests/datasets/test_splits.py::test_a_held_out_pair_that_is_trained_on_is_dropped_wherever_it_stands",),
  ),
  Mutant(
    "popularity_of_users",
    "fedrecjax/datasets/interactions.py",
    "return np.bincount(self.train.items, minlength=self.num_items).astype(np.int32)",
    "return np.bincount(np.append(self.train.items, self.test.items), minlength=self.num_items).astype(np.int32)",
    "held-out items count in the popularity that attackers know",
    ("tests/datasets/test_interactions.py::test_popularity_counts_training_rows_only",),
  ),
)
