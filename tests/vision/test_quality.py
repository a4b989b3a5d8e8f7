"""Sharpness and BRISQUE against the oracle, against other implementations' numbers, and by hand."""

import numpy as np
import pytest

from fedrecjax.datasets import DataError
from fedrecjax.vision import brisque as brisque_features
from fedrecjax.vision.brisque import FEATURES, features, fit_asymmetric, fit_symmetric
from fedrecjax.vision.brisque_model import brisque, predict, read_libsvm, read_opencv
from fedrecjax.vision.quality import grey, sharpness, spread
from tests.oracles import quality as oracle


def smooth_images(count, height, width, seed=0):
  """Noise added to its own running mean, so that neighbours resemble each other as in photographs."""
  noise = np.random.default_rng(seed).normal(size=(count, height + 4, width + 4, 3))
  sums = noise.cumsum(1).cumsum(2)
  means = (sums[:, 4:, 4:] - sums[:, :-4, 4:] - sums[:, 4:, :-4] + sums[:, :-4, :-4]) / 4
  return np.clip(128 + 40 * means + 20 * noise[:, 4:, 4:], 0, 255).astype(np.uint8)


def formula_image():
  """A picture that anybody can draw again, 16 x 20, grey."""
  row, column = np.mgrid[:16, :20]
  values = ((7 * row * row + 13 * row * column + 5 * column**3) % 97 + 8 * row).astype(np.uint8)
  return np.stack([values] * 3, axis=-1)


def test_grey_rounds_the_exact_sum():
  images = np.random.default_rng(1).integers(0, 256, (9, 11, 3)).astype(np.uint8)
  np.testing.assert_array_equal(grey(images), oracle.grey(images))
  # 0.299 * 5 + 0.587 * 1 + 0.114 * 242 = 29.67; 0.299 * 0 + 0.587 * 3 + 0.114 * 63 = 8.943
  assert grey(np.array([[[5, 1, 242], [0, 3, 63]]], np.uint8)).tolist() == [[30, 9]]


@pytest.mark.parametrize("size", [(2, 2), (2, 7), (9, 6)])
def test_sharpness_is_the_oracles(size):
  images = np.random.default_rng(2).integers(0, 256, (3, *size, 3)).astype(np.uint8)
  np.testing.assert_allclose(sharpness(images), [oracle.sharpness(image) for image in images], rtol=1e-12)
  np.testing.assert_allclose(sharpness(images[0]), sharpness(images)[0])


def test_sharpness_of_one_bright_pixel():
  image = np.zeros((3, 3, 3), np.uint8)
  image[1, 1] = 100
  # The Laplacian is -400 at the pixel and, mirrored at the edge pixels, 200 at each of its four neighbours.
  assert sharpness(image) == pytest.approx((400**2 + 4 * 200**2) / 9 - (400 / 9) ** 2)


def test_sharpness_is_that_of_opencv():
  assert sharpness(formula_image()) == pytest.approx(15957.43609375, rel=1e-12)  # cv2.Laplacian, OpenCV 4.14


