"""Impossible numbers are named; sizes and initialisation of models with shared parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedrecjax import models


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("ncf", {"dim": 0}, r"ncf\.dim must be positive, got 0"),
    ("ncf", {"hidden": ()}, r"ncf\.hidden must be positive widths, at least one, got \(\)"),
    ("ncf", {"hidden": (8, 0)}, r"ncf\.hidden must be positive widths, at least one, got \(8, 0\)"),
    ("ncf", {"init_std": 0.0}, r"ncf\.init_std must be positive, got 0\.0"),
    ("ncf", {"gmf": 3}, r"ncf\.gmf must be"),
    ("lightgcn", {"dim": -1}, r"lightgcn\.dim must be positive, got -1"),
    ("lightgcn", {"layers": -1}, r"lightgcn\.layers must not be negative, got -1"),
    ("lightgcn", {"hidden": (0,)}, r"lightgcn\.hidden must be positive widths"),
    ("lightgcn", {"init_std": -0.1}, r"lightgcn\.init_std must be positive, got -0\.1"),
    ("lightgcn", {"combine": "max"}, r"lightgcn\.combine must be .*sum.*mean.*, got 'max'"),
    ("lightgcn", {"head": "gmf"}, r"lightgcn\.head must be .*mlp.*dot.*, got 'gmf'"),
    ("vncf", {"dim": 0}, r"vncf\.dim must be positive, got 0"),
    ("vncf", {"hidden": ()}, r"vncf\.hidden must be positive widths, at least one, got \(\)"),
    ("vncf", {"num_features": -1}, r"vncf\.num_features must not be negative, got -1"),
    ("vncf", {"init_std": 0.0}, r"vncf\.init_std must be positive, got 0\.0"),
    ("lightvgcn", {"dim": 0}, r"lightvgcn\.dim must be positive, got 0"),
    ("lightvgcn", {"layers": 2}, r"lightvgcn\.layers must be 0 or 1, got 2"),
    ("lightvgcn", {"hidden": (0,)}, r"lightvgcn\.hidden must be positive widths"),
    ("lightvgcn", {"num_features": -1}, r"lightvgcn\.num_features must not be negative, got -1"),
    ("lightvgcn", {"init_std": 0.0}, r"lightvgcn\.init_std must be positive, got 0\.0"),
    ("fedgnn", {"dim": 0}, r"fedgnn\.dim must be positive, got 0"),
    ("fedgnn", {"num_neighbors": -1}, r"fedgnn\.num_neighbors must not be negative, got -1"),
    ("fedgnn", {"neighbors_from": -2}, r"fedgnn\.neighbors_from must not be negative, got -2"),
    ("fedgnn", {"init_std": float("nan")}, r"fedgnn\.init_std must be"),
    ("sasrec", {"dim": 0}, r"sasrec\.dim must be positive, got 0"),
    ("sasrec", {"length": 0}, r"sasrec\.length must be positive, got 0"),
    ("sasrec", {"blocks": 0}, r"sasrec\.blocks must be positive, got 0"),
    ("sasrec", {"heads": 0}, r"sasrec\.heads must divide sasrec\.dim, got 0"),
    ("sasrec", {"dim": 6, "heads": 4}, r"sasrec\.heads must divide sasrec\.dim, got 4"),
    ("sasrec", {"dropout": 1.0}, r"sasrec\.dropout must be at least 0 and below 1, got 1\.0"),
    ("sasrec", {"dropout": -0.1}, r"sasrec\.dropout must be at least 0 and below 1, got -0\.1"),
    ("sasrec", {"init_std": 0.0}, r"sasrec\.init_std must be positive, got 0\.0"),
  ],
)
def test_impossible_numbers_are_named(name, options, message):
  with pytest.raises(ValueError, match=message):
    getattr(models, name)(**options)


@pytest.mark.parametrize(
  ("name", "options", "vectors", "layers"),
  [
    ("ncf", {}, 8, [(16, 8), (8, 8), (8, 1)]),
    ("ncf", {"dim": 32, "hidden": (32, 16)}, 32, [(64, 32), (32, 16), (16, 1)]),
    ("ncf", {"dim": 8, "gmf": True}, 16, [(16, 8), (8, 8), (16, 1)]),
    ("lightgcn", {}, 32, [(64, 32), (32, 16), (16, 1)]),
  ],
)
def test_networks_have_the_stated_layers_and_initialisation(name, options, vectors, layers):
  model = getattr(models, name)(**options)
  public = model.init_public(jax.random.key(0), 500)
  assert public.items.shape == (500, vectors)
  assert model.init_private(jax.random.key(1)).shape == (vectors,)
  assert float(jnp.std(public.items)) == pytest.approx(0.01, rel=0.05)
  shared = dict(public.shared)
  found = [shared["kernel"], shared["Dense_0"]["kernel"], shared["output"]["kernel"]]
  assert [one.shape for one in found] == layers
  for kernel, (inputs, outputs) in zip(found, layers, strict=True):
    bound = np.sqrt(6 / inputs)
    assert 0 < float(jnp.max(jnp.abs(kernel))) <= bound
    if outputs > 1:
      # A uniform variable's standard deviation; 64 numbers or more.
      assert float(jnp.std(kernel)) == pytest.approx(bound / np.sqrt(3), rel=0.25)
  for bias in (shared["bias"], shared["Dense_0"]["bias"], shared["output"]["bias"]):
    assert not bias.any()


def test_a_dot_product_shares_nothing_and_sasrec_has_no_own_vector():
  assert models.lightgcn(head="dot").init_public(jax.random.key(0), 5).shared == ()
  model = models.sasrec(dim=4, length=3)
  assert model.init_private(jax.random.key(0)).shape == (0,) and model.history == 3
  assert model.init_public(jax.random.key(0), 5).shared["position"].shape == (3, 4)
