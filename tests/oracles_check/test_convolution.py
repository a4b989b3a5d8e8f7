"""Oracle of convolutional networks, by hand."""

import numpy as np
import pytest

from tests.oracles import convolution


def test_a_convolution_by_hand():
  image = np.array([[[1.0, 2.0], [3.0, 4.0]]])
  kernel = np.array([[[[1.0, 10.0], [100.0, 1000.0]]]])
  # One place without zeros around; four of stride 1 with one row and column of zeros at the end.
  assert convolution.convolution(image, kernel, 1, 0, 0).tolist() == [[[4321.0]]]
  assert convolution.convolution(image, kernel, 1, 0, 1).tolist() == [[[4321.0, 402.0], [43.0, 4.0]]]


def test_same_padding_puts_the_odd_zero_at_the_end():
  image = np.arange(1.0, 17.0).reshape(1, 4, 4)
  middle = np.zeros((1, 1, 3, 3))
  middle[0, 0, 1, 1] = 1.0
  # Stride 2 on 4 pixels needs one zero: places start at 0 and 2, their middles at 1 and 3.
  assert convolution.same(image, middle, 2).tolist() == [[[6.0, 8.0], [14.0, 16.0]]]
  # Stride 1 needs two, one on each side.
  assert convolution.same(image, middle, 1).tolist() == image.tolist()


def test_groups_do_not_see_each_other():
  image = np.array([[[1.0]], [[10.0]]])
  kernel = np.array([[[[2.0]]], [[[3.0]]]])
  assert convolution.convolution(image, kernel, 1, 0, 0, groups=2).ravel().tolist() == [2.0, 30.0]
  assert convolution.convolution(image, kernel.transpose(1, 0, 2, 3), 1, 0, 0).ravel().tolist() == [32.0]


def test_normalisation_by_hand():
  state = {"n.running_mean": np.array([3.0]), "n.running_var": np.array([3.999]), "n.weight": np.array([2.0])}
  state["n.bias"] = np.array([1.0])
  # (7 - 3) / sqrt(3.999 + 0.001) = 2, times 2 plus 1.
  assert convolution.normalized(np.array([[[7.0]]]), state, "n").item() == pytest.approx(5.0)
  assert convolution.rectified(np.array([-1.0, 5.0, 7.0]), 6.0).tolist() == [0.0, 5.0, 6.0]


def test_pooling_by_hand():
  assert convolution.pooled(np.arange(16.0).reshape(1, 4, 4)).tolist() == [[[5.0, 7.0], [13.0, 15.0]]]
