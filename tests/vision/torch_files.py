"""Writes files as torch does, without torch: names stand in a pickle for functions that are not there."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import NamedTuple

import numpy as np


class Storage(NamedTuple):
  """Numbers, and the name of the class that holds them."""

  kind: str
  key: str
  numbers: np.ndarray
  length: int | None = None


class Named:
  """Is pickled as a call of a function of any module, with state or without."""

  def __init__(self, name: str, *arguments: object, state: object = None):
    self.name, self.arguments, self.state = name, arguments, state


class _Global:
  """Is pickled as a name of any module."""

  def __init__(self, name: str):
    self.name = name


def tensor(storage: Storage, size, stride, offset=0) -> Named:
  return Named("torch._utils._rebuild_tensor_v2", storage, offset, size, stride, False, OrderedDict())


def whole(array: np.ndarray, kind: str, key: str) -> Named:
  """A contiguous tensor with a storage of its own."""
  strides = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides)
  return tensor(Storage(kind, key, np.ascontiguousarray(array).reshape(-1)), array.shape, strides)


class _Pickler(pickle._Pickler):
  """Python's own pickler, in protocol 2 as torch's."""

  def __init__(self, file, *, stream: bool):
    super().__init__(file, 2)
    self.stream = stream
    self.storages: dict[str, Storage] = {}

  def persistent_id(self, value):
    if not isinstance(value, Storage):
      return None
    self.storages[value.key] = value
    length = len(value.numbers) if value.length is None else value.length
    described = ("storage", _Global(f"torch.{value.kind}"), value.key, "cpu", length)
    return (*described, None) if self.stream else described

  def save_global(self, value, name=None):
    if isinstance(value, _Global):
      module, _, name = value.name.rpartition(".")
      self.write(f"c{module}\n{name}\n".encode())
    else:
      super().save_global(value, name)

  def save(self, value, save_persistent_id=True):
    if isinstance(value, _Global):
      self.save_global(value)
    elif isinstance(value, Named):
      self.save_reduce(_Global(value.name), value.arguments, state=value.state)
    else:
      super().save(value, save_persistent_id)

  def save_reduce(self, func, args, state=None, *rest, **named):
    if isinstance(func, _Global):
      self.save(func)
      self.save(args)
      self.write(pickle.REDUCE)
      if state is not None:
        self.save(state)
        self.write(pickle.BUILD)
    else:
      super().save_reduce(func, args, state, *rest, **named)


def _described(value: object, *, stream: bool) -> tuple[bytes, dict[str, Storage]]:
  file = io.BytesIO()
  pickler = _Pickler(file, stream=stream)
  pickler.dump(value)
  return file.getvalue(), pickler.storages


def zip_bytes(value: object, *, root="archive/", byteorder=b"little", raw=None, leave_out=()) -> bytes:
  """The zip format; `raw` replaces the bytes of storages, `leave_out` names members that are not written."""
  described, storages = _described(value, stream=False)
  members = {"data.pkl": described, "byteorder": byteorder, "version": b"3\n"}
  members |= {f"data/{key}": storage.numbers.tobytes() for key, storage in storages.items()}
  members |= {f"data/{key}": data for key, data in (raw or {}).items()}
  file = io.BytesIO()
  with zipfile.ZipFile(file, "w") as archive:
    for name, data in members.items():
      if name not in leave_out:
        archive.writestr(root + name, data)
  return file.getvalue()


def stream_bytes(value: object, *, version=1001, little=True, counts=None) -> bytes:
  """The format before it; `counts` replaces the numbers of numbers written before storages."""
  described, storages = _described(value, stream=True)
  header = (0x1950A86A20F9469CFC6C, version, {"protocol_version": 1001, "little_endian": little})
  parts = [*(pickle.dumps(part, 2) for part in header), described, pickle.dumps(sorted(storages), 2)]
  for key in sorted(storages):
    numbers = storages[key].numbers
    parts += [struct.pack("<q", (counts or {}).get(key, len(numbers))), numbers.tobytes()]
  return b"".join(parts)
