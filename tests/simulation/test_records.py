"""Reports of parts of a run, put together."""

import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.simulation.records import Reports, joined, mean_loss


def parts():
  return [
    Reports(
      jnp.float32(losses), jnp.int32(benign), None, jnp.full((len(losses), 2), losses[0]),
      jnp.array([benign[0], 0]), jnp.int32(benign), None,
    )
    for losses, benign in (([1.0, 5.0], [3, 2]), ([10.0], [1]))
  ]


def test_what_rounds_tell_is_put_one_behind_another():
  whole = joined(parts())
  assert whole.loss.tolist() == [1.0, 5.0, 10.0] and whole.benign.tolist() == [3, 2, 1]
  assert whole.verdicts is None and whole.idle is None and whole.faults.tolist() == [3, 2, 1]
  np.testing.assert_array_equal(whole.stealth, [[1.0, 1.0], [1.0, 1.0], [10.0, 10.0]])
  np.testing.assert_array_equal(whole.outside, [4, 0])


def test_it_makes_no_difference_where_they_are_cut():
  first, second = parts()
  for one, other in zip(joined([joined([first]), second]), joined([first, second]), strict=True):
    np.testing.assert_array_equal(one, other)


def test_rounds_weigh_as_many_clients_as_took_part():
  whole = joined(parts())
  assert float(mean_loss(whole.loss, whole.benign)) == pytest.approx(16 / 6)
