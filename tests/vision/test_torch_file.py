"""Torch's two formats, read without it; what is damaged or holds code is refused in one line."""

import pickle
from collections import OrderedDict

import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.datasets import DataError
from fedrecjax.vision.torch_file import read_torch_file
from tests.support.refusals import refusal
from tests.vision.torch_files import Named, Storage, stream_bytes, tensor, whole, zip_bytes

FORMATS = {"zip": zip_bytes, "stream": stream_bytes}
NUMBERS = np.arange(24, dtype=np.float32)


def read(folder, data):
  path = folder / "weights.pt"
  path.write_bytes(data)
  return read_torch_file(path)


def refused(folder, data):
  return refusal(folder / "weights.pt", lambda: read(folder, data))


@pytest.fixture(params=FORMATS, ids=str)
def written(request):
  return FORMATS[request.param]


@pytest.mark.parametrize(
  ("kind", "dtype"),
  [
    ("FloatStorage", np.float32),
    ("DoubleStorage", np.float64),
    ("HalfStorage", np.float16),
    ("BFloat16Storage", jnp.bfloat16),
    ("LongStorage", np.int64),
    ("IntStorage", np.int32),
    ("ShortStorage", np.int16),
    ("CharStorage", np.int8),
    ("ByteStorage", np.uint8),
    ("BoolStorage", np.bool_),
  ],
)
def test_types(tmp_path, written, kind, dtype):
  array = np.array([[0, 1, 5], [3, 0, 7]]).astype(dtype)
  found = read(tmp_path, written({"a": whole(array, kind, "0")}))["a"]
  assert found.dtype == dtype
  np.testing.assert_array_equal(found, array)


def test_layouts(tmp_path, written):
  shared = Storage("FloatStorage", "0", NUMBERS)
  found = read(tmp_path, written(OrderedDict(
    whole=tensor(shared, (4, 6), (6, 1)),
    transposed=tensor(shared, (6, 4), (1, 6)),
    part=tensor(shared, (2, 3), (6, 1), offset=13),
    every_other=tensor(shared, (12,), (2,), offset=1),
    repeated=tensor(shared, (3, 2), (0, 1), offset=22),
    scalar=tensor(shared, (), (), offset=7),
    empty=tensor(shared, (0, 3), (3, 1)),
    parameter=Named("torch._utils._rebuild_parameter", tensor(shared, (2,), (1,)), True, OrderedDict()),
    other=whole(np.array([3, 4], np.int64), "LongStorage", "1"),
  )))
  table = NUMBERS.reshape(4, 6)
  expected = {
    "whole": table,
    "transposed": table.T,
    "part": table[2:, 1:4],
    "every_other": NUMBERS[1::2],
    "repeated": np.array([[22, 23]] * 3),
    "scalar": np.array(7),
    "empty": np.zeros((0, 3)),
    "parameter": NUMBERS[:2],
    "other": np.array([3, 4]),
  }
  assert list(found) == list(expected)
  for name, array in expected.items():
    assert found[name].shape == array.shape, name
    np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_metadata_of_a_module_is_passed_over(tmp_path, written):
  state = Named("collections.OrderedDict", [["a", whole(NUMBERS, "FloatStorage", "0")]], state={"_metadata": {"v": 1}})
  np.testing.assert_array_equal(read(tmp_path, written(state))["a"], NUMBERS)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "torch._utils._rebuild_tensor", "torch.QInt8Storage"])
def test_other_names_are_refused(tmp_path, written, name, monkeypatch):
  def run(*_):
    raise AssertionError("the file's code was run")

  monkeypatch.setattr("os.system", run)
  message = refused(tmp_path, written({"a": Named(name, "true")}))
  assert message == f"holds {name!r}; only tensors of plain numbers in a dictionary are read"


def test_nothing_outlives_a_file(tmp_path):
  # State may be set on whatever a pickle names; what it gets must be its own.
  ordered = b"ccollections\nOrderedDict\n"
  alter = b"\x80\x02" + ordered + b"}X\x05\x00\x00\x00ownedK\x01sb."
  data = stream_bytes({}).replace(pickle.dumps({}, 2), alter, 1)
  assert refused(tmp_path, data) == "holds a function, a dictionary of tensors is expected"
  assert not hasattr(OrderedDict, "owned")
  good = read(tmp_path, zip_bytes(OrderedDict(a=whole(NUMBERS, "FloatStorage", "0"))))
  np.testing.assert_array_equal(good["a"], NUMBERS)


@pytest.mark.parametrize(
  "data", [b"", b"hello\n", b"PK\x03\x04 not really", pickle.dumps({"a": 1}), b"\x80\x02"], ids=repr
)
def test_other_files(tmp_path, data):
  assert refused(tmp_path, data) == "neither a zip archive nor a file of torch's older format"


