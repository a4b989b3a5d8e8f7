"""What tells runs apart: everything that a run is called with, so that none goes on from another one's state.

Functions that somebody brings along are known by their code, their defaults and what they close over; what they call by
the name of a global is not looked at.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import pathlib
import platform
import types
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jaxlib
import numpy as np

from fedrecjax.config import AttackerConfig, EvalConfig, TrainConfig
from fedrecjax.datasets import Dataset, digest_of
from fedrecjax.methods.hyperparameters import Bound
from fedrecjax.version import __version__
from fedrecjax.vision.visuals import Visuals

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
# Objects of these packages are known by their names: what they hold may be caches.
_OPAQUE = ("jax", "jaxlib", "numpy")


def identity_of(
  dataset: Dataset,
  *,
  methods: Mapping[str, Any],
  train: TrainConfig,
  attacker: AttackerConfig,
  evaluation: EvalConfig,
  seed: int,
  visuals: Visuals | None,
  debug: bool,
) -> dict[str, Any]:
  """What a run is, by names for people, ready for JSON; equal for equal runs of the same versions on the same device.

  Args:
    dataset: as of :func:`fedrecjax.simulate`; how it was read makes no difference.
    methods: model, attack, defence and optimisers, by name.
    train: as of :func:`fedrecjax.simulate`, as what follows.
    attacker: likewise.
    evaluation: likewise.
    seed: likewise.
    visuals: likewise.
    debug: likewise.
  """
  lists = {name: getattr(dataset, name) for name in ("train", "test", "validation", "public")}
  data: list[Any] = [dataset.num_users, dataset.num_items, dataset.user_names, dataset.item_names, dataset.features]
  data += [None if one is None else (one.indptr, one.items) for one in lists.values()]
  found: dict[str, Any] = {
    "fedrecjax": __version__, "jax": jax.__version__, "jaxlib": jaxlib.__version__,
    "python": ".".join(platform.python_version_tuple()[:2]), "device": jax.devices()[0].device_kind, "seed": seed,
    "debug": debug,
  }
  for owner, section in (("train", train), ("attacker", attacker), ("eval", evaluation)):
    found |= {f"{owner}.{field.name}": getattr(section, field.name) for field in dataclasses.fields(section)}
  found |= {name: digest_of_value(method) for name, method in methods.items()}
  found |= {"data": digest_of_value(data), "images": digest_of_value(_seen(visuals))}
  if attacker.public_file is not None:
    found["content of attacker.public_file"] = digest_of(pathlib.Path(attacker.public_file))
  return dict(json.loads(json.dumps(found)))


def _seen(visuals: Visuals | None) -> Any:
  if visuals is None:
    return None
  images = visuals.images
  return images.pixels, images.has_image, visuals.extractor.apply, visuals.extractor.parameters, visuals.denoiser


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
  """The first thing that tells two runs apart, for people; None if nothing does.

  >>> difference({"seed": 3, "data": "ab"}, {"seed": 4, "data": "ab"})
  'seed is 3 there and 4 here'
  """
  for name in {**here, **there}:
    if there.get(name) != here.get(name):
      if isinstance(here.get(name), str) and len(here[name]) == 64:
        return f"{name}: not the same there and here"
      return f"{name} is {_shown(there.get(name))} there and {_shown(here.get(name))} here"
  return None


def _shown(value: Any) -> str:
  return value if isinstance(value, str) else json.dumps(value)


def digest_of_value(value: Any) -> str:
  """SHA-256 of arrays, plain values, functions and what is made of them, hexadecimal.

  >>> digest_of_value((1, "a")) == digest_of_value((1, "a")), digest_of_value(1) == digest_of_value(1.0)
  (True, False)
  """
  return _digest(value, {}, frozenset()).hex()


def _digest(value: Any, known: dict[int, tuple[Any, bytes]], above: frozenset[int]) -> bytes:
  """The digest of a value; `known` are those of objects met before, `above` the objects that this one is part of."""
  if isinstance(value, _PLAIN):
    return hashlib.sha256(f"{type(value).__name__} {value!r}".encode()).digest()
  if id(value) in above:
    return b"part of itself"
  if id(value) not in known:
    head, parts = _taken_apart(value)
    digest = hashlib.sha256(head)
    for part in parts:
      digest.update(_digest(part, known, above | {id(value)}))
    # The object is kept beside its digest: another one could be made at the same address otherwise.
    known[id(value)] = value, digest.digest()
  return known[id(value)][1]


def _taken_apart(value: Any) -> tuple[bytes, Iterable[Any]]:
  """What is said of a value itself, and what it is made of."""
  if isinstance(value, (np.ndarray, np.generic, jax.Array)):
    return _of_array(value), ()
  head = _name(type(value)).encode()
  if isinstance(value, Mapping):
    return head, [part for pair in sorted(value.items(), key=lambda pair: repr(pair[0])) for part in pair]
  if isinstance(value, (set, frozenset)):
    return head, sorted(value, key=repr)
  if isinstance(value, (tuple, list)):
    return head, value
  if isinstance(value, (type, types.ModuleType, types.BuiltinFunctionType)):
    return f"named {_name(value)}".encode(), ()
  if isinstance(value, types.CodeType):
    return value.co_code, (value.co_consts, value.co_names, value.co_varnames)
  if isinstance(value, types.FunctionType):
    return _name(value).encode(), (value.__code__, value.__defaults__, value.__kwdefaults__, _closed_over(value))
  if isinstance(value, Bound):
    return head, (value.constructor, value.field, value.static, value.numbers)
  if isinstance(value, functools.partial):
    return head, (value.func, value.args, value.keywords)
  if isinstance(value, types.MethodType):
    return head, (value.__func__, value.__self__)
  if inspect.isfunction(getattr(value, "__wrapped__", None)):
    return head, (value.__wrapped__,)
  if dataclasses.is_dataclass(value):
    return head, [getattr(value, field.name) for field in dataclasses.fields(value) if field.repr]
  if type(value).__module__.partition(".")[0] in _OPAQUE:
    return f"named {_name(value)} {head.decode()}".encode(), ()
  return head, (getattr(value, "__dict__", {}),)


def _of_array(value: Any) -> bytes:
  is_key = isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
  array = np.asarray(jax.random.key_data(value) if is_key else value)
  content = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
  return f"array {array.dtype} {array.shape} ".encode() + content


def _closed_over(function: types.FunctionType) -> list[Any]:
  """The values that a function closes over; a variable that is not set yet has none."""
  values = []
  for cell in function.__closure__ or ():
    try:
      values.append(cell.cell_contents)
    except ValueError:
      values.append(None)
  return values


def _name(value: Any) -> str:
  return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', getattr(value, '__name__', ''))}"
