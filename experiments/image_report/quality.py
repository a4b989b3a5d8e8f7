"""How far the quality of images spreads before and after purification: Table 3 of Yuan et al., 2023."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.errors import UsageError
from fedrecjax.vision import Regression, brisque_features, brisque_score, read_libsvm, read_opencv, sharpness, spread
from fedrecjax.vision.brisque import FEATURES

ORIGINAL = "original"
SHARPNESS, SCORE, RELATIVE = "sharpness", "brisque", "brisque_features"


def read_regression(model: pathlib.Path, ranges: pathlib.Path) -> Regression:
  """BRISQUE's model, by the ending of its file in the layout of OpenCV (.yml, .yaml) or of LIBSVM.

  Raises:
    DataError: if a file does not have that layout.
    UsageError: if a file cannot be read.
  """
  try:
    return (read_opencv if model.suffix in (".yml", ".yaml") else read_libsvm)(model, ranges)
  except OSError as error:
    raise UsageError(f"--brisque_model, --brisque_range: cannot read {error.filename}: {error.strerror}") from error


def quality_rows(variants: Mapping[str, np.ndarray], regression: Regression | None) -> list[dict[str, Any]]:
  """Mean and standard deviation of measures of quality over a set of images, for each variant of the set.

  Args:
    variants: uint8 `[K, H, W, 3]` by name; "original" is one.
    regression: BRISQUE's model; None: its features instead of its score.

  Returns:
    A row for each variant and measure. Measures are "sharpness"; "brisque", with a model; else each of its features,
    and "brisque_features": the mean over features of the deviation as a multiple of the originals'. Images of which
    BRISQUE is not defined in some variant, such as flat ones, are left out of it in all.
  """
  rows = []

  def add(name: str, measure: str, scores: np.ndarray) -> None:
    # Without images there is nothing to say.
    mean, deviation = (float(scores.mean()), spread(scores)) if len(scores) else (None, None)
    rows.append({"images": name, "measure": measure, "mean": mean, "sd": deviation, "num_images": len(scores)})

  for name, pixels in variants.items():
    add(name, SHARPNESS, sharpness(pixels))
  if regression is not None:
    scores = {name: brisque_score(regression, pixels) for name, pixels in variants.items()}
    defined = np.all([np.isfinite(found) for found in scores.values()], axis=0)
    for name, found in scores.items():
      add(name, SCORE, found[defined])
    return rows
  features = {name: brisque_features(pixels) for name, pixels in variants.items()}
  defined = np.all([np.isfinite(found).all(axis=1) for found in features.values()], axis=0)
  for name, found in features.items():
    for number, feature in enumerate(FEATURES):
      add(name, f"brisque_{feature}", found[defined, number])
  if defined.any():
    deviations = {name: found[defined].std(axis=0) for name, found in features.items()}
    varying = deviations[ORIGINAL] > 0
    for name, found in deviations.items():
      relative = float(np.mean(found[varying] / deviations[ORIGINAL][varying])) if varying.any() else None
      rows.append({"images": name, "measure": RELATIVE, "mean": None, "sd": relative, "num_images": int(defined.sum())})
  return rows
