"""Reports of parts of a run, put together."""

import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.simulation.records import Reports, joined


def test_losses_of_parts_weigh_as_many_clients_as_took_part():
  parts = [
    Reports(
      jnp.float32(loss), jnp.int32(benign), None, jnp.full((1, 2), loss), jnp.array([benign, 0]), jnp.int32([benign]),
      None,
    )
    for loss, benign in ((1.0, 3), (5.0, 1))
  ]
  whole = joined(parts)
  assert float(whole.loss) == pytest.approx(2.0) and int(whole.benign) == 4
  assert whole.verdicts is None and whole.faults.tolist() == [3, 1]
  np.testing.assert_array_equal(whole.stealth, [[1.0, 1.0], [5.0, 5.0]])
  np.testing.assert_array_equal(whole.outside, [4, 0])
