"""Metrics right after uploads of images, between them and the rounds that follow."""

import dataclasses

import chex
import jax.numpy as jnp
import numpy as np

from fedrecjax.config import EvalConfig, TrainConfig
from fedrecjax.datasets import ItemLists
from fedrecjax.simulation.evaluation_points import compiled_measure
from tests.support.image_runs import BRIGHTER, GIVEN, TARGETS, bits, ran
from tests.support.small_images import extract, seeing_run, small_vncf, visuals_of

AFTER = EvalConfig(ks=(5,), after_uploads=True)
TRAIN = TrainConfig(epochs=3, clients_per_round=5, learning_rate=0.5)
LATE = dataclasses.replace(GIVEN, start_epoch=1)


def test_one_row_for_each_upload(small):
  result = ran(small, attacker=LATE, evaluation=AFTER)
  after = result.after_uploads
  assert after["epoch"].tolist() == [1, 2] and after["round"].tolist() == [3, 6]
  assert {"hr@5", "ndcg@5", "er@5"} <= set(after) and set(result.metrics) >= set(after)


def test_the_upload_has_come_and_the_round_has_not(small):
  """The state after the first epoch with the pictures of the second."""
  after = ran(small, attacker=LATE, evaluation=AFTER).after_uploads
  before = ran(small, attacker=LATE, epochs=1).state
  visuals = visuals_of(small.num_items)
  pictures = jnp.clip(visuals.images.pixels[np.array(TARGETS)] + 20.0 * 2, 0, 255)
  features = before.server.features.at[np.array(TARGETS)].set(extract(pictures))
  state = before._replace(server=before.server._replace(features=features))
  run = seeing_run(small, visuals=visuals, model=small_vncf(), attack=BRIGHTER, attacker=LATE, train=TRAIN)
  means, _ = compiled_measure(run, state, 3)[0](state)
  found = [after[name][0] for name in after if name not in ("epoch", "round")]
  np.testing.assert_allclose(found, means, rtol=1e-6)
  stale, _ = compiled_measure(run, before, 3)[0](before)
  assert not np.allclose(found, stale, rtol=1e-6)


def test_nothing_in_the_run_depends_on_it(small):
  plain, asked = ran(small, attacker=LATE), ran(small, attacker=LATE, evaluation=AFTER)
  assert plain.after_uploads is None and bits(plain) == bits(asked)


def test_drawn_candidates_are_others_than_at_the_point_before(small):
  """With one draw for both, a picture that changes nothing would show the same numbers."""
  one_each = ItemLists.from_lists([small.test.of(user)[:1] for user in range(small.num_users)])
  sampled = EvalConfig(ks=(5,), after_uploads=True, candidates="sampled", num_negatives=8)
  same = BRIGHTER._replace(images=lambda state, view, key: (view.clean, state))
  still = dataclasses.replace(TRAIN, learning_rate=1e-9)
  result = ran(dataclasses.replace(small, test=one_each), attack=same, evaluation=sampled, train=still)
  chex.assert_trees_all_equal_shapes(result.metrics["hr@5"], result.after_uploads["hr@5"])
  assert (result.metrics["hr@5"][:2] != result.after_uploads["hr@5"][1:]).any()
  np.testing.assert_array_equal(result.metrics["er@5"], result.after_uploads["er@5"])


def test_without_uploads_the_run_says_that_nothing_is_measured(small):
  result = ran(small, attack=None, evaluation=AFTER)
  assert result.after_uploads is None
  assert "eval.after_uploads measures nothing: nobody uploads images" in result.warnings
