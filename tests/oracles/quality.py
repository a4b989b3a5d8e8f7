"""Sharpness and BRISQUE's features (Mittal et al., 2012), one image and one pixel at a time."""

import math

import numpy as np


def grey(image: np.ndarray) -> np.ndarray:
  height, width, _ = image.shape
  result = np.zeros((height, width), int)
  for row in range(height):
    for column in range(width):
      red, green, blue = (int(value) for value in image[row, column])
      result[row, column] = math.floor((299 * red + 587 * green + 114 * blue) / 1000 + 0.5)
  return result


def mirrored(place: int, length: int) -> int:
  """Index into a line that is mirrored at its first and last pixel."""
  if place < 0:
    return -place
  return 2 * (length - 1) - place if place >= length else place


def sharpness(image: np.ndarray) -> float:
  values = grey(image)
  height, width = values.shape
  laplacian = []
  for row in range(height):
    for column in range(width):
      total = -4 * values[row, column]
      for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        total += values[mirrored(row + down, height), mirrored(column + right, width)]
      laplacian.append(float(total))
  mean = math.fsum(laplacian) / len(laplacian)
  return math.fsum((value - mean) ** 2 for value in laplacian) / len(laplacian)


def window() -> np.ndarray:
  weights = np.zeros((7, 7))
  for row in range(-3, 4):
    for column in range(-3, 4):
      weights[row + 3, column + 3] = math.exp(-(row**2 + column**2) / (2 * (7 / 6) ** 2))
  return weights / weights.sum()


def coefficients(values: np.ndarray, convention: str) -> np.ndarray:
  """Mean-subtracted contrast-normalised coefficients."""
  height, width = values.shape
  weights = window()

  def at(row: int, column: int) -> float:
    if convention == "opencv":
      return values[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
    return values[row, column] if 0 <= row < height and 0 <= column < width else 0.0

  result = np.zeros((height, width))
  for row in range(height):
    for column in range(width):
      mean = square = 0.0
      for down in range(-3, 4):
        for right in range(-3, 4):
          value = at(row + down, column + right)
          mean += weights[down + 3, right + 3] * value
          square += weights[down + 3, right + 3] * value**2
      deviation = math.sqrt(abs(square - mean**2))
      result[row, column] = (values[row, column] - mean) / (deviation + 1)
  return result


def products(numbers: np.ndarray, down: int, right: int, convention: str) -> np.ndarray:
  """Each coefficient times the neighbour that lies so far away."""
  height, width = numbers.shape
  result = np.zeros_like(numbers)
  for row in range(height):
    for column in range(width):
      if convention == "release":  # the image is shifted, and wraps around
        neighbour = numbers[(row - down) % height, (column - right) % width]
      elif 0 <= row + down < height and 0 <= column + right < width:
        neighbour = numbers[row + down, column + right]
      else:
        neighbour = 0.0
      result[row, column] = numbers[row, column] * neighbour
  return result


SHAPES = [0.2 + 0.001 * step for step in range(9801)]
SYMMETRIC = [
  math.gamma(1 / g) * math.gamma(3 / g) / math.gamma(2 / g) ** 2 for g in SHAPES
]


def symmetric(numbers: np.ndarray) -> list[float]:
  """Shape and variance."""
  variance = float((numbers**2).mean())
  ratio = variance / float(np.abs(numbers).mean()) ** 2
  nearest = min(range(len(SHAPES)), key=lambda place: abs(SYMMETRIC[place] - ratio))
  return [SHAPES[nearest], variance]


def asymmetric(numbers: np.ndarray) -> list[float]:
  """Shape, mean, left and right variance."""
  negative = [x for x in numbers.ravel() if x < 0]
  positive = [x for x in numbers.ravel() if x > 0]
  if not negative or not positive:
    squares = [sum(x**2 for x in side) / len(side) if side else math.nan for side in (negative, positive)]
    return [math.nan, math.nan, *squares]
  left = math.sqrt(sum(x**2 for x in negative) / len(negative))
  right = math.sqrt(sum(x**2 for x in positive) / len(positive))
  skew = left / right
  moments = float(np.abs(numbers).mean()) ** 2 / float((numbers**2).mean())
  target = moments * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
  shape = SHAPES[min(range(len(SHAPES)), key=lambda p: abs(1 / SYMMETRIC[p] - target))]
  spread = math.sqrt(math.gamma(1 / shape) / math.gamma(3 / shape))
  mean = (right - left) * math.gamma(2 / shape) / math.gamma(1 / shape) * spread
  return [shape, mean, left**2, right**2]


def cubic(distance: float, slope: float) -> float:
  x = abs(distance)
  if x <= 1:
    return (slope + 2) * x**3 - (slope + 3) * x**2 + 1
  return slope * x**3 - 5 * slope * x**2 + 8 * slope * x - 4 * slope if x < 2 else 0.0


def halved_line(line: np.ndarray, convention: str) -> np.ndarray:
  """MATLAB's imresize by 0.5, or OpenCV's cubic resize to half the length."""
  length = len(line)
  result = []
  for place in range(math.ceil(length / 2) if convention == "release" else length // 2):
    if convention == "release":
      centre = 2 * place + 0.5
      taps = range(2 * place - 3, 2 * place + 5)
      weights = [cubic((tap - centre) / 2, -0.5) for tap in taps]
      # symmetric: ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
      held = [-1 - tap if tap < 0 else 2 * length - 1 - tap if tap >= length else tap for tap in taps]
    else:
      centre = (place + 0.5) * length / (length // 2) - 0.5
      taps = range(math.floor(centre) - 1, math.floor(centre) + 3)
      weights = [cubic(tap - centre, -0.75) for tap in taps]
      held = [min(max(tap, 0), length - 1) for tap in taps]
    total = sum(weights)
    result.append(sum(w * line[tap] for w, tap in zip(weights, held, strict=True)) / total)
  return np.array(result)


def halved(values: np.ndarray, convention: str) -> np.ndarray:
  rows = np.stack([halved_line(row, convention) for row in values])
  return np.stack([halved_line(column, convention) for column in rows.T]).T


def features(image: np.ndarray, convention: str) -> list[float]:
  found: list[float] = []
  values = grey(image).astype(float)
  for size in (values, halved(values, convention)):
    numbers = coefficients(size, convention)
    if convention == "release":
      found += symmetric(numbers)
    else:
      shape, _, left, right = asymmetric(numbers)
      found += [shape, (left + right) / 2]
    for down, right_shift in ((0, 1), (1, 0), (1, 1), (-1, 1)):
      found += asymmetric(products(numbers, down, right_shift, convention))
  return found
