"""Files that torch saved, read without torch and without running anything that they contain.

Such a file is a pickle of tensors' shapes beside the raw numbers, today in a zip archive, before 2020 in one stream. A
pickle may name any function for its reader to call; here it may name nothing but dictionaries, tensors and the types of
their numbers, and the functions that stand for those names only note what they are given.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from fedrecjax.datasets.errors import DataError

STORAGE_TYPES = {
  "torch.BFloat16Storage": np.dtype(jnp.bfloat16),
  "torch.BoolStorage": np.dtype(np.bool_),
  "torch.ByteStorage": np.dtype("<u1"),
  "torch.CharStorage": np.dtype("<i1"),
  "torch.DoubleStorage": np.dtype("<f8"),
  "torch.FloatStorage": np.dtype("<f4"),
  "torch.HalfStorage": np.dtype("<f2"),
  "torch.IntStorage": np.dtype("<i4"),
  "torch.LongStorage": np.dtype("<i8"),
  "torch.ShortStorage": np.dtype("<i2"),
}
"""Type of the numbers that each of torch's storage classes holds."""

STREAM_MAGIC = 0x1950A86A20F9469CFC6C
STREAM_VERSION = 1001


class _StorageType(NamedTuple):
  """What a storage class is unpickled to; a fresh tuple, so that a pickle can alter nothing that outlives it."""

  name: str


class _Storage(NamedTuple):
  """A run of numbers: their type, where they lie, and how many they are."""

  dtype: np.dtype
  key: str
  length: int


class _Tensor(NamedTuple):
  """A tensor whose numbers have not been read yet; offset and strides count numbers."""

  storage: _Storage
  offset: int
  size: tuple[int, ...]
  stride: tuple[int, ...]


def _counts(*values: Any) -> bool:
  """Whether all values are integers from 0."""
  return all(isinstance(value, int) and value >= 0 for value in values)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
  """Stands for torch's `_rebuild_tensor_v2`; gradients and hooks are left out."""
  well_formed = isinstance(storage, _Storage) and isinstance(size, tuple) and isinstance(stride, tuple)
  if not (well_formed and len(size) == len(stride) and _counts(offset, *size, *stride)):
    raise DataError("a tensor is described by something else than a storage, an offset, sizes and strides")
  last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
  if 0 not in size and last >= storage.length:
    raise DataError(f"a tensor of shape {list(size)} reaches beyond its storage {storage.key!r}")
  return _Tensor(storage, offset, size, stride)


class _Unpickler(pickle.Unpickler):
  """Reads the description of tensors; `storages` holds those that it names."""

  def __init__(self, file: IO[bytes]):
    super().__init__(file, encoding="utf-8")
    self.storages: dict[str, _Storage] = {}

  def find_class(self, module: str, name: str) -> Any:
    """What stands for a name of the pickle; a new object each time."""
    full = f"{module}.{name}"
    if full in STORAGE_TYPES:
      return _StorageType(full)
    admitted: dict[str, Callable[..., Any]] = {
      "collections.OrderedDict": lambda *entries: OrderedDict(*entries),
      "torch._utils._rebuild_parameter": lambda data, *_: data,
      "torch._utils._rebuild_tensor_v2": lambda *described: _tensor(*described),
    }
    if full not in admitted:
      raise DataError(f"holds {full!r}; only tensors of plain numbers in a dictionary are read")
    return admitted[full]

  def persistent_load(self, pid: Any) -> _Storage:
    """The storage that a tensor refers to: `("storage", type, key, device, length)`, and None if of the old format."""
    match pid:
      case ("storage", _StorageType(name), str(key), _, int(length)) | (
        "storage", _StorageType(name), str(key), _, int(length), None
      ) if length >= 0:
        storage = _Storage(STORAGE_TYPES[name], key, length)
        if self.storages.setdefault(key, storage) != storage:
          raise DataError(f"describes storage {key!r} in two ways")
        return storage
    raise DataError(f"refers to {str(pid)[:80]!r} in place of a storage")


def _unpickled(file: IO[bytes]) -> tuple[Any, dict[str, _Storage]]:
  """The next pickle in a file, and the storages it refers to."""
  unpickler = _Unpickler(file)
  try:
    return unpickler.load(), unpickler.storages
  except DataError:
    raise
  except Exception as error:  # damaged pickles fail in whatever their bytes happen to spell
    raise DataError(f"a damaged pickle ({type(error).__name__})") from error


