"""Convolutional networks place by place, on arrays as torch lays them out: images `[C, H, W]`, kernels
`[out, in, k, k]`.
"""

import numpy as np

Arrays = dict[str, np.ndarray]


def convolution(image, kernel, stride, before, after, groups=1):
  """Slides kernels over an image that is surrounded by zeros.

  Args:
    image: [C, H, W].
    kernel: [out, C / groups, k, k].
    stride: pixels between two places.
    before: rows and columns of zeros above and left.
    after: below and right.
    groups: sets of channels that do not see each other.
  """
  outputs, inputs, side, _ = kernel.shape
  surrounded = np.pad(image, ((0, 0), (before, after), (before, after)))
  rows = (surrounded.shape[1] - side) // stride + 1
  columns = (surrounded.shape[2] - side) // stride + 1
  result = np.zeros((outputs, rows, columns))
  for output in range(outputs):
    first = output // (outputs // groups) * inputs
    for row in range(rows):
      for column in range(columns):
        top, left = row * stride, column * stride
        seen = surrounded[first : first + inputs, top : top + side, left : left + side]
        result[output, row, column] = np.sum(seen * kernel[output])
  return result


def same(image, kernel, stride, groups=1):
  """TensorFlow's "same" padding of a square image: ceil(n / stride) places, the odd zero at the end."""
  length, side = image.shape[1], kernel.shape[2]
  places = -(-length // stride)
  zeros = max((places - 1) * stride + side - length, 0)
  return convolution(image, kernel, stride, zeros // 2, zeros - zeros // 2, groups)


def normalized(image, state: Arrays, name):
  """Batch normalisation after training, with epsilon 1e-3."""
  result = np.empty_like(image)
  for channel in range(len(image)):
    deviation = np.sqrt(state[f"{name}.running_var"][channel] + 1e-3)
    standard = (image[channel] - state[f"{name}.running_mean"][channel]) / deviation
    result[channel] = standard * state[f"{name}.weight"][channel] + state[f"{name}.bias"][channel]
  return result


def rectified(image, most=np.inf):
  """Cut off below 0 and above `most`."""
  return np.minimum(np.maximum(image, 0.0), most)


def block(image, state: Arrays, name, stride):
  """One block of EfficientNet-Lite: expansion where there is one, depthwise convolution, projection, residual."""
  inside = image
  if f"{name}._expand_conv.weight" in state:
    inside = same(inside, state[f"{name}._expand_conv.weight"], 1)
    inside = rectified(normalized(inside, state, f"{name}._bn0"), 6.0)
  inside = same(inside, state[f"{name}._depthwise_conv.weight"], stride, groups=len(inside))
  inside = rectified(normalized(inside, state, f"{name}._bn1"), 6.0)
  outside = same(inside, state[f"{name}._project_conv.weight"], 1)
  outside = normalized(outside, state, f"{name}._bn2")
  if stride == 1 and outside.shape == image.shape:
    outside = outside + image
  return outside


def efficientnet_lite(pixels, state: Arrays, strides):
  """Pooled features [F] of pixels [H, W, 3] in 0..255, already of the network's size; `strides` of the blocks."""
  image = (pixels.transpose(2, 0, 1) - 127.0) / 128.0
  image = rectified(normalized(same(image, state["_conv_stem.weight"], 2), state, "_bn0"), 6.0)
  for number, stride in enumerate(strides):
    image = block(image, state, f"_blocks.{number}", stride)
  image = rectified(normalized(same(image, state["_conv_head.weight"], 1), state, "_bn1"), 6.0)
  return image.mean(axis=(1, 2))


def pooled(image):
  """Maxima of 2 x 2 places."""
  channels, rows, columns = image.shape
  return image.reshape(channels, rows // 2, 2, columns // 2, 2).max(axis=(2, 4))


def vgg16(pixels, state: Arrays):
  """fc7 [F] and the means of the last pooling [C], of pixels [H, W, 3] in 0..255 of the network's size."""
  image = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
  image = image.transpose(2, 0, 1)
  # The list of layers: convolution and rectifier thirteen times, with five poolings in between.
  for place in range(31):
    if place in (4, 9, 16, 23, 30):
      image = pooled(image)
    elif f"features.{place}.weight" in state:
      image = convolution(image, state[f"features.{place}.weight"], 1, 1, 1)
      image = rectified(image + state[f"features.{place}.bias"][:, None, None])
  signal = image.reshape(-1)
  for place in (0, 3):
    signal = rectified(state[f"classifier.{place}.weight"] @ signal + state[f"classifier.{place}.bias"])
  return signal, image.mean(axis=(1, 2))
