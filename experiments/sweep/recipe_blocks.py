"""The grids of recipes as a command line changes them: other models and data sets, and what flags replace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.errors import UsageError
from experiments.grid import Settings, paths_apart
from fedrecjax.config import from_flat
from fedrecjax.config.training_presets import TRAINING_PRESET_FIELD, TRAINING_PRESETS

_AXES = ("model", "dataset")
# What a paper chooses for a model, and means nothing for another.
_CHOSEN_FOR_A_MODEL = ("train.learning_rate", "train.client_learning_rate", "train.dropout", "train.l2")


def fitted_blocks(
  recipe: str, blocks: Sequence[Settings], overrides: Settings
) -> tuple[list[dict[str, str]], dict[str, str]]:
  """A recipe's blocks for the models and data sets that are asked for.

  A block that is for other ones is left out. A model or data set that no block is for takes the recipe's settings if
  there is no doubt which, and if none of them was chosen for the model that the recipe has.

  Args:
    recipe: its name.
    blocks: its grids.
    overrides: settings of the command line.

  Returns:
    The blocks, and the overrides that are left to apply to each of them.

  Raises:
    UsageError: if it is not clear what to run.
  """
  left = [dict(block) for block in blocks]
  for axis in _AXES:
    if axis in overrides:
      left = _for_values(recipe, left, axis, overrides)
  return left, {name: text for name, text in overrides.items() if name not in _AXES}


def _for_values(
  recipe: str, blocks: list[dict[str, str]], axis: str, overrides: Mapping[str, str]
) -> list[dict[str, str]]:
  wanted = paths_apart(overrides[axis])
  own = [str(block.get(axis, from_flat({}).flat()[axis])).split(",") for block in blocks]
  known = {value for values in own for value in values}
  foreign = [value for value in wanted if value not in known]
  if foreign and len({tuple(values) for values in own}) > 1:
    raise UsageError(f"--{axis}={foreign[0]}: recipe {recipe} has settings of its own for each of"
                     f" {', '.join(sorted(known))}, and none for {foreign[0]}; give the settings without the recipe")
  if axis == "model" and foreign:
    fields = _fields_beside(foreign[0], blocks[0], overrides)
    chosen = [name for name in _CHOSEN_FOR_A_MODEL if name in fields and name not in overrides]
    if chosen:
      raise UsageError(f"--model={foreign[0]}: recipe {recipe} has {' and '.join(f'--{name}' for name in chosen)} for"
                       f" {', '.join(sorted(known))}; give your own for {foreign[0]}")
  if foreign and axis == "dataset" and any("attacker.target_items" in block for block in blocks):
    raise UsageError(f"--dataset={foreign[0]}: recipe {recipe} has targets of {', '.join(sorted(known))}; leave the"
                     " recipe out, or give --attacker.target_items")
  fitted = []
  for block, values in zip(blocks, own, strict=True):
    chosen_here = [value for value in wanted if value in values or value in foreign]
    if chosen_here:
      fitted.append({**block, axis: ",".join(chosen_here)})
  return fitted


def _fields_beside(model: str, block: Settings, overrides: Settings) -> set[str]:
  """The fields that a block sets, by itself or by a preset that does not know the model."""
  preset = TRAINING_PRESETS.get(block.get(TRAINING_PRESET_FIELD, ""))
  if preset is None or model in preset.models or TRAINING_PRESET_FIELD in overrides:
    return set(block)
  return {*block, *preset.common, *(name for fields in preset.models.values() for name in fields)}


def multiplied(blocks: Sequence[Settings], overrides: Settings) -> list[str]:
  """The flags of several values that replace what a recipe's blocks have differently.

  Each block then has all of these values, which is seldom what somebody wants who asks for a few of a recipe's cells.

  >>> multiplied([{"defense": "none"}, {"defense": "median"}], {"defense": "none,median", "seed": "0,1"})
  ['defense']
  """
  return [
    name for name, text in overrides.items()
    if "," in text and len({block.get(name) for block in blocks}) > 1
  ]