def _read_zip(path: Path) -> tuple[Any, dict[str, bytes]]:
  """The described object and the bytes of each storage, from a zip archive."""
  try:
    with zipfile.ZipFile(path) as archive:
      names = set(archive.namelist())
      found = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
      if len(found) != 1:
        raise DataError(f"a zip archive with {len(found)} members data.pkl, one is expected")
      root = found[0].removesuffix("data.pkl")
      if f"{root}byteorder" in names and archive.read(f"{root}byteorder").strip() != b"little":
        raise DataError("its numbers are big-endian; only little-endian files are read")
      with archive.open(found[0]) as file:
        described, storages = _unpickled(file)
      missing = sorted(key for key in storages if f"{root}data/{key}" not in names)
      if missing:
        raise DataError(f"storage {missing[0]!r} is missing")
      return described, {key: archive.read(f"{root}data/{key}") for key in storages}
  except DataError:
    raise
  except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as error:
    raise DataError(f"a damaged zip archive ({type(error).__name__})") from error


def _read_stream(path: Path) -> tuple[Any, dict[str, bytes]]:
  """The described object and the bytes of each storage, from the format before zip archives."""
  with path.open("rb") as file:
    try:
      is_stream = _unpickled(file)[0] == STREAM_MAGIC
    except DataError:
      is_stream = False
    if not is_stream:
      raise DataError("neither a zip archive nor a file of torch's older format")
    version, _ = _unpickled(file)
    if version != STREAM_VERSION:
      raise DataError(f"version {str(version)[:20]} of torch's older format, {STREAM_VERSION} is expected")
    system, _ = _unpickled(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
      raise DataError("its numbers are big-endian; only little-endian files are read")
    described, storages = _unpickled(file)
    keys, _ = _unpickled(file)
    listed = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not listed or sorted(keys) != sorted(storages):
      raise DataError("its list of storages is not that of its tensors")
    raw = {}
    for key in keys:
      count = file.read(8)
      if len(count) == 8 and struct.unpack("<q", count)[0] != storages[key].length:
        raise DataError(f"storage {key!r} has another length than its tensors say")
      # No more is asked for than the file has: the memory for it would be claimed before the first byte is read.
      raw[key] = file.read(min(storages[key].length * storages[key].dtype.itemsize, path.stat().st_size))
    return described, raw


def _array(tensor: _Tensor, raw: bytes) -> np.ndarray:
  """The numbers of a tensor, a read-only view."""
  storage = tensor.storage
  if len(raw) != storage.length * storage.dtype.itemsize:
    raise DataError(
      f"storage {storage.key!r} has {len(raw)} bytes, {storage.length} numbers of {storage.dtype.name} are expected"
    )
  if 0 in tensor.size:
    return np.empty(tensor.size, storage.dtype)
  flat = np.frombuffer(raw, storage.dtype)[tensor.offset :]
  strides = [step * storage.dtype.itemsize for step in tensor.stride]
  return np.lib.stride_tricks.as_strided(flat, tensor.size, strides, writeable=False)


def read_torch_file(path: str | Path) -> dict[str, np.ndarray]:
  """Named tensors from a file that `torch.save` made of a model's state.

  Args:
    path: a file in the zip format or in the one before it.

  Returns:
    Arrays by name in the file's order, of the file's types (bfloat16 is that of `jax.numpy`). They may be read-only
    views that share memory.

  Raises:
    DataError: if the file is neither, is damaged or truncated, names anything but tensors of plain numbers, or holds
      something else than a flat dictionary of them.
  """
  path = Path(path)
  if not path.is_file():
    raise DataError(f"{path}: no such file")
  try:
    described, raw = (_read_zip if zipfile.is_zipfile(path) else _read_stream)(path)
    if not isinstance(described, dict):
      raise DataError(f"holds a {type(described).__name__}, a dictionary of tensors is expected")
    for name, value in described.items():
      if not isinstance(name, str) or not isinstance(value, _Tensor):
        raise DataError(f"entry {name!r} is no tensor but a {type(value).__name__}; a flat dictionary is expected")
    return {name: _array(tensor, raw[tensor.storage.key]) for name, tensor in described.items()}
  except DataError as error:
    raise DataError(f"{path}: {error}") from error
