"""Runs of a few rounds with images, and an attack and a defence of them in a line."""


import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.datasets import Dataset
from fedrecjax.simulation.results import Result
from fedrecjax.simulation.runner import simulate
from fedrecjax.types import Attack
from fedrecjax.vision import linear_schedule, respaced
from tests.support.small_images import (
  small_vncf,
  visuals_of,
)

TARGETS = (5, 11)
GIVEN = AttackerConfig(malicious_ratio=0.0, targets="given", target_items=TARGETS)
PSMU = {"num_items": 5, "inner_steps": 2, "steps": 2, "num_negatives": 1}
SHORT = {"start": 200, "respacing": 20}
SCHEDULE = respaced(linear_schedule(), 20)


def brighter(state, view, key):
  """Other pictures in every epoch."""
  del key
  return jnp.clip(view.clean + 20.0 * (1 + view.epoch), 0, 255), state


BRIGHTER = Attack(images=brighter)


def darkens(images, items, view, key):
  """A defence that loses half of the light, and a bit of what is seen."""
  del items, view, key
  return jnp.round(images / 2)


def ran(small: Dataset, **changes) -> Result:
  """A run of three epochs, of three rounds each."""
  epochs, every = changes.pop("epochs", 3), changes.pop("every", 1)
  settings = {
    "model": small_vncf(),
    "attack": BRIGHTER,
    "train": TrainConfig(epochs=epochs, clients_per_round=5, learning_rate=0.5),
    "attacker": GIVEN,
    "evaluation": EvalConfig(every=every, ks=(5,)),
    "visuals": visuals_of(small.num_items),
  }
  return simulate(small, **(settings | changes))


def bits(result: Result) -> list[bytes]:
  arrays = [*jax.tree.leaves(result.state), *result.per_user.values(), *result.images.values()]
  arrays += [values for name, values in result.metrics.items() if name != "wall_s"]
  return [np.asarray(array).tobytes() for array in arrays]
