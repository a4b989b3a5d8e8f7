"""Properties that every registered aggregation rule has, over one table."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax.defenses import DEFENSES
from fedrecjax.types import ClientUpdates, DefenseContext
from fedrecjax.uploads.rows import merge_rows
from tests.support.views import dense, updated

M, C, D = 8, 12, 3
RULES = [name for name in DEFENSES.names() if DEFENSES[name].constructor().aggregate is not None]
SCOPED = [
  name for name in RULES if "scope" in inspect.signature(DEFENSES[name].constructor).parameters
]
# hics clips by norms and remembers: twice the rows are not twice the update.
LINEAR = [name for name in RULES if name != "hics"]


def uploads_with_counts(random, counts, *, split=False):
  """Item i uploaded by `counts[i]` clients; with `split` every row comes in two parts."""
  client, item = [], []
  for number, count in enumerate(counts):
    client += sorted(random.choice(C, count, replace=False))
    item += [number] * count
  row = random.integers(-8, 9, (len(item), D)) / 8
  if split:
    part = random.integers(-8, 9, row.shape) / 8
    client, item, row = client * 2, item * 2, np.concatenate([part, row - part])
    order = np.argsort(client, kind="stable")
    client, item, row = (np.asarray(array)[order] for array in (client, item, row))
  pad = 2 * M * C - len(item)
  return ClientUpdates(
    jnp.asarray(np.pad(client, (0, pad)), jnp.int32),
    jnp.asarray(np.pad(item, (0, pad), constant_values=M), jnp.int32),
    jnp.asarray(np.pad(row, ((0, pad), (0, 0)), constant_values=5.0), jnp.float32),
  )


merged = jax.jit(lambda uploads: merge_rows(uploads, M))


def update_of(name, uploads, *, present=C, **options):
  """A registered rule's dense update of one round."""
  defense = DEFENSES[name].constructor(**options)
  context = DefenseContext(M, D, C, C, np.zeros((1, C), np.int32), None, None)
  state = defense.init(jax.random.key(0), context)
  taken = jnp.arange(C) < present
  return dense(updated(defense.aggregate, merged(uploads), taken, state=state, num_items=M), M)


@pytest.mark.parametrize("name", RULES)
def test_every_count_from_none_to_all_gives_numbers(name):
  random = np.random.default_rng(0)
  for counts in ([0] * M, [0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 0, 1, 1]):
    update = update_of(name, uploads_with_counts(random, counts))
    assert np.isfinite(update).all()
    untouched = np.array(counts) == 0
    assert (np.asarray(update)[untouched] == 0).all()


@pytest.mark.parametrize("name", RULES)
def test_a_round_without_clients_moves_nothing(name):
  nothing = uploads_with_counts(np.random.default_rng(0), [0] * M)
  assert not np.asarray(update_of(name, nothing, present=0)).any()


@pytest.mark.parametrize("name", LINEAR)
def test_twice_the_rows_are_twice_the_update(name):
  uploads = uploads_with_counts(np.random.default_rng(1), [1, 2, 3, 5, 7, 9, 11, 12])
  once, twice = (
    update_of(name, uploads._replace(row=factor * uploads.row)) for factor in (1, 2)
  )
  assert np.abs(once).max() > 0
  np.testing.assert_array_equal(twice, 2 * once)


@pytest.mark.parametrize("name", RULES)
def test_rows_in_two_parts_count_once(name):
  counts = [1, 2, 3, 5, 7, 9, 11, 12]
  whole, parts = (
    update_of(name, uploads_with_counts(np.random.default_rng(2), counts, split=split))
    for split in (False, True)
  )
  np.testing.assert_allclose(whole, parts, atol=1e-5)


@pytest.mark.parametrize("name", SCOPED)
def test_scopes_agree_where_every_client_uploads_every_item(name):
  # Rules that choose whole clients agree with those that choose rows where there is one item.
  chooses = name in ("krum", "multi_krum", "bulyan")
  counts = [C] + [0] * (M - 1) if chooses else [C] * M
  uploads = uploads_with_counts(np.random.default_rng(3), counts)
  options = {"f": 0.2} if chooses or name == "trimmed_mean" else {}
  one, two = (update_of(name, uploads, scope=scope, **options) for scope in ("item", "client"))
  assert np.abs(one).max() > 0
  np.testing.assert_allclose(one, two, atol=1e-5)