def test_sharper_scores_higher():
  random = np.random.default_rng(3).integers(0, 256, (8, 8, 3)).astype(np.uint8)
  flat = np.full((8, 8, 3), 77, np.uint8)
  blurred = ((random.astype(int) + np.roll(random, 1, 0) + np.roll(random, 1, 1)) // 3).astype(np.uint8)
  assert sharpness(random) > sharpness(blurred) > sharpness(flat) == 0


@pytest.mark.parametrize("images", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_sharpness_refuses_what_is_no_image(images):
  with pytest.raises(ValueError, match="images must be uint8"):
    sharpness(images)


def test_sharpness_refuses_a_line():
  with pytest.raises(ValueError, match="at least 2 pixels"):
    sharpness(np.zeros((1, 5, 3), np.uint8))


def test_spread():
  assert spread([2.0, 4.0, 4.0, 6.0]) == pytest.approx(2**0.5)
  with pytest.raises(ValueError, match="1 of 2 are not"):
    spread([1.0, np.nan])
  with pytest.raises(ValueError, match="at least one image"):
    spread([])


@pytest.mark.parametrize("convention", ["release", "opencv"])
@pytest.mark.parametrize("size", [(8, 8), (12, 10), (11, 9)])
def test_features_are_the_oracles(convention, size):
  images = smooth_images(3, *size)
  images[2] //= 8  # hardly any contrast: few of the products near the dark border are negative
  found = features(images, convention=convention, batch=2)
  expected = np.array([oracle.features(image, convention) for image in images])
  np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_features_are_those_of_opencv():
  expected = [
    10, 0.670347, 1.206, -0.051238, 0.498316, 0.40508, 1.237, -0.108951, 0.573853, 0.372824, 1.155, -0.06166, 0.495146,
    0.383564, 1.14, 0.011471, 0.411712, 0.432151, 6.389, 0.37082, 1.121, -0.070923, 0.151081, 0.08471, 0.883, -0.03069,
    0.138527, 0.107139, 0.88, -0.055975, 0.134225, 0.08091, 0.743, -0.092688, 0.206267, 0.096792,
  ]  # QualityBRISQUE_computeFeatures, OpenCV 4.14
  found = features(formula_image()[None], convention="opencv")[0]
  shapes = np.array([name.endswith("shape") for name in FEATURES])
  np.testing.assert_allclose(found[shapes], np.array(expected)[shapes], atol=1.1e-3)
  np.testing.assert_allclose(found[~shapes], np.array(expected)[~shapes], atol=2e-4)


def test_full_size_features_are_those_of_a_port_of_the_release():
  expected = [
    10, 0.625635, 1.4, -0.030207, 0.406736, 0.357534, 1.345, -0.033789, 0.420207, 0.364066, 1.266, -0.00352, 0.39116,
    0.385271, 1.45, 0.004606, 0.336164, 0.343199,
  ]  # pybrisque 1.0, whose half-size image is another one
  np.testing.assert_allclose(features(formula_image()[None])[0, :18], expected, atol=2e-6)


@pytest.mark.parametrize("convention", ["release", "opencv"])
def test_features_do_not_depend_on_the_batch(convention):
  images = smooth_images(5, 16, 16)
  whole = features(images, convention=convention)
  np.testing.assert_array_equal(features(images, convention=convention, batch=2), whole)
  np.testing.assert_array_equal(features(images[3:4], convention=convention)[0], whole[3])


def test_fits_find_what_was_drawn():
  random = np.random.default_rng(0)
  gaussian, laplacian = random.normal(size=(1, 200_000)) * 3, random.laplace(size=(1, 200_000))
  shape, variance = fit_symmetric(np.concatenate([gaussian, laplacian]))
  np.testing.assert_allclose(shape, [2, 1], atol=0.03)
  np.testing.assert_allclose(variance, [9, 2], rtol=0.02)
  signs = random.random((1, 200_000)) < 0.25  # a quarter of the mass left of zero, a third as wide as the right
  fit = fit_asymmetric(np.where(signs, -np.abs(gaussian) / 3, np.abs(gaussian)))
  np.testing.assert_allclose(np.concatenate(fit), [2, 2 * (2 / np.pi) ** 0.5, 1, 9], rtol=0.03)


def test_halving_keeps_flat_images_and_straight_lines():
  ramp = np.arange(16.0)[None, None] * np.ones((1, 12, 1))
  for convention in ("release", "opencv"):
    half = brisque_features.halved(ramp, convention=convention)
    assert half.shape == (1, 6, 8)
    np.testing.assert_allclose(half[:, :, 2:-2], ramp[:, :6, 4:-4:2] + 0.5)


def test_a_flat_image_has_no_features_and_no_spread():
  found = features(np.full((1, 16, 16, 3), 90, np.uint8), convention="opencv")
  assert np.isnan(found[0, 0])
  with pytest.raises(ValueError, match="must be finite"):
    spread(found[:, 0])


def test_features_refuse_bad_arguments():
  images = smooth_images(1, 8, 8)
  for bad, message in (
    (lambda: features(images, convention="matlab"), "convention must be"),
    (lambda: features(images, batch=0), "batch must be positive"),
    (lambda: features(images[:, :7]), "at least 8"),
    (lambda: features(images[0]), r"must be \[M, H, W, 3\]"),
  ):
    with pytest.raises(ValueError, match=message):
      bad()


OPENCV_MODEL = """%YAML:1.0
---
opencv_ml_svm:
   format: 3
   svmType: EPS_SVR
   kernel:
      type: RBF
      gamma: 5.0000000000000000e-01
   C: 10.
   p: 0.1
   term_criteria: {{ epsilon:1.1920928955078125e-07, iterations:1000 }}
   var_count: 36
   sv_total: 2
   support_vectors:
      - [ {zeros} ]
      - [ 1., {others},
          0. ]
   decision_functions:
      -
         sv_count: 2
         rho: -3.
         alpha: [ 2.,
             -1.0e+00 ]
""".format(zeros=", ".join(["0."] * 36), others=", ".join(["0."] * 34))
OPENCV_RANGE = f"""%YAML:1.0
---
range: !!opencv-matrix
   rows: 2
   cols: 36
   dt: f
   data: [ {", ".join(["-1."] * 36)},
       {", ".join(["3."] * 36)} ]
"""
LIBSVM_MODEL = """svm_type epsilon_svr
kernel_type rbf
gamma 0.5
nr_class 2
total_sv 2
rho -3
probA 5.7
SV
2 36:0
-1 1:1
"""
LIBSVM_RANGE = "x\n-1 1\n" + "".join(f"{index} -1 3\n" for index in range(1, 37))


@pytest.fixture
def files(tmp_path):
  """Writes a model's two files and gives their paths."""

  def write(model, limits):
    (tmp_path / "model").write_text(model)
    (tmp_path / "range").write_text(limits)
    return tmp_path / "model", tmp_path / "range"

  return write


@pytest.mark.parametrize(
  ("read", "model", "limits"),
  [(read_opencv, OPENCV_MODEL, OPENCV_RANGE), (read_libsvm, LIBSVM_MODEL, LIBSVM_RANGE)],
)
def test_scores_of_a_model_by_hand(files, read, model, limits):
  regression = read(*files(model, limits))
  found = np.ones((2, 36))  # the middle of -1..3, which is scaled to 0
  found[1, 0] = 3  # scaled to 1
  # 2 exp(-0.5 * 0) - exp(-0.5 * 1) + 3, and 2 exp(-0.5 * 1) - exp(0) + 3
  np.testing.assert_allclose(predict(regression, found), [5 - np.exp(-0.5), 2 + 2 * np.exp(-0.5)])


def test_scores_of_opencv_are_clipped_and_the_releases_are_not(files):
  low = OPENCV_MODEL.replace("rho: -3.", "rho: 300.")
  assert predict(read_opencv(*files(low, OPENCV_RANGE)), np.ones((1, 36))) == 0
  low = LIBSVM_MODEL.replace("rho -3", "rho 300")
  assert predict(read_libsvm(*files(low, LIBSVM_RANGE)), np.ones((1, 36))) == pytest.approx(-298 - np.exp(-0.5))


def test_scores_use_the_features_of_the_models_convention(files):
  images = smooth_images(2, 12, 12)
  model = read_opencv(*files(OPENCV_MODEL, OPENCV_RANGE))
  expected = predict(model, features(images, convention="opencv"))
  np.testing.assert_array_equal(brisque(model, images, batch=1), expected)
  assert (brisque(read_libsvm(*files(LIBSVM_MODEL, LIBSVM_RANGE)), images) != expected).all()


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("EPS_SVR", "C_SVC", "expected a regression"),
    ("RBF", "LINEAR", "expected a regression"),
    ("sv_total: 2", "sv_total: 3", "3 support vectors announced, found 2"),
    ("rho: -3.", "rho: .Nan", "rho must be numbers"),
    ("rho: -3.", "", "expected a field rho"),
    ("2.,\n", "", "2 support vectors announced, found 2 and 1"),
    ("[ 1., 0.,", "[ 1.,", "must all have 36"),
    ("support_vectors:", "vectors:", "expected fields support_vectors"),
  ],
)
def test_a_broken_opencv_model_is_refused(files, old, new, message):
  assert old in OPENCV_MODEL
  with pytest.raises(DataError, match=message):
    read_opencv(*files(OPENCV_MODEL.replace(old, new), OPENCV_RANGE))


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("cols: 36", "cols: 35", "expected a matrix of 2 rows and 36"),
    ("-1., -1.]", "-1.]", "expected a matrix"),
    ("-1., -1.", "-1., 9.", "each below its maximum"),
    ("data:", "date:", "expected a field data"),
  ],
)
def test_a_broken_opencv_range_is_refused(files, old, new, message):
  broken = OPENCV_RANGE.replace("-1.,\n", "-1.]\n,[") if old == "-1., -1.]" else OPENCV_RANGE.replace(old, new, 1)
  assert broken != OPENCV_RANGE
  with pytest.raises(DataError, match=message):
    read_opencv(*files(OPENCV_MODEL, broken))


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("\nSV\n", "\n", "a line SV"),
    ("gamma 0.5\n", "", "a line gamma"),
    ("epsilon_svr", "c_svc", "expected a regression"),
    ("1:1", "37:1", "index from 1 to 36"),
    ("1:1", "1:x", "must be numbers"),
    ("-1 1:1\n", "", "2 support vectors announced, found 1"),
  ],
)
def test_a_broken_libsvm_model_is_refused(files, old, new, message):
  with pytest.raises(DataError, match=message):
    read_libsvm(*files(LIBSVM_MODEL.replace(old, new), LIBSVM_RANGE))


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("x\n", "y\n", "the lines 'x'"),
    ("-1 1\n", "0 1\n", "the lines 'x'"),
    ("7 -1 3\n", "", "for each index"),
    ("7 -1 3\n", "7 -1\n", "a minimum and a maximum"),
    ("7 -1 3\n", "7 -1 -1\n", "each below its maximum"),
  ],
)
def test_a_broken_libsvm_range_is_refused(files, old, new, message):
  with pytest.raises(DataError, match=message):
    read_libsvm(*files(LIBSVM_MODEL, LIBSVM_RANGE.replace(old, new, 1)))


def test_a_binary_file_is_no_model(tmp_path):
  (tmp_path / "model").write_bytes(b"\x80\x04\x95")
  with pytest.raises(DataError, match="expected text"):
    read_opencv(tmp_path / "model", tmp_path / "model")


def test_features_of_another_number_are_refused(files):
  with pytest.raises(ValueError, match=r"must be \[M, 36\]"):
    predict(read_libsvm(*files(LIBSVM_MODEL, LIBSVM_RANGE)), np.ones((2, 18)))
