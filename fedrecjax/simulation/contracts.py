"""What parts hand back, held against :mod:`fedrecjax.types` while a program is traced.

Shapes, types and structures alone are looked at. They are known before anything runs, so that a check costs nothing at
run time and leaves no trace in a compiled program. Numbers of 64 bits become those of 32 on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.defenses.chain import change_parts
from fedrecjax.methods.hyperparameters import Bound, owner_name
from fedrecjax.simulation.contract_checks import CHECKS

T = TypeVar("T", bound=tuple)

# Functions that are called on the host with the data of a run.
_BEFORE_TRAINING = ("init", "profiles")
_NARROW: dict[Any, Any] = {
  np.dtype(np.float64): np.float32, np.dtype(np.int64): np.int32, np.dtype(np.uint64): np.uint32
}


class MethodError(RuntimeError):
  """A function of a method raised an error; one line says which function of which method, and what it raised."""


def checked(kind: str, name: str, function: Any) -> Any:
  """A part's function whose results are checked, and whose errors name it.

  Args:
    kind: of part, "attack", "defense", "model" or "loss".
    name: field of the function in a part of this kind, such as "poison".
    function: the part's, or None. In a chain of defences each part is checked by itself.

  Returns:
    A function of the same arguments and results, or None. It is no pytree, and so no argument of a jitted function.

  Raises:
    ContractError: by the function returned, if a result is not as agreed.
    MethodError: by the function returned, for what the part raises. Errors of this package stay what they are, as does
      a ValueError before training, which says that the method does not fit the data.
  """
  if function is None:
    return None

  def alone(part: Any) -> Callable[..., Any]:
    where = f"{method_name(kind, part)}: {name}"

    def call(*arguments: Any) -> Any:
      try:
        result = part(*arguments)
      except Exception as error:
        if _speaks_for_itself(name, error):
          raise
        raise MethodError(f"{where} failed: {type(error).__name__}: {first_line(error)}") from error
      if name != "profiles":
        result = _narrowed(result)
      CHECKS[kind][name](f"{where} returned", result, *arguments)
      return result

    return call

  return change_parts(function, alone)


def _narrowed(result: Any) -> Any:
  """Numbers of 64 bits as those of 32: parts that somebody brings along make them where `jax_enable_x64` is set."""
  if jnp.result_type(float) != np.float64:
    return result

  def of_leaf(leaf: Any) -> Any:
    array = np.asarray(leaf) if isinstance(leaf, (int, float)) and not isinstance(leaf, bool) else leaf
    narrow = _NARROW.get(getattr(array, "dtype", None))
    return array if narrow is None else array.astype(narrow)

  return jax.tree.map(of_leaf, result)


def checked_method(kind: str, method: T) -> T:
  """An attack, defence, model or loss whose functions are :func:`checked`."""
  return _replaced(method, {name: kind for name in CHECKS[kind]})


def checked_parts(parts: T) -> T:
  """The parts of a run with the functions of attack and defence :func:`checked`; model and loss stay arguments."""
  kinds = {name: kind for kind in ("attack", "defense") for name in CHECKS[kind]}
  return _replaced(parts, {name: kind for name, kind in kinds.items() if hasattr(parts, name)})


def _replaced(method: Any, kinds: dict[str, str]) -> Any:
  return method._replace(**{name: checked(kind, name, getattr(method, name)) for name, kind in kinds.items()})


def method_name(kind: str, function: Any) -> str:
  """How messages name the method that a function is of: "attack pieck_uea", or "the attack" for a plain function.

  A function of a chain is that of its last part that has one.
  """
  names = [f"the {kind}"]

  def note(part: Any) -> Any:
    inner = part
    # Clients that do not collude run another attack's functions.
    while isinstance(inner, Bound) and "functions" in inner.numbers | inner.static:
      inner = (inner.numbers | inner.static)["functions"][0]
    if isinstance(inner, Bound):
      names.append(f"{kind} {owner_name(inner)}")
    return part

  change_parts(function, note)
  return names[-1]


def _speaks_for_itself(name: str, error: Exception) -> bool:
  ours = type(error).__module__.startswith("fedrecjax.")
  return ours or (name in _BEFORE_TRAINING and isinstance(error, ValueError))


def first_line(error: Exception) -> str:
  """The first line of an error's message that is not empty."""
  return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
