"""Parts that hand back something else than agreed are named, in one line, before anything is compiled."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fedrecjax as frj
from fedrecjax.datasets import Dataset, ItemLists
from fedrecjax.defenses import none as plain_sums
from fedrecjax.simulation.contract_checks import CHECKS, ContractError
from fedrecjax.simulation.contracts import checked, checked_method
from fedrecjax.simulation.evaluation import evaluate
from fedrecjax.simulation.planning import plan, round_inputs
from fedrecjax.simulation.round import train_rounds

# Four benign clients, all in every round, with room for 256 samples of two items each.
M, D, P = 7, 3, 256
DATASET = Dataset(
  "tiny", 4, M,
  ItemLists.from_lists([[0, 1], [2], [3, 1], [4]]),
  ItemLists.from_lists([[5], [1], [0], [2]]),
)  # fmt: skip


def planned(colluding=True, **parts):
  options = {"model": frj.mf(dim=D), "attack": frj.Attack(), "defense": frj.Defense()}
  # One client attacks, and there is room for two.
  attacker = frj.AttackerConfig(malicious_ratio=0.34, colluding=colluding)
  return plan(
    DATASET, **(options | parts), train=frj.TrainConfig(epochs=1, clients_per_round=9), attacker=attacker,
    evaluation=frj.EvalConfig(ks=(2,)), seed=0,
  )  # fmt: skip


def trace(**parts):
  """Plans a run and traces training and evaluation; nothing is compiled."""
  run = planned(**parts)
  state, _ = jax.eval_shape(
    functools.partial(train_rounds, run.structure), run.constants, run.state, round_inputs(run.rounds, slice(0, 1))
  )
  measure = functools.partial(evaluate, config=run.evaluation, num_users=run.structure.num_benign)
  data, key = run.constants.data.evaluation, run.constants.keys.evaluation
  jax.eval_shape(measure, run.constants.parts.model, state.server.public, state.private, data, key)


def refusal(**parts):
  with pytest.raises(ContractError) as caught:
    trace(**parts)
  message = str(caught.value)
  assert "\n" not in message
  return message


def with_field(field, make):
  """Changes a field of what a part hands back, or of its items, and leaves the state."""

  def change(result, state):
    *within, last = field.split(".")
    holder = functools.reduce(getattr, within, result)
    changed = holder._replace(**{last: make(getattr(holder, last))})
    return (result._replace(**{within[0]: changed}) if within else changed), state

  return change


def without_state(result, state):
  del state
  return result


def longer(array):
  return jnp.concatenate([array, array])


def wider(array):
  return jnp.concatenate([array, array], axis=1)


# What becomes of a sound result and state before they are returned, and what is then said of it.
POISON = {
  "rows of another size": (with_field("row", wider), "row of shape (2, 6), expected [E, 3]"),
  "rows of three axes": (with_field("row", lambda row: row[:, None]), "row of shape (2, 1, 3), expected [E, 3]"),
  "rows of float64": (with_field("row", lambda row: np.ones(row.shape)), "row of type float64, expected float32"),
  "whole rows": (with_field("row", lambda row: row.astype(int)), "row of type int32, expected float32"),
  "no rows": (with_field("row", lambda row: None), "None for row, expected float32 [E, 3]"),
  "items of floats": (with_field("item", lambda item: item * 1.0), "item of type float32, expected int32"),
  "a single item": (with_field("item", lambda item: item[0]), "item of shape (), expected [E]"),
  "a client too few": (
    with_field("client", lambda client: client[1:]), "1, 2, 2 places of client, item, row, expected as many of each"
  ),
  "a list": (
    with_field("client", lambda client: [0, 1]), "an object of type list for client, expected int32 [E]"
  ),
  "a plain tuple": (lambda sent, state: (tuple(sent), state), "an object of type tuple, expected ClientUpdates"),
  "no state": (without_state, "an object of type ClientUpdates, expected a pair (uploads, state)"),
  "a state that grows": (
    lambda sent, state: (sent, {"seen": longer(state["seen"])}), "state['seen'] of shape (8,), expected [4]"
  ),
  "a state of another type": (
    lambda sent, state: (sent, {"seen": state["seen"] + 0.5}), "state['seen'] of type float32, expected int32"
  ),
  "a state of another structure": (
    lambda sent, state: (sent, state["seen"]), "state of structure (*), expected ({'seen': *})"
  ),
  "a state of texts": (
    lambda sent, state: (sent, {"seen": "all"}), "an object of type str in state, expected arrays"
  ),
  "shared without sent": (
    with_field("shared", lambda shared: jnp.ones((5, 2))), "shared without sent, expected bool [5] for sent"
  ),
  "sent by place": (with_field("sent", lambda sent: jnp.ones(2, bool)), "sent of shape (2,), expected [5]"),
}  # fmt: skip


@frj.traced
def crooked(*, how: str, strength: float = 1.0) -> frj.Attack:
  def poison(state, uploads, view, key):
    del uploads, key
    rows = strength * jnp.ones((view.slot.size, 1, view.public.items.shape[1]))
    return POISON[how][0](frj.item_rows(view.slot, view.active, view.targets, rows, M), state)

  return frj.Attack(poison, init=lambda key, context: {"seen": jnp.zeros(4, int)}, colludes=True)


@pytest.mark.parametrize("how", POISON)
def test_what_an_attack_uploads(how):
  assert refusal(attack=crooked(how=how)) == f"attack crooked: poison returned {POISON[how][1]}"


def test_attackers_that_do_not_collude_are_named_too():
  message = refusal(attack=crooked(how="rows of another size"), colluding=False)
  assert message == "attack crooked: poison returned row of shape (1, 6), expected [E, 3]"


@pytest.mark.parametrize(("axes", "said"), [
  ((), "shared['Dense_0']['bias'] of shape (8,), expected [5, 8]"),
  ((2,), "shared['Dense_0']['bias'] of shape (2, 8), expected [5, 8]"),
])  # fmt: skip
def test_gradients_of_shared_parameters_are_by_client(axes, said):
  def poison(state, uploads, view, key):
    del uploads, key
    rows = jnp.ones((view.slot.size, 1, view.public.items.shape[1]))
    sent = frj.item_rows(view.slot, view.active, view.targets, rows, M)
    shared = jax.tree.map(lambda leaf: jnp.zeros((*axes, *leaf.shape)), view.public.shared)
    return sent._replace(shared=shared, sent=jnp.ones(view.num_clients, bool)), state

  assert refusal(model=frj.ncf(), attack=frj.Attack(poison)) == f"the attack: poison returned {said}"


def profiles(*lists):
  return frj.Attack(profiles=lambda random, context: list(lists))


@pytest.mark.parametrize(("attack", "said"), [
  (frj.Attack(lambda state, uploads, view, key: (uploads, state), init=lambda key, context: {"name": "x"}),
   "init returned an object of type str in the state, expected arrays"),
  (profiles([0], [1]), "profiles returned 2 lists, expected 1, one per malicious client"),
  (profiles([0.5]), "profiles returned list 0 of type float64, expected int32"),
  (profiles([[0], [1]]), "profiles returned list 0 of shape (2, 1), expected [K]"),
  (profiles([0, M]), "profiles returned list 0 with items 0..7, expected 0..6"),
  (frj.Attack(profiles=lambda random, context: {4: [0]}), "profiles returned an object of type dict, expected a list"),
  (profiles([0])._replace(samples=lambda state, samples, *_: samples._replace(positive=longer(samples.positive))),
   f"samples returned samples.positive of shape ({2 * P},), expected [{P}]"),
  (profiles([0])._replace(samples=lambda state, samples, *_: samples._replace(flipped=samples.length)),
   "samples returned flipped of type int32, expected bool"),
  (profiles([0])._replace(samples=lambda state, samples, *_: (samples, state)),
   "samples returned an object of type tuple, expected Samples"),
])  # fmt: skip
def test_what_else_an_attack_hands_back(attack, said):
  assert refusal(attack=attack) == f"the attack: {said}"


def fewer_places(uploads, state):
  return uploads._replace(client=uploads.client[1:], item=uploads.item[1:], row=uploads.row[1:]), state


def other_state(result, state):
  del state
  return result, jnp.zeros(2)


STAGES = {
  "client_term": {
    "a bare loss": (lambda term, state: (jnp.zeros(4), state), "an object of type .*, expected ClientTerm"),
    "one loss of all": (with_field("loss", jnp.sum), "loss of shape (), expected [4]"),
    "a loss of each sample": (with_field("loss", lambda loss: jnp.zeros(P)), f"loss of shape ({P},), expected [4]"),
    "a gradient of each sample": (
      with_field("private", lambda private: jnp.zeros((P, D))), f"private of shape ({P}, 3), expected [4, 3]"
    ),
    "rows without axes": (
      with_field("rows", lambda rows: jnp.zeros((2 * P, D))), f"rows of shape ({2 * P}, 3), expected [{P}, 2, 3]"
    ),
    "items alone": (
      with_field("items", lambda items: jnp.zeros((P, 1), int)),
      "one of items and item_rows without the other, expected both or neither",
    ),
    "another state": (other_state, "state of shape (2,), expected []"),
  },
  "client_transform": {
    "fewer places": (fewer_places, f"uploads.client of shape ({2 * P - 1},), expected [{2 * P}]"),
    "who sent": (
      with_field("sent", lambda sent: jnp.ones(4, bool)),
      "uploads of structure .*, expected .*",
    ),
    "no state": (without_state, "an object of type ClientUpdates, expected a pair (uploads, state)"),
  },
  "filter": {
    "which clients to keep": (
      lambda uploads, state: (jnp.ones(4, bool), state), "an object of type .*, expected ClientUpdates"
    ),
    "fewer places": (fewer_places, f"uploads.client of shape ({2 * P - 1},), expected [{2 * P}]"),
    "shorter numbers": (
      with_field("row", lambda row: row.astype(jnp.bfloat16)), "uploads.row of type bfloat16, expected float32"
    ),
    "another state": (other_state, "state of shape (2,), expected []"),
  },
  "aggregate": {
    "no rows": (with_field("items", lambda items: None), "None for items, expected ItemRows"),
    "a table": (
      with_field("items", lambda items: jnp.zeros((M, D))), "an object of type .* for items, expected ItemRows"
    ),
    "rows of another size": (with_field("items.row", wider), f"items.row of shape ({2 * P}, 6), expected [E, 3]"),
    "more rows than items": (
      with_field("items.row", longer), f"{2 * P}, {4 * P} places of items.item, items.row, expected as many of each"
    ),
    "shared of no model": (
      with_field("shared", lambda shared: {"bias": jnp.zeros(2)}), "shared of structure ({'bias': *}), expected (())"
    ),
    "kept by client": (with_field("kept", lambda kept: jnp.ones(4, bool)), f"kept of shape (4,), expected [{2 * P}]"),
    "no state": (without_state, "an object of type Update, expected a pair (Update, state)"),
  },
}  # fmt: skip


@frj.traced
def lopsided(*, stage: str, how: str) -> frj.Defense:
  change = STAGES[stage][how][0]

  def client_term(state, view):
    return change(frj.ClientTerm(jnp.zeros(view.clients.shape[0])), state)

  def of_uploads(state, uploads, view):
    return change(uploads, state)

  def aggregate(state, uploads, view):
    return change(plain_sums().aggregate((), uploads, view)[0], state)

  functions = {
    "client_term": client_term, "client_transform": of_uploads, "filter": of_uploads, "aggregate": aggregate
  }  # fmt: skip
  return frj.Defense(**{stage: functions[stage]}, init=lambda key, context: jnp.zeros(()))


@pytest.mark.parametrize(("stage", "how"), [(stage, how) for stage, cases in STAGES.items() for how in cases])
def test_what_a_stage_of_a_defense_hands_back(stage, how):
  # The one that is wrong is named among the others of a chain, even where others come after it.
  before, after = frj.norm_bound(max_norm=1.0), frj.norm_bound(max_norm=2.0)
  defense = frj.chain(before, lopsided(stage=stage, how=how), after, *([] if stage == "aggregate" else [frj.median()]))
  pattern = re.escape(f"defense lopsided: {stage} returned {STAGES[stage][how][1]}").replace(r"\.\*", ".*")
  assert re.fullmatch(pattern, refusal(defense=defense))


def test_a_defense_alone_is_named_and_a_plain_function_by_its_kind():
  said = f"filter returned uploads.client of shape ({2 * P - 1},), expected [{2 * P}]"
  assert refusal(defense=lopsided(stage="filter", how="fewer places")) == f"defense lopsided: {said}"
  plain = frj.Defense(filter=lambda state, uploads, view: fewer_places(uploads, state))
  assert refusal(defense=plain) == f"the defense: {said}"
  init = frj.Defense(init=lambda key, context: object())
  assert refusal(defense=init) == "the defense: init returned an object of type object in the state, expected arrays"


MODEL = {
  "a transposed table": (
    {"init_public": lambda key, num_items: frj.Public(jnp.ones((D, num_items)), ())},
    "init_public returned items of shape (3, 7), expected [7, d]",
  ),
  "a bare table": (
    {"init_public": lambda key, num_items: jnp.ones((num_items, D))},
    "init_public returned an object of type .*, expected Public",
  ),
  "a whole table": (
    {"init_public": lambda key, num_items: frj.Public(jnp.ones((num_items, D), int), ())},
    "init_public returned items of type int32, expected float32",
  ),
  "whole parameters": (
    {"init_public": lambda key, num_items: frj.Public(jnp.ones((num_items, D)), {"size": jnp.zeros(2, int)})},
    "init_public returned shared['size'] of type int32, expected float32",
  ),
  "a private row": (
    {"init_private": lambda key: jnp.ones((1, D))}, "init_private returned a vector of shape (1, 3), expected [d]"
  ),
  "scores of some items": (
    {"score": lambda public, user, items: public.items[1:] @ user}, "score returned scores of shape (6,), expected [7]"
  ),
  "scores in a column": (
    {"score": lambda public, user, items: (public.items @ user)[:, None]},
    "score returned scores of shape (7, 1), expected [7]",
  ),
  "products for a score": (
    {"score_row": lambda user, row, shared: user * row}, "score_row returned a result of shape (3,), expected []"
  ),
  "a truth for a score": (
    {"score_own": lambda user, row, shared: user @ row > 0},
    "score_own returned a result of type bool, expected float32",
  ),
  "a value without its logit": (
    {"attend": lambda private, row, shared: row, "represent": lambda private, average, *_: average},
    "attend returned an object of type .*, expected a pair (logit, value)",
  ),
  "a number for a user": (
    {"attend": lambda private, row, shared: (0.0, row), "represent": lambda private, average, *_: average[0]},
    "represent returned a vector of shape (), expected [r]",
  ),
}  # fmt: skip


@frj.traced
def askew(*, how: str) -> frj.Model:
  return frj.mf(dim=D)._replace(**MODEL[how][0])


@pytest.mark.parametrize("how", MODEL)
def test_what_a_model_hands_back(how):
  assert re.fullmatch(
    re.escape(f"model askew: {MODEL[how][1]}").replace(r"\.\*", ".*"), refusal(model=askew(how=how))
  )


def test_a_history_has_a_vector_after_each_of_its_items():
  model = frj.mf(dim=D)._replace(encode=lambda rows, valid, shared, key: rows[-1], history=4)
  with pytest.raises(ContractError, match=r"^the model: encode returned vectors of shape \(3,\), expected \[4, r\]$"):
    checked_method("model", model).encode(jnp.ones((4, D)), jnp.ones(4, bool), (), None)


def test_projected_rows_stay_as_many():
  model = frj.mf(dim=D)._replace(project=lambda rows, shared: (rows.reshape(-1), shared))
  with pytest.raises(ContractError, match=r"^the model: project returned rows of shape \(12,\), expected \[4, p\]$"):
    checked_method("model", model).project(jnp.ones((4, D)), ())


def test_a_loss_is_one_number():
  loss = frj.Loss(sample=lambda positive, negatives: positive - negatives, terms=lambda count: count)
  with pytest.raises(ContractError, match=r"^the loss: sample returned a result of shape \(2,\), expected \[\]$"):
    checked_method("loss", loss).sample(jnp.zeros(()), jnp.zeros(2))


def test_images_that_are_kept_have_the_shape_of_those_that_were_sent():
  keep = checked("defense", "images", lambda images, items, view, key: images[..., :1])
  with pytest.raises(ContractError, match=r"^the defense: images returned images of shape \(2, 4, 4, 1\), expected \["):
    keep(jnp.zeros((2, 4, 4, 3)), jnp.arange(2), None, jax.random.key(0))


def test_a_state_may_hold_numbers_keys_and_nothing():
  # A number of Python's counts as the type that JAX gives it, here int32.
  attack = frj.Attack(
    lambda state, uploads, view, key: (uploads, {**state, "round": 1, "key": key}),
    init=lambda key, context: {"round": 0, "key": key, "none": None, "host": np.zeros(2)},
  )
  trace(attack=attack)


def test_checks_leave_no_trace_in_a_program(monkeypatch):
  def program():
    run = planned(attack=frj.explicit_boosting(), defense=frj.chain(frj.norm_bound(max_norm=1.0), frj.median()))
    whole = jax.jit(functools.partial(train_rounds, run.structure))
    return whole.lower(run.constants, run.state, round_inputs(run.rounds, slice(0, 1))).as_text()

  looked_at = []
  checks = CHECKS
  for kind in checks:
    noted = {name: lambda where, *_, of=(kind, name): looked_at.append(of) for name in checks[kind]}
    monkeypatch.setitem(checks, kind, noted)
  without = program()
  assert {("attack", "poison"), ("defense", "filter"), ("defense", "aggregate"), ("model", "score_row")} <= {*looked_at}
  monkeypatch.undo()
  assert program() == without