def test_no_file(tmp_path):
  with pytest.raises(DataError, match=r"absent\.pt: no such file$"):
    read_torch_file(tmp_path / "absent.pt")


def test_truncated_storages(tmp_path):
  entries = {"a": whole(NUMBERS, "FloatStorage", "0")}
  short = "storage '0' has {} bytes, 24 numbers of float32 are expected"
  assert refused(tmp_path, zip_bytes(entries, raw={"0": bytes(95)})) == short.format(95)
  assert refused(tmp_path, zip_bytes(entries, raw={"0": bytes(97)})) == short.format(97)
  assert refused(tmp_path, stream_bytes(entries)[:-1]) == short.format(95)
  assert refused(tmp_path, stream_bytes(entries)[:-100]) == short.format(0)
  assert refused(tmp_path, zip_bytes(entries, leave_out=("data/0",))) == "storage '0' is missing"
  assert "another length" in refused(tmp_path, stream_bytes(entries, counts={"0": 23}))


def test_every_truncation_is_refused(tmp_path):
  entries = {"a": whole(NUMBERS[:3], "FloatStorage", "0")}
  for data in (zip_bytes(entries), stream_bytes(entries)):
    assert set(read(tmp_path, data)) == {"a"}
    for length in range(len(data)):
      refused(tmp_path, data[:length])


def test_flipped_bytes_give_an_error_or_tensors(tmp_path):
  entries = {"a": whole(NUMBERS[:3], "FloatStorage", "0"), "b": whole(NUMBERS[:2], "FloatStorage", "1")}
  random = np.random.default_rng(0)
  path = tmp_path / "weights.pt"
  outcomes = set()
  for data in (zip_bytes(entries), stream_bytes(entries)):
    for _ in range(300):
      damaged = bytearray(data)
      damaged[random.integers(len(data))] = random.integers(256)
      path.write_bytes(damaged)
      try:
        outcomes.update(map(type, read_torch_file(path).values()))
      except DataError as error:
        assert "\n" not in str(error)
        outcomes.add(DataError)
  assert outcomes == {np.ndarray, DataError}


@pytest.mark.parametrize(
  ("size", "stride", "offset"), [((5, 5), (5, 1), 0), ((24,), (1,), 1), ((2,), (24,), 0), ((), (), 24)], ids=str
)
def test_tensors_beyond_their_storage(tmp_path, written, size, stride, offset):
  entries = {"a": tensor(Storage("FloatStorage", "0", NUMBERS), size, stride, offset)}
  assert refused(tmp_path, written(entries)) == f"a tensor of shape {list(size)} reaches beyond its storage '0'"


@pytest.mark.parametrize(
  ("size", "stride", "offset"), [((-1,), (1,), 0), ((2,), (-1,), 3), ((2,), (1,), -1), ((2, 2), (1,), 0)], ids=str
)
def test_tensors_described_wrongly(tmp_path, written, size, stride, offset):
  entries = {"a": tensor(Storage("FloatStorage", "0", NUMBERS), size, stride, offset)}
  assert refused(tmp_path, written(entries)).startswith("a tensor is described by something else")


def test_entries_that_are_no_tensors(tmp_path, written):
  inner = {"a": whole(NUMBERS, "FloatStorage", "0")}
  message = refused(tmp_path, written({"state_dict": inner}))
  assert message == "entry 'state_dict' is no tensor but a dict; a flat dictionary is expected"
  assert refused(tmp_path, written([1])) == "holds a list, a dictionary of tensors is expected"


def test_storage_described_in_two_ways(tmp_path, written):
  entries = {"a": whole(NUMBERS, "FloatStorage", "0"), "b": whole(NUMBERS[:12], "DoubleStorage", "0")}
  assert refused(tmp_path, written(entries)) == "describes storage '0' in two ways"


def test_other_headers(tmp_path):
  entries = {"a": whole(NUMBERS, "FloatStorage", "0")}
  assert "big-endian" in refused(tmp_path, zip_bytes(entries, byteorder=b"big"))
  assert "big-endian" in refused(tmp_path, stream_bytes(entries, little=False))
  assert refused(tmp_path, stream_bytes(entries, version=7)).startswith("version 7 of torch's older format")
  assert refused(tmp_path, zip_bytes(entries, leave_out=("data.pkl",))).startswith("a zip archive with 0 members")


def test_archives_written_before_byte_order_was_named(tmp_path):
  entries = {"a": whole(NUMBERS, "FloatStorage", "0")}
  found = read(tmp_path, zip_bytes(entries, root="", leave_out=("byteorder", "version")))
  np.testing.assert_array_equal(found["a"], NUMBERS)
