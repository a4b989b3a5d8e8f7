"""FL-WBC (Sun et al., 2021), the client's side, on the item rows of a recommender's client.

After a local step of the original, dg is the change of a weight's gradient against the step before
and a number from Laplace(0, s) is drawn for every weight; it is added, times the learning rate, to
those weights for which |dg| <= |number|. A client here takes one step per participation, so that
"the step before" is that of its previous participation.
"""

import numpy as np

Rows = dict[int, np.ndarray]


def perturbed_row(row: np.ndarray, previous: np.ndarray, noise: np.ndarray) -> np.ndarray:
  """One row with the noise that its change lets through.

  Args:
    row: [d], this participation's gradient.
    previous: [d], the previous one's.
    noise: [d], Laplace numbers, already times s.

  Returns:
    [d].
  """
  result = row.copy()
  for coordinate in range(len(row)):
    if abs(row[coordinate] - previous[coordinate]) <= abs(noise[coordinate]):
      result[coordinate] = row[coordinate] + noise[coordinate]
  return result


def perturbed_array(array: np.ndarray, previous: np.ndarray, noise: np.ndarray) -> np.ndarray:
  """The gradient of a parameter that all items share, of any shape, all three of the same.

  The published code perturbs weights and leaves biases alone: an array of one dimension is a bias.
  """
  if array.ndim < 2:
    return array.copy()
  return perturbed_row(array.ravel(), previous.ravel(), noise.ravel()).reshape(array.shape)


class Client:
  """A client and what it remembers between its participations."""

  def __init__(self) -> None:
    self.previous: Rows | None = None
    self.previous_arrays: list[np.ndarray] | None = None

  def participate(self, rows: Rows, noise: Rows) -> Rows:
    """What the client uploads.

    Args:
      rows: item -> gradient [d]; the same items in every participation.
      noise: item -> Laplace numbers [d] of this participation, already times s.

    Returns:
      Item -> row [d]. At the first participation the gradients themselves.
    """
    previous, self.previous = self.previous, {item: row.copy() for item, row in rows.items()}
    if previous is None:
      return dict(rows)
    return {item: perturbed_row(row, previous[item], noise[item]) for item, row in rows.items()}

  def share(self, arrays: list[np.ndarray], noise: list[np.ndarray]) -> list[np.ndarray]:
    """What the client uploads for the parameters that all items share.

    Args:
      arrays: gradients, the same parameters in every participation.
      noise: Laplace numbers in the shapes of `arrays`, already times s.

    Returns:
      As many arrays. At the first participation the gradients themselves.
    """
    previous, self.previous_arrays = self.previous_arrays, [array.copy() for array in arrays]
    if previous is None:
      return list(arrays)
    return [perturbed_array(*three) for three in zip(arrays, previous, noise, strict=True)]
