"""BRISQUE's score: a trained support vector regression over the 36 features, read from files that the user has.

No model is part of this package. Without one there are features, but no score.
"""

from __future__ import annotations

import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedrecjax.datasets.errors import DataError
from fedrecjax.vision.brisque import FEATURES, Convention, features


class Regression(NamedTuple):
  """A support vector regression with Gaussian kernel.

  Attributes:
    vectors: support vectors, on the scaled features `[V, F]`.
    coefficients: of the support vectors `[V]`.
    offset: rho, which is subtracted.
    gamma: of the kernel exp(-gamma |x - v|^2).
    low: value of each feature that is scaled to -1, `[F]`.
    high: value of each feature that is scaled to 1, `[F]`.
    convention: whose features the model was trained on.
    limits: scores are clipped to these; None if they are not.
  """

  vectors: np.ndarray
  coefficients: np.ndarray
  offset: float
  gamma: float
  low: np.ndarray
  high: np.ndarray
  convention: Convention
  limits: tuple[float, float] | None


def predict(model: Regression, found: npt.ArrayLike) -> np.ndarray:
  """Scores of features.

  Args:
    model: trained on features of the same convention.
    found: `[M, F]`, not scaled.

  Returns:
    float64 `[M]`; lower is better. NaN where a feature is.

  Raises:
    ValueError: if the number of features is not the model's.
  """
  values = np.asarray(found, np.float64)
  if values.ndim != 2 or values.shape[1] != len(model.low):
    raise ValueError(f"features must be [M, {len(model.low)}], got {list(values.shape)}")
  scaled = 2 * (values - model.low) / (model.high - model.low) - 1
  distances = np.stack([np.sum(np.square(scaled - vector), axis=1) for vector in model.vectors], axis=1)
  scores = np.exp(-model.gamma * distances) @ model.coefficients - model.offset
  return scores if model.limits is None else np.clip(scores, *model.limits)


def brisque(model: Regression, images: npt.ArrayLike, *, batch: int = 16) -> np.ndarray:
  """BRISQUE of each image, with the features that the model was trained on.

  Args:
    model: from :func:`read_opencv` or :func:`read_libsvm`.
    images: uint8 `[M, H, W, 3]`, red first.
    batch: images worked on at a time.

  Returns:
    float64 `[M]`; lower is better. NaN for images without all features, such as flat ones.

  References:
    Mittal et al., "No-Reference Image Quality Assessment in the Spatial Domain", 2012.
  """
  return predict(model, features(images, convention=model.convention, batch=batch))


def _text(path: str | os.PathLike[str]) -> str:
  try:
    return pathlib.Path(path).read_text(encoding="utf-8")
  except UnicodeDecodeError as error:
    raise DataError(f"{path}: expected text, found a byte that is none at position {error.start}") from error


def _numbers(path: object, field: str, text: str, separator: str | None) -> np.ndarray:
  """A list of finite numbers, or a DataError."""
  parts = [part.strip() for part in text.split(separator)]
  try:
    values = np.array([float(part) for part in parts])
  except ValueError as error:
    raise DataError(f"{path}: {field} must be numbers: {error}") from error
  if not np.isfinite(values).all():
    raise DataError(f"{path}: {field} must be finite numbers")
  return values


def _checked(path: object, model: Regression, counted: int) -> Regression:
  """The model, if its parts fit each other and BRISQUE."""
  if counted != len(model.vectors) or counted != len(model.coefficients):
    raise DataError(
      f"{path}: {counted} support vectors announced, found {len(model.vectors)} and {len(model.coefficients)}"
      " coefficients"
    )
  if model.vectors.ndim != 2 or model.vectors.shape[1] != len(FEATURES):
    raise DataError(f"{path}: support vectors must have {len(FEATURES)} numbers, found {list(model.vectors.shape)}")
  if len(model.low) != len(FEATURES) or not (model.low < model.high).all():
    raise DataError(f"{path}: the range must give {len(FEATURES)} minima, each below its maximum")
  return model


def _field(path: object, text: str, name: str, pattern: str) -> str:
  """What follows `name:` in a YAML file of OpenCV."""
  match = re.search(rf"^[ \t-]*{name}:\s*{pattern}", text, re.MULTILINE)
  if match is None:
    raise DataError(f"{path}: expected a field {name}")
  return match.group(1)


_SCALAR = r"([^\s\[]+)[ \t]*$"
_LIST = r"\[([^\]]*)\]"


