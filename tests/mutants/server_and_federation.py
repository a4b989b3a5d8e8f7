"""Mistakes in the server's step and who takes part."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

SERVER = (
  Mutant(
    "server_climbs",
    "fedrecjax/server/step.py",
    'table = public.items.at[items.item].add(-learning_rate * items.row, mode="drop")',
    'table = public.items.at[items.item].add(learning_rate * items.row, mode="drop")',
    "the server climbs the gradient",
    ("tests/server/test_step.py::test_descent_adds_up_rows_and_drops_unused_places",),
  ),
  Mutant(
    "server_keeps_one_row",
    "fedrecjax/server/step.py",
    'return jnp.zeros_like(table).at[rows.item].add(rows.row, mode="drop")',
    'return jnp.zeros_like(table).at[rows.item].set(rows.row, mode="drop")',
    "of several rows of an item one counts instead of their sum",
    ("tests/server/test_step.py::test_adam_adds_up_rows_and_drops_unused_places",),
  ),
  Mutant(
    "lazy_adam_is_not_lazy",
    "fedrecjax/numerics/optimizers.py",
    "return jax.tree.map(jnp.where, touched, moved, still), jax.tree.map(jnp.where, settled, after, state)",
    "return moved, jax.tree.map(jnp.where, settled, after, state)",
    "rows that nobody touched move on",
    ("tests/server/test_lazy_adam.py::test_rows_match_the_loop",),
  ),
  Mutant(
    "lazy_adam_forgets",
    "fedrecjax/numerics/optimizers.py",
    "return jax.tree.map(jnp.where, touched, moved, still), jax.tree.map(jnp.where, settled, after, state)",
    "return jax.tree.map(jnp.where, touched, moved, still), after",
    "moments of rows that nobody touched decay",
    ("tests/server/test_lazy_adam.py::test_rows_match_the_loop",),
  ),
  Mutant(
    "tried_rows_of_nobody",
    "fedrecjax/server/step.py",
    "    jnp.any(gradient != 0, axis=-1),\n",
    "    jnp.ones(items.shape[0], bool),\n",
    "in a tried step, rows that are not uploaded count as touched",
    ("tests/server/test_lazy_adam.py::test_a_tried_step_is_the_one_that_would_be_taken",),
  ),
  Mutant(
    "tried_rows_of_the_first",
    "fedrecjax/server/step.py",
    "return leaf[items] if rows else leaf",
    "return leaf[: items.shape[0]] if rows else leaf",
    "a tried step takes the moments of the first items",
    ("tests/server/test_lazy_adam.py::test_a_tried_step_is_the_one_that_would_be_taken",),
  ),
  Mutant(
    "shared_absent_clients_counted",
    "fedrecjax/server/shared_parameters.py",
    "count = jnp.sum(uploads.sent, dtype=jnp.int32)[None]",
    "count = jnp.full(1, uploads.sent.shape[0], jnp.int32)",
    "clients that sent nothing count as gradients of zero",
    (
      "tests/defenses/test_krum.py::test_shared_parameters_are_treated_like_an_item_or_added_up",
    ),
  ),
)

FEDERATION = (
  Mutant(
    "targets_most_popular",
    "fedrecjax/federation/population.py",
    'shuffled = shuffled[np.argsort(dataset.popularity[shuffled], kind="stable")]',
    'shuffled = shuffled[np.argsort(-dataset.popularity[shuffled], kind="stable")]',
    "the most popular items are the targets",
    ("tests/federation/test_population.py::test_least_popular_targets_break_ties_at_random",),
  ),
  Mutant(
    "target_ties_by_number",
    "fedrecjax/federation/population.py",
    'shuffled = shuffled[np.argsort(dataset.popularity[shuffled], kind="stable")]',
    'shuffled = np.argsort(dataset.popularity, kind="stable")',
    "equally unpopular items are taken by number instead of at random",
    ("tests/federation/test_population.py::test_least_popular_targets_break_ties_at_random",),
  ),
  Mutant(
    "malicious_rounded_up",
    "fedrecjax/federation/population.py",
    "return int(of_users[config.ratio_of] * dataset.num_users + 1e-9)",
    "return int(of_users[config.ratio_of] * dataset.num_users + 1 - 1e-9)",
    "the number of malicious clients is rounded up",
    ("tests/federation/test_population.py::test_number_of_malicious_clients_is_rounded_down",),
  ),
  Mutant(
    "validation_items_as_negatives",
    "fedrecjax/federation/population.py",
    "aside = [dataset.test] if dataset.validation is None else [dataset.test, dataset.validation]",
    "aside = [dataset.test]",
    "validation items may be drawn as negatives",
    ("tests/federation/test_population.py::test_negatives_outside_everything_a_user_has_interacted_with",),
  ),
  Mutant(
    "attack_stops_late",
    "fedrecjax/federation/participation.py",
    "outside = (epoch < start) | (epoch >= (np.inf if stop is None else stop))",
    "outside = (epoch < start) | (epoch > (np.inf if stop is None else stop))",
    "the attack goes on for an epoch after its end",
    ("tests/attacks/test_grants.py::test_outside_its_epochs_nobody_attacks",),
  ),
  Mutant(
    "padding_is_malicious",
    "fedrecjax/federation/participation.py",
    "is_malicious = (flat >= num_benign) & (flat < num_clients)",
    "is_malicious = flat >= num_benign",
    "empty places of an epoch's last round count as malicious clients",
    ("tests/federation/test_participation.py::test_malicious_clients_and_their_slots",),
  ),
  Mutant(
    "neighbor_of_itself",
    "fedrecjax/federation/neighbors.py",
    "found[(found == np.arange(clients)[:, None]) | (lists.lengths[:, None] == 0)] = clients",
    "found[np.broadcast_to(lists.lengths[:, None] == 0, found.shape)] = clients",
    "a client is its own neighbour",
    ("tests/federation/test_neighbors.py::test_neighbors_are_different_others_that_share_an_item",),
  ),
)
