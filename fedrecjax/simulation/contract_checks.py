"""What parts must hand back: the shapes, types and structures of each of their functions' results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from fedrecjax.types import (
  Array,
  AttackContext,
  AttackView,
  ClientTerm,
  ClientUpdates,
  ClientView,
  DefenseView,
  ImageView,
  ItemRows,
  Public,
  Samples,
  State,
  Update,
)


class ContractError(ValueError):
  """A part of a simulation handed back something else than agreed; one line says which part, what, and what instead."""


def _kind_of(value: Any) -> str:
  return "None" if value is None else f"an object of type {type(value).__name__}"


def _check_type(where: str, value: Any, expected: type, field: str = "") -> None:
  if not isinstance(value, expected):
    raise ContractError(f"{where} {_kind_of(value)}{field and f' for {field}'}, expected {expected.__name__}")


def _check_pair(where: str, result: Any, names: str) -> None:
  if not isinstance(result, tuple) or len(result) != 2:
    raise ContractError(f"{where} {_kind_of(result)}, expected a pair {names}")


def _check_array(where: str, field: str, value: Any, dtype: Any, *sizes: int | str) -> None:
  """Checks one array; a size that is a letter stands for any number."""
  shape = f"[{', '.join(map(str, sizes))}]"
  expected = {int: "int32", bool: "bool"}.get(dtype, "float32")
  if isinstance(value, (bool, int, float)):
    value = jax.typeof(value)
  if not hasattr(value, "shape") or not hasattr(value, "dtype"):
    raise ContractError(f"{where} {_kind_of(value)} for {field}, expected {expected} {shape}")
  try:
    chex.assert_rank(value, len(sizes))
    chex.assert_shape(value, tuple(None if isinstance(size, str) else size for size in sizes))
  except AssertionError:
    raise ContractError(f"{where} {field} of shape {value.shape}, expected {shape}") from None
  try:
    chex.assert_type(value, dtype)
  except AssertionError:
    raise ContractError(f"{where} {field} of type {value.dtype}, expected {expected}") from None


def _check_like(where: str, field: str, value: Any, expected: Any) -> None:
  """Checks that a pytree has the structure, shapes and types of another, as JAX takes them."""
  value, expected = _shapes(where, field, value), _shapes(where, field, expected)
  try:
    chex.assert_trees_all_equal_structs(value, expected)
  except AssertionError:
    found, wanted = (str(jax.tree.structure(one)).removeprefix("PyTreeDef") for one in (value, expected))
    raise ContractError(f"{where} {field} of structure {found}, expected {wanted}") from None
  for (path, leaf), wanted in zip(jax.tree_util.tree_leaves_with_path(value), jax.tree.leaves(expected), strict=True):
    try:
      chex.assert_trees_all_equal_shapes_and_dtypes(leaf, wanted)
    except AssertionError:
      place = field + jax.tree_util.keystr(path)
      if leaf.shape != wanted.shape:
        raise ContractError(f"{where} {place} of shape {leaf.shape}, expected {list(wanted.shape)}") from None
      raise ContractError(f"{where} {place} of type {leaf.dtype}, expected {wanted.dtype}") from None


def _shapes(where: str, field: str, tree: Any) -> Any:
  """A pytree's shapes and types, those that JAX gives to plain numbers and to arrays of NumPy."""

  def of_leaf(leaf: Any) -> jax.ShapeDtypeStruct:
    try:
      kind = jax.typeof(leaf)
    except TypeError:
      raise ContractError(f"{where} {_kind_of(leaf)} in {field}, expected arrays") from None
    return jax.ShapeDtypeStruct(kind.shape, kind.dtype)

  return jax.tree.map(of_leaf, tree)


def _check_equal_places(where: str, **arrays: Any) -> None:
  try:
    chex.assert_equal_shape_prefix(list(arrays.values()), 1)
  except AssertionError:
    counts = ", ".join(str(one.shape[0]) for one in arrays.values())
    raise ContractError(f"{where} {counts} places of {', '.join(arrays)}, expected as many of each") from None


