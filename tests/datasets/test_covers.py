"""Tests of drawn covers and of the tastes that those of the embedded set follow."""

import sys

import numpy as np
import pytest

from fedrecjax.datasets.covers import covers
from fedrecjax.datasets.errors import DataError
from fedrecjax.datasets.synthetic import synthetic, synthetic_tastes


def tastes(count=600, dims=4, seed=3):
  return np.random.default_rng(seed).standard_normal((count, dims))


def explained(inputs, outputs, *, trained):
  """Share of the variance of later rows that ridge regression on earlier ones explains, by output."""
  inputs = np.c_[inputs, np.ones(len(inputs))]
  early, late = inputs[:trained], inputs[trained:]
  normal = early.T @ early + 0.1 * np.eye(inputs.shape[1])
  missed = late @ np.linalg.solve(normal, early.T @ outputs[:trained]) - outputs[trained:]
  return 1 - (missed**2).sum(0) / ((outputs[trained:] - outputs[trained:].mean(0)) ** 2).sum(0)


def coarse(images):
  """Means of 4 x 4 parts of images, `[M, 48]`."""
  count, side = images.pixels.shape[:2]
  return images.pixels.reshape(count, 4, side // 4, 4, side // 4, 3).mean((2, 4)).reshape(count, -1) / 255


def test_one_cover_per_item():
  images = covers(tastes(130), size=16)
  assert images.pixels.shape == (130, 16, 16, 3) and images.pixels.dtype == np.uint8
  assert images.has_image.all() and images.num_images == images.num_items == 130
  assert len(np.unique(images.pixels.reshape(130, -1), axis=0)) == 130
  # Colours lie within 30 and 230, brightened by at most 12.
  assert images.pixels.min() >= 30 and images.pixels.max() <= 242


def test_the_seed_decides():
  first, again, other = (covers(tastes(20), size=16, seed=seed) for seed in (5, 5, 6))
  assert np.array_equal(first.pixels, again.pixels)
  assert not np.array_equal(first.pixels, other.pixels)


def test_mean_and_scale_of_tastes_do_not_matter():
  some = tastes(140)
  moved = covers(4 * some + 7, size=8).pixels.astype(int)
  # But for rounding, of numbers and of pixels.
  assert np.abs(covers(some, size=8).pixels - moved).max() <= 1


def test_a_cover_depends_on_its_item_and_its_tastes_alone():
  """Further items change the tastes' mean and scale only: here they leave both as they are."""
  some = tastes(70)
  some -= some.mean(0)
  more = covers(np.concatenate([some, some, some]), size=8).pixels
  assert np.abs(covers(some, size=8).pixels - more[:70].astype(int)).max() <= 1
  assert np.abs(more[:70] - more[140:].astype(int)).max() > 30


def test_covers_tell_tastes():
  """What is explained is above nothing by far, and more where items have less of their own."""
  some = tastes(1200)
  usual, clear, blind = (
    explained(coarse(covers(some, size=16, individual=share)), some, trained=900).mean() for share in (0.3, 0.0, 1.0)
  )
  assert clear > usual > 0.3
  assert blind < 0.05


def test_covers_change_smoothly_with_tastes():
  """A small step in tastes moves pixels little, a large one much."""
  some = tastes(100)
  moved = [some + step * tastes(100, seed=9) for step in (0.01, 0.1, 1.0)]
  still = covers(some, size=32).pixels.astype(float)
  small, middle, large = (np.abs(covers(other, size=32).pixels - still).mean() for other in moved)
  assert small < 3 < middle < 20 < large


def test_edges_are_blended():
  """Between the few colours of a cover there are blended pixels at each edge, and flat parts elsewhere."""
  image = covers(tastes(1), size=64).pixels[0]
  colors, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
  assert np.sort(counts)[-3:].sum() > 0.5 * 64 * 64
  assert len(colors) > 20


def test_items_of_equal_tastes_differ_by_what_is_their_own():
  images = covers(np.ones((3, 2)), size=16)
  assert len(np.unique(images.pixels.reshape(3, -1), axis=0)) == 3


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"tastes": np.zeros(4)}, r"tastes of shape \[4\], expected finite numbers \[M, k\]"),
    ({"tastes": np.zeros((0, 4))}, r"tastes of shape \[0, 4\]"),
    ({"tastes": np.array([[1.0, np.nan]])}, "expected finite numbers"),
    ({"size": 0}, "size 0"),
    ({"seed": -1}, "seed -1"),
    ({"individual": 1.5}, "individual 1.5"),
  ],
)
def test_impossible_covers_are_refused(options, message):
  arguments = {"tastes": tastes(4)} | options
  with pytest.raises(DataError, match=message):
    covers(arguments.pop("tastes"), **arguments)


@pytest.mark.parametrize("sizes", [{}, {"seed": 3, "num_users": 30, "num_items": 41, "taste_dims": 3}])
def test_tastes_are_those_of_the_embedded_set(monkeypatch, sizes):
  drawn = []

  def recorded(*arguments):
    drawn.append(original(*arguments))
    return drawn[-1]

  # The package has a function of the module's name.
  module = sys.modules[synthetic.__module__]
  original = module._tastes
  monkeypatch.setattr(module, "_tastes", recorded)
  synthetic(**({"num_interactions": 700} if sizes else {}), **sizes)
  found = synthetic_tastes(**sizes)
  np.testing.assert_array_equal(found, drawn[0][1])
  assert len(drawn) == 2


def test_users_of_the_embedded_set_choose_by_these_tastes():
  """Items of one user are closer in taste than items of chance, which no other order of the tastes brings about."""
  rows = synthetic()
  found = synthetic_tastes()
  sums = np.zeros((rows.num_users, found.shape[1]))
  np.add.at(sums, rows.users, found[rows.items])
  shuffled = np.zeros_like(sums)
  np.add.at(shuffled, rows.users, np.random.default_rng(0).permutation(found)[rows.items])
  assert (sums**2).sum() > 3 * (shuffled**2).sum()


def test_impossible_tastes_are_refused():
  with pytest.raises(DataError, match="taste_dims is 0, expected at least 1"):
    synthetic_tastes(taste_dims=0)