def read_opencv(model_path: str | os.PathLike[str], range_path: str | os.PathLike[str]) -> Regression:
  """Reads a model in the layout of OpenCV, such as `brisque_model_live.yml` and `brisque_range_live.yml`.

  Args:
    model_path: YAML of an `opencv_ml_svm` of type EPS_SVR or NU_SVR with an RBF kernel.
    range_path: YAML of a matrix `range` with two rows, the features' minima and maxima.

  Returns:
    A model of convention "opencv" whose scores are clipped to [0, 100], as OpenCV's are.

  Raises:
    DataError: if a file does not have that layout.
    OSError: if a file cannot be read.
  """
  text, limits = _text(model_path), _text(range_path)
  kind, kernel = _field(model_path, text, "svmType", _SCALAR), _field(model_path, text, "type", _SCALAR)
  if kind not in ("EPS_SVR", "NU_SVR") or kernel != "RBF":
    raise DataError(f"{model_path}: expected a regression with an RBF kernel, found svmType {kind}, kernel {kernel}")

  def scalar(path: str | os.PathLike[str], text: str, name: str) -> float:
    return _numbers(path, name, _field(path, text, name, _SCALAR), None).item()

  start, end = text.find("support_vectors:"), text.find("decision_functions:")
  if not 0 <= start < end:
    raise DataError(f"{model_path}: expected fields support_vectors and decision_functions, in this order")
  vectors = [_numbers(model_path, "support_vectors", row, ",") for row in re.findall(_LIST, text[start:end])]
  if len({len(row) for row in vectors}) != 1:
    raise DataError(f"{model_path}: support vectors must all have {len(FEATURES)} numbers")
  bounds = _numbers(range_path, "data", _field(range_path, limits, "data", _LIST), ",")
  shape = [int(scalar(range_path, limits, name)) for name in ("rows", "cols")]
  if shape != [2, len(FEATURES)] or bounds.size != 2 * len(FEATURES):
    raise DataError(f"{range_path}: expected a matrix of 2 rows and {len(FEATURES)} columns, found {shape}")
  model = Regression(
    vectors=np.stack(vectors),
    coefficients=_numbers(model_path, "alpha", _field(model_path, text[end:], "alpha", _LIST), ","),
    offset=scalar(model_path, text[end:], "rho"),
    gamma=scalar(model_path, text, "gamma"),
    low=bounds[: len(FEATURES)],
    high=bounds[len(FEATURES) :],
    convention="opencv",
    limits=(0.0, 100.0),
  )
  return _checked(model_path, model, int(scalar(model_path, text, "sv_total")))


def _sparse_row(path: object, line: str) -> tuple[float, np.ndarray]:
  """Coefficient and support vector of a line `coefficient index:value ...`; absent values are zero."""
  first, *pairs = line.split()
  row = np.zeros(len(FEATURES))
  for pair in pairs:
    index, _, value = pair.partition(":")
    if not index.isdigit() or not 1 <= int(index) <= len(FEATURES):
      raise DataError(f"{path}: expected index:value with an index from 1 to {len(FEATURES)}, found {pair!r}")
    row[int(index) - 1] = _numbers(path, f"value of index {index}", value, None).item()
  return _numbers(path, "coefficient", first, None).item(), row


def read_libsvm(
  model_path: str | os.PathLike[str], range_path: str | os.PathLike[str], *, convention: Convention = "release"
) -> Regression:
  """Reads a model in LIBSVM's text layout, as in the authors' release (`allmodel` and `allrange`).

  Args:
    model_path: text of an epsilon or nu regression with an RBF kernel, as `svm-train` writes it.
    range_path: minima and maxima of the features, as `svm-scale -s` writes them, scaled to -1 and 1.
    convention: whose features the model was trained on.

  Returns:
    A model whose scores are not clipped, as the release's are not.

  Raises:
    DataError: if a file does not have that layout.
    OSError: if a file cannot be read.
  """
  head, mark, body = _text(model_path).partition("\nSV\n")
  if not mark:
    raise DataError(f"{model_path}: expected a line SV before the support vectors")
  fields = {name: value.strip() for name, _, value in (line.partition(" ") for line in head.splitlines())}
  for name in ("svm_type", "kernel_type", "gamma", "rho", "total_sv"):
    if name not in fields:
      raise DataError(f"{model_path}: expected a line {name}")
  if fields["svm_type"] not in ("epsilon_svr", "nu_svr") or fields["kernel_type"] != "rbf":
    raise DataError(
      f"{model_path}: expected a regression with an rbf kernel, found {fields['svm_type']}, {fields['kernel_type']}"
    )
  rows = [_sparse_row(model_path, line) for line in body.splitlines() if line.strip()]
  lines = [line.split() for line in _text(range_path).splitlines() if line.strip()]
  if len(lines) < 2 or lines[0] != ["x"] or lines[1] != ["-1", "1"]:
    raise DataError(f"{range_path}: expected the lines 'x' and '-1 1' first")
  if [line[0] for line in lines[2:]] != [str(number + 1) for number in range(len(FEATURES))]:
    raise DataError(f"{range_path}: expected a line 'index minimum maximum' for each index from 1 to {len(FEATURES)}")
  bounds = [_numbers(range_path, f"range of index {line[0]}", " ".join(line[1:]), None) for line in lines[2:]]
  if any(len(pair) != 2 for pair in bounds):
    raise DataError(f"{range_path}: expected a minimum and a maximum in each line")
  low, high = np.stack(bounds, axis=1)
  model = Regression(
    vectors=np.array([row for _, row in rows]).reshape(len(rows), len(FEATURES)),
    coefficients=np.array([coefficient for coefficient, _ in rows]),
    offset=_numbers(model_path, "rho", fields["rho"], None).item(),
    gamma=_numbers(model_path, "gamma", fields["gamma"], None).item(),
    low=low,
    high=high,
    convention=convention,
    limits=None,
  )
  return _checked(model_path, model, int(_numbers(model_path, "total_sv", fields["total_sv"], None).item()))
