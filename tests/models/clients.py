"""One client of each base model, in the form that `rounds.assert_rounds_match` takes."""

from typing import Any

import jax
import numpy as np

from tests.models import references
from tests.models.rounds import Client, Gradients, as_doubles
from tests.oracles import models_lightgcn, models_ncf, training, visual_models
from tests.oracles.models_ncf import Network


def network_of(shared: Any) -> Network | None:
  """The network of `ncf` and `lightgcn` as the oracle has it."""
  if not jax.tree.leaves(shared):
    return None
  shared = as_doubles(shared)
  deeper = sorted(name for name in shared if name.startswith("Dense_"))
  hidden = [(shared["kernel"], shared["bias"])]
  hidden += [(shared[name]["kernel"], shared[name]["bias"]) for name in deeper]
  output = shared["output"]
  return Network(hidden, output["kernel"][:, 0], float(output["bias"][0]))


def _as_shared(network: Network | None) -> Any:
  if network is None:
    return ()
  (kernel, bias), *deeper = network.hidden
  layers = {f"Dense_{place}": {"kernel": w, "bias": b} for place, (w, b) in enumerate(deeper)}
  output = {"kernel": network.output[:, None], "bias": np.array([network.bias])}
  return {"kernel": kernel, "bias": bias, "output": output} | layers


def mf(*, loss: str, reduction: str) -> Client:
  def client(private, table, shared, positives, negatives, neighbors):
    value, own, rows = training.client_gradients(
      private, table, positives, negatives, loss=loss, reduction=reduction, duplicates="sum"
    )
    return Gradients(value, own, rows, shared, bool(rows))

  return client


def ncf(*, loss: str, reduction: str, products: int = 0) -> Client:
  def client(private, table, shared, positives, negatives, neighbors):
    value, own, rows, of_network = models_ncf.client_gradients(
      private, table, network_of(shared), positives, negatives,
      loss=loss, reduction=reduction, products=products,
    )  # fmt: skip
    return Gradients(value, own, rows, _as_shared(of_network), bool(rows))

  return client


def lightgcn(*, loss: str, reduction: str, layers: int, combine: str) -> Client:
  def client(private, table, shared, positives, negatives, neighbors):
    value, own, rows, of_network = models_lightgcn.client_gradients(
      private, table, network_of(shared), positives, negatives,
      loss=loss, reduction=reduction, layers=layers, combine=combine,
    )  # fmt: skip
    return Gradients(value, own, rows, _as_shared(of_network), bool(rows))

  return client


def visual(name: str, features: np.ndarray, *, reduction: str) -> Client:
  """A client of a model that sees images, by finite differences of its loss (BCE)."""

  def client(private, table, shared, positives, negatives, neighbors):
    used = sorted({int(item) for item in (*positives, *np.reshape(negatives, -1))})
    if not used:
      nothing = jax.tree.map(np.zeros_like, shared)
      return Gradients(0.0, np.zeros_like(private), {}, nothing, False)
    private, table, shared = jax.tree.map(np.copy, (private, table, shared))
    network = network_of(shared.tower)
    layers = [*network.hidden, (network.output[:, None], np.array([network.bias]))]

    def loss():
      return visual_models.client_loss(
        name, layers, shared.projection, private, table, features, positives, negatives,
        mean=reduction == "mean",
      )  # fmt: skip

    flat = [array for layer in layers for array in layer]
    rows = [table[item] for item in used]  # views, so that a change reaches the loss
    own, projection, *others = visual_models.slopes(
      loss, [private, shared.projection, *flat, *rows]
    )
    of_layers = list(zip(others[0 : len(flat) : 2], others[1 : len(flat) : 2], strict=True))
    tower = _as_shared(Network(of_layers[:-1], of_layers[-1][0][:, 0], float(of_layers[-1][1][0])))
    by_item = dict(zip(used, others[len(flat) :], strict=True))
    return Gradients(loss(), own, by_item, shared._replace(projection=projection, tower=tower), True)

  return client


def _by_autodiff(
  loss_of: Any, private: Any, table: Any, shared: Any, uploaded: set[int]
) -> Gradients:
  """Gradients of `loss_of(private, table, shared)`; nothing where nothing is uploaded."""
  if not uploaded:
    nothing = jax.tree.map(np.zeros_like, shared)
    return Gradients(0.0, np.zeros_like(private), {}, nothing, False)
  single = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), (private, table, shared))
  value, gradients = loss_of(*single)
  own, items, others = as_doubles(gradients)
  return Gradients(float(value), own, {item: items[item] for item in uploaded}, others, True)


def fedgnn(*, loss: str, reduction: str) -> Client:
  def client(private, table, shared, positives, negatives, neighbors):
    def loss_of(*parameters):
      return references.fedgnn_gradients(
        *parameters, positives, negatives, neighbors.astype(np.float32), loss, reduction
      )

    uploaded = {int(item) for item in (*positives, *np.reshape(negatives, -1))}
    return _by_autodiff(loss_of, private, table, shared, uploaded if len(positives) else set())

  return client


def sasrec(*, loss: str, reduction: str, blocks: int, length: int) -> Client:
  def client(private, table, shared, positives, negatives, neighbors):
    positives, negatives = positives[-length - 1 :], negatives[-length - 1 :]

    def loss_of(*parameters):
      return references.sasrec_gradients(*parameters, positives, negatives, loss, reduction, blocks)

    uploaded = {int(item) for item in (*positives, *np.reshape(negatives[1:], -1))}
    return _by_autodiff(loss_of, private, table, shared, uploaded if len(positives) > 1 else set())

  return client