def _check_init(where: str, state: Any, *arguments: Any) -> None:
  del arguments
  _shapes(where, "the state", state)


def _check_poison(where: str, result: Any, state: State, uploads: Any, view: AttackView, key: Array) -> None:
  del uploads, key
  _check_pair(where, result, "(uploads, state)")
  sent, after = result
  _check_type(where, sent, ClientUpdates)
  _check_array(where, "client", sent.client, int, "E")
  _check_array(where, "item", sent.item, int, "E")
  _check_array(where, "row", sent.row, jnp.float32, "E", view.public.items.shape[1])
  _check_equal_places(where, client=sent.client, item=sent.item, row=sent.row)
  if sent.sent is None and jax.tree.leaves(sent.shared):
    raise ContractError(f"{where} shared without sent, expected bool [{view.num_clients}] for sent")
  if sent.sent is not None:
    _check_array(where, "sent", sent.sent, bool, view.num_clients)
    of_clients = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct((view.num_clients, *leaf.shape), leaf.dtype), view.public.shared
    )
    _check_like(where, "shared", sent.shared, of_clients)
  _check_like(where, "state", after, state)


def _check_samples(where: str, result: Any, state: State, samples: Samples, *arguments: Any) -> None:
  del state, arguments
  _check_type(where, result, Samples)
  if result.flipped is not None:
    _check_array(where, "flipped", result.flipped, bool, samples.length.shape[0])
  _check_like(where, "samples", result._replace(flipped=None), samples._replace(flipped=None))


def _check_profiles(where: str, profiles: Any, random: np.random.Generator, context: AttackContext) -> None:
  del random
  if not isinstance(profiles, (list, tuple, np.ndarray)):
    raise ContractError(f"{where} {_kind_of(profiles)}, expected a list")
  if len(profiles) != context.num_malicious:
    raise ContractError(f"{where} {len(profiles)} lists, expected {context.num_malicious}, one per malicious client")
  for number, items in enumerate(map(np.asarray, profiles)):
    _check_array(where, f"list {number}", items if items.size else items.astype(int), int, "K")
    if items.size and not 0 <= items.min() <= items.max() < context.num_items:
      raise ContractError(f"{where} list {number} with items {items.min()}..{items.max()},"
                          f" expected 0..{context.num_items - 1}")


def _check_images(where: str, result: Any, state: State, view: ImageView, key: Array) -> None:
  del key
  _check_pair(where, result, "(images, state)")
  images, after = result
  dtype = jnp.uint8 if getattr(images, "dtype", None) == jnp.uint8 else jnp.float32
  _check_array(where, "images", images, dtype, *view.clean.shape)
  _check_like(where, "state", after, state)


def _check_tells(where: str, told: Any, *arguments: Any) -> None:
  del arguments
  _check_type(where, told, dict)
  for name, number in told.items():
    _check_type(where, name, str, "a name")
    _check_array(where, name, number, jnp.float32)


def _check_client_term(where: str, result: Any, state: State, view: ClientView) -> None:
  _check_pair(where, result, "(ClientTerm, state)")
  term, after = result
  _check_type(where, term, ClientTerm)
  samples, dim = view.samples, view.public.items.shape[1]
  places, looked_up = samples.uploaded.shape
  _check_array(where, "loss", term.loss, jnp.float32, view.clients.shape[0])
  if term.private is not None:
    _check_array(where, "private", term.private, jnp.float32, *view.private.shape)
  if term.rows is not None:
    _check_array(where, "rows", term.rows, jnp.float32, places, looked_up, dim)
  if (term.items is None) != (term.item_rows is None):
    raise ContractError(f"{where} one of items and item_rows without the other, expected both or neither")
  if term.items is not None and term.item_rows is not None:
    _check_array(where, "items", term.items, int, places, "X")
    _check_array(where, "item_rows", term.item_rows, jnp.float32, places, term.items.shape[1], dim)
  _check_like(where, "state", after, state)


