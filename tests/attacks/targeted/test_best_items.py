"""The best items of users, found without scoring all, are those of a full ranking."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.attacks.targeted import best_items as search
from fedrecjax.attacks.targeted.best_items import Best, best_items, by_length, groups, lower_bound, top_places
from fedrecjax.attacks.targeted.user_approximation import members, members_among, ordered, public_lists
from fedrecjax.datasets import ItemLists
from fedrecjax.models import fedgnn, mf, ncf
from tests.support.parameters import random_public


def full_ranking(scores, public, barred, count):
  """The best items of one user and their scores, by sorting all of them."""
  left = [item for item in range(len(scores)) if item not in public and item not in barred]
  return sorted(left, key=lambda item: (-scores[item], item))[:count]


def lists_of(random, num_users, num_items, most=9):
  return [random.choice(num_items, random.integers(1, most), replace=False) for _ in range(num_users)]


def assert_best(found: Best, scores, public, barred, count):
  for user, row in enumerate(scores):
    expected = full_ranking(row.tolist(), set(public[user].tolist()), set(barred), count)
    assert np.asarray(found.item)[user, : len(expected)].tolist() == expected
    np.testing.assert_allclose(found.score[user, : len(expected)], row[expected], rtol=1e-5, atol=1e-5)
    assert (np.asarray(found.score)[user, len(expected) :] == -np.inf).all()


def tables(kind, random, num_users, num_items, dim):
  """Item and user vectors whose lengths differ as a trained model's do, or as kind says."""
  rows, users = random.normal(size=(num_items, dim)), random.normal(size=(num_users, dim))
  if kind == "alike":
    return rows / np.linalg.norm(rows, axis=1)[:, None], users
  rows = rows * np.exp(1.5 * random.normal(size=(num_items, 1)))
  if kind == "equal scores":
    return np.round(rows), np.round(users)
  if kind == "bad for all":
    # Scores are below zero, so that the shortest items are the best.
    return np.abs(rows), -np.abs(users)
  if kind == "no user":
    return rows, 0 * users
  if kind == "tiny":
    # Their squares are too small for float32.
    return 1e-25 * rows, users
  return rows, users


@pytest.mark.parametrize("kind", ["trained", "alike", "equal scores", "bad for all", "no user", "tiny"])
@pytest.mark.parametrize("num_users, num_items, count", [(90, 900, 10), (1, 700, 3), (130, 260, 1)])
def test_inner_products(kind, num_users, num_items, count, monkeypatch):
  # Windows of few users, so that there are several of each size.
  monkeypatch.setattr(search, "_SCORES", 2**13)
  monkeypatch.setattr(search, "_FEWER_SCORES", 2**12)
  monkeypatch.setattr(search, "_FEWEST", 16)
  random = np.random.default_rng(num_users + count)
  rows, users = tables(kind, random, num_users, num_items, 8)
  public, barred = lists_of(random, num_users, num_items), [5, 77]
  lists = public_lists(ItemLists.from_lists(public), min(20, num_users))
  table, vectors = (jnp.asarray(part, jnp.float32) for part in (rows, users))
  model_public = mf(dim=8).init_public(jax.random.key(0), num_items)._replace(items=table)
  found = jax.jit(
    lambda public, vectors: best_items(mf(dim=8), public, vectors, lists, jnp.array(barred), count=count)
  )(model_public, vectors)
  scores = np.asarray(vectors) @ np.asarray(table).T
  assert_best(found, scores, public, barred, count)


@pytest.mark.parametrize("model", [ncf(dim=3, hidden=(5, 4)), fedgnn(dim=3, num_neighbors=2, neighbors_from=0)])
def test_other_scores(model, monkeypatch):
  monkeypatch.setattr(search, "_SCORES", 2**12)
  monkeypatch.setattr(search, "_FEWEST", 16)
  random = np.random.default_rng(5)
  public = random_public(model, 400, random)
  items = jnp.asarray(random.normal(size=(400, 3)) * np.exp(random.normal(size=(400, 1))), jnp.float32)
  public = public._replace(items=items)
  vectors = jnp.asarray(random.normal(size=(30, 3)), jnp.float32)
  known = lists_of(random, 30, 400)
  found = best_items(
    model, public, vectors, public_lists(ItemLists.from_lists(known), 8), jnp.zeros(0, jnp.int32), count=4
  )
  scores = np.stack([model.score(public, vector, None) for vector in vectors])
  assert_best(found, scores, known, [], 4)


def test_fewer_items_than_asked_for():
  known = [np.arange(11), np.array([3])]
  lists = public_lists(ItemLists.from_lists(known), 2)
  public = mf(dim=2).init_public(jax.random.key(0), 13)
  vectors = jnp.ones((2, 2))
  found = best_items(mf(dim=2), public, vectors, lists, jnp.array([12]), count=5)
  assert_best(found, np.asarray(vectors) @ np.asarray(public.items).T, known, [12], 5)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_a_bound_is_reached_by_as_many_as_asked_for(count):
  scores = np.random.default_rng(count).normal(size=(40, 8 * groups(count)))
  bound = np.asarray(lower_bound(jnp.asarray(scores, jnp.float32), count))
  reached = (scores >= bound[:, None] - 1e-6).sum(axis=1)
  assert (reached >= count).all() and reached.mean() < 2 * count + 1


def test_lengths_are_bounds_in_order():
  table = np.random.default_rng(0).normal(size=(50, 3)) * np.exp(np.arange(50) % 7 - 3.0)[:, None]
  table[7] = 0.0
  item, length = map(np.asarray, by_length(jnp.asarray(table, jnp.float32)))
  exact = np.linalg.norm(table, axis=1)[item]
  assert sorted(item.tolist()) == list(range(50)) and item[-1] == 7
  assert (np.diff(length) <= 0).all()
  assert (exact <= length).all() and (length[:-1] <= exact[:-1] * (1 + 2**-6)).all()


@pytest.mark.parametrize("size, count", [(3, 3), (600, 10), (5134, 10), (1000, 129), (600, 1)])
def test_top_places(size, count):
  random = np.random.default_rng(size)
  scores = random.integers(0, 40, (20, size)).astype(np.float32)
  scores[0] = -np.inf
  scores[1, count // 2 :] = -np.inf
  found, expected = top_places(jnp.asarray(scores), count), jax.lax.top_k(jnp.asarray(scores), count)
  np.testing.assert_array_equal(found[0], expected[0])
  some = np.isfinite(expected[0])
  np.testing.assert_array_equal(np.asarray(found[1])[some], np.asarray(expected[1])[some])
  assert (np.asarray(found[1]) < size).all()


def test_members_of_users_in_order():
  random = np.random.default_rng(3)
  lists = public_lists(ItemLists.from_lists(lists_of(random, 11, 40)), 4)
  users = jnp.asarray(np.append(random.permutation(11), [11, 11]), jnp.int32)
  order = ordered(lists, users)
  for size in (1, 3, 4, 6, 13):
    for first in range(0, 13, size):
      some = jnp.asarray(np.append(users, [11] * size)[first : first + size])
      expected, found = members(lists, some[:4]), members_among(order, lists, jnp.int32(first), size)
      pairs = [
        [(int(one), int(entry)) for one, entry, used in zip(*held, strict=True) if used and one < 4]
        for held in (found, expected)
      ]
      assert pairs[0] == pairs[1]
