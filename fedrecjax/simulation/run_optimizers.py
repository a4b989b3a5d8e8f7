"""Which optimisers a run has, by name or brought along, and whether its defence can try their steps."""

from __future__ import annotations

from typing import NamedTuple

import optax

from fedrecjax.config import ConfigError, TrainConfig
from fedrecjax.numerics.optimizers import OPTIMIZERS, as_direction
from fedrecjax.server.row_steps import steps_by_rows
from fedrecjax.types import Defense, Public


class Optimizers(NamedTuple):
  """The optimisers of a run; fields as of :class:`fedrecjax.simulation.records.Structure`."""

  server_optimizer: optax.GradientTransformationExtraArgs
  client_optimizer: optax.GradientTransformationExtraArgs
  client_table: bool


def _choose(
  field: str, name: str, given: optax.GradientTransformation | None
) -> optax.GradientTransformationExtraArgs:
  if given is None:
    return OPTIMIZERS[name]
  if not isinstance(given, optax.GradientTransformation):
    raise ConfigError(f"{field} must be an optax.GradientTransformation or None (train.{field} takes names), got"
                      f" {given!r}")
  if name != "sgd":
    raise ConfigError(f"train.{field} must be sgd, the default, where {field} is given to simulate, got {name!r}")
  return as_direction(given)


def choose_optimizers(
  train: TrainConfig,
  server_optimizer: optax.GradientTransformation | None,
  client_optimizer: optax.GradientTransformation | None,
) -> Optimizers:
  """The optimisers that are named, or given in their place; see :func:`fedrecjax.simulate`.

  Raises:
    ConfigError: naming the field, if one is both named and given, or is no transformation, or clients cannot use it.
  """
  if client_optimizer is not None and train.local_steps > 1:
    raise ConfigError("client_optimizer must be None where train.local_steps is above 1, which are steps of gradient"
                      f" descent, got {client_optimizer!r}")
  return Optimizers(
    _choose("server_optimizer", train.server_optimizer, server_optimizer),
    _choose("client_optimizer", train.client_optimizer, client_optimizer),
    train.client_optimizer == "adam_table",
  )


def check_row_steps(
  defense: Defense, server_optimizer: optax.GradientTransformation | None, public: Public
) -> None:
  """Raises ConfigError if the defence tries steps of rows and an optimiser that was given does not work by rows."""
  if server_optimizer is None or "row_steps" not in defense.requires:
    return
  refusal = ("server_optimizer must move each item's row by itself (unlike clip_by_global_norm or LARS) where UNION"
             " tries its step with a few rows alone; union.trial=plain tries gradient descent instead")
  try:
    by_rows = steps_by_rows(as_direction(server_optimizer), public)
  except Exception as error:
    raise ConfigError(f"{refusal}; with a few rows it raises {type(error).__name__}") from error
  if not by_rows:
    raise ConfigError(refusal)