def _check_changed(where: str, result: Any, state: State, uploads: ClientUpdates, view: Any) -> None:
  """Of a client's transform and a server's filter: places stay as they are."""
  del view
  _check_pair(where, result, "(uploads, state)")
  changed, after = result
  _check_type(where, changed, ClientUpdates)
  _check_like(where, "uploads", changed, uploads)
  _check_like(where, "state", after, state)


def _check_aggregate(where: str, result: Any, state: State, uploads: ClientUpdates, view: DefenseView) -> None:
  _check_pair(where, result, "(Update, state)")
  update, after = result
  _check_type(where, update, Update)
  _check_type(where, update.items, ItemRows, "items")
  _check_array(where, "items.item", update.items.item, int, "E")
  _check_array(where, "items.row", update.items.row, jnp.float32, "E", view.public.items.shape[1])
  _check_equal_places(where, **{"items.item": update.items.item, "items.row": update.items.row})
  _check_like(where, "shared", update.shared, view.public.shared)
  if update.kept is not None:
    _check_array(where, "kept", update.kept, bool, uploads.item.shape[0])
  if update.idle is not None:
    _check_array(where, "idle", update.idle, int, 2)
  _check_like(where, "state", after, state)


def _check_kept_images(where: str, kept: Any, images: Array, *arguments: Any) -> None:
  del arguments
  _check_array(where, "images", kept, jnp.float32, *images.shape)


def _check_init_public(where: str, public: Any, key: Array, num_items: int) -> None:
  del key
  _check_type(where, public, Public)
  _check_array(where, "items", public.items, jnp.float32, num_items, "d")
  for path, leaf in jax.tree_util.tree_leaves_with_path(_shapes(where, "shared", public.shared)):
    _check_array(where, f"shared{jax.tree_util.keystr(path)}", leaf, jnp.float32, *leaf.shape)


def _check_init_private(where: str, private: Any, key: Array) -> None:
  del key
  _check_array(where, "a vector", private, jnp.float32, "d")


def _check_score(where: str, logits: Any, public: Public, user: Array, items: Array | None) -> None:
  del user
  _check_array(where, "scores", logits, jnp.float32, (public.items if items is None else items).shape[0])


def _check_scalar(where: str, value: Any, *arguments: Any) -> None:
  del arguments
  _check_array(where, "a result", value, jnp.float32)


def _check_attend(where: str, result: Any, *arguments: Any) -> None:
  del arguments
  _check_pair(where, result, "(logit, value)")
  _check_array(where, "logit", result[0], jnp.float32)
  _check_array(where, "value", result[1], jnp.float32, "p")


def _check_vector(where: str, user: Any, *arguments: Any) -> None:
  del arguments
  _check_array(where, "a vector", user, jnp.float32, "r")


def _check_encode(where: str, users: Any, rows: Array, *arguments: Any) -> None:
  del arguments
  _check_array(where, "vectors", users, jnp.float32, rows.shape[0], "r")


def _check_project(where: str, result: Any, rows: Array, shared: Any) -> None:
  del shared
  _check_pair(where, result, "(rows, shared)")
  _check_array(where, "rows", result[0], jnp.float32, *rows.shape[:-1], "p")


CHECKS: dict[str, dict[str, Callable[..., None]]] = {
  "attack": {
    "init": _check_init,
    "poison": _check_poison,
    "samples": _check_samples,
    "profiles": _check_profiles,
    "images": _check_images,
    "tells": _check_tells,
  },
  "defense": {
    "init": _check_init,
    "client_term": _check_client_term,
    "client_transform": _check_changed,
    "filter": _check_changed,
    "aggregate": _check_aggregate,
    "images": _check_kept_images,
  },
  "model": {
    "init_public": _check_init_public,
    "init_private": _check_init_private,
    "score": _check_score,
    "score_row": _check_scalar,
    "score_own": _check_scalar,
    "attend": _check_attend,
    "represent": _check_vector,
    "encode": _check_encode,
    "project": _check_project,
  },
  "loss": {"sample": _check_scalar},
}
