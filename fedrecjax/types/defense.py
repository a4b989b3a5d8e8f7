"""A defence, what it is given before training, and what clients and server see in a round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optax

from fedrecjax.types.basics import Array, Public, State, no_state
from fedrecjax.types.images import ImageDefenseView
from fedrecjax.types.uploads import ClientUpdates, Samples, Update


class DefenseContext(NamedTuple):
  """What a defence is given before training. Host arrays. Only its client stages may act on clients' own data.

  Attributes:
    num_items: M.
    dim: d.
    num_clients: clients in a full round, C.
    federation: clients in the whole federation.
    rounds: client in each place of each round, int32 `[rounds, C]`; `federation` where a place is empty. Used to
      size what a defence stores.
    indptr: where the entries of each client begin in `held`, `[federation + 1]`.
    held: different items whose rows each client uploads, sorted within a client; None where they change from round
      to round because negatives are drawn anew.
    shared: shapes and types of `Public.shared`, a pytree of `jax.ShapeDtypeStruct`; `()` for models without.
  """

  num_items: int
  dim: int
  num_clients: int
  federation: int
  rounds: np.ndarray
  indptr: np.ndarray | None
  held: np.ndarray | None
  shared: Any = ()


class ClientView(NamedTuple):
  """What the clients of a round know, each of them its own part.

  Attributes:
    public: the parameters that they received.
    private: their own vectors, float32 `[C, d]`.
    clients: client in each place, int32 `[C]`; the number of clients in the federation where a place is empty.
    round: int32 scalar from 0.
    samples: what they train on.
    outside: for drawing items outside a client's training items, see :mod:`fedrecjax.clients.sampling`.
    key: a key of the round and of this stage.
    num_items: M, static.
    neighbors: vectors of other users that a client has been given, `[C, K, d]`, and which of them are used, bool
      `[C, K]`; None without neighbours.
    features: visual features of the items, float32 `[M, F]`; None for models that see no images.
  """

  public: Public
  private: Array
  clients: Array
  round: Array
  samples: Samples
  outside: Any
  key: Array
  num_items: int
  neighbors: tuple[Array, Array] | None = None
  features: Array | None = None


class ClientTerm(NamedTuple):
  """An extra term of the clients' loss: its value and gradients. None stands for no gradient.

  Attributes:
    loss: value for each client, float32 `[C]`.
    private: gradient with respect to the clients' own vectors, `[C, d]`.
    rows: gradients of the rows of each sample's positive and negatives, `[P, 1 + q, d]`.
    items: further items of each sample, int32 `[P, X]`, M where unused.
    item_rows: gradients with respect to their rows, `[P, X, d]`.
  """

  loss: Array
  private: Array | None = None
  rows: Array | None = None
  items: Array | None = None
  item_rows: Array | None = None


class DefenseView(NamedTuple):
  """What the server may read in one round. Which clients are malicious is not part of it.

  Attributes:
    public: the parameters before the server's step.
    round: int32 scalar from 0.
    num_items: M, static.
    num_clients: C, static.
    present: which places of the round hold a client, bool `[C]` (the last round of an epoch may be short).
    clients: number of those, int32 scalar.
    federation: clients in the whole federation, int32 scalar.
    samples: number of training pairs that each client claims to have, float32 `[C]`.
    transformation: the server's optimiser, static; see :func:`fedrecjax.server.step.step_rows`.
    optimizer: its state before the server's step.
    learning_rate: step size of the server.
    key: a key of the round.
    malicious: how many clients of the federation are malicious, int32 scalar; for rules that are told so by their
      options (`f_rule=malicious`) and no others.
  """

  public: Public
  round: Array
  num_items: int
  num_clients: int
  present: Array
  clients: Array
  federation: Array
  samples: Array
  transformation: optax.GradientTransformationExtraArgs
  optimizer: Any
  learning_rate: Array | float
  key: Array
  malicious: Array | int = 0


class Defense(NamedTuple):
  """A defence: any of its stages may be absent. :func:`fedrecjax.chain` composes them.

  Attributes:
    client_term: `(state, view) -> (ClientTerm, state)`: what benign clients add to their loss.
    client_transform: `(state, uploads, view) -> (uploads, state)`: what benign clients do to their rows before they
      send them; one row per client and item, places stay as they are.
    filter: `(state, uploads, view) -> (uploads, state)`: the server drops uploads (`item = M`) or rescales them;
      places stay as they are. It gets one row per client and item in order of items, with unused places anywhere.
      Clients of which a filter leaves nothing are not present, count for nothing and claim no samples in every later
      filter and in the rule.
    aggregate: `(state, uploads, view) -> (Update, state)`: the rule that makes one update of many.
    images: `(images, items, view, key) -> images`: what the server keeps of uploaded images, float32 `[B, H, W, 3]`
      on 0..255, of the given items, int32 `[B]`. It sees every image, those before training too.
    threshold: `(normal [K]) -> rho`: images are taken for adversarial whose features are less similar before and after
      `images` than rho. On the host, from the similarities of the images before training. None flags nothing.
    refuses: whether such images are refused, so that their items keep the last one that was not.
    init: `(key, context) -> state`, shared by the stages of a round.
    unique_rows: whether `aggregate` needs one row per client and item, in order of items, unused places last.
    adds_shared: whether the stages only ever add up the clients' gradients of shared parameters, so that they need
      not be told apart, which costs time and memory.
    requires: what the defence must be granted: any of `"fixed_negatives"`; `"denoiser"`, a diffusion model; and
      `"row_steps"`, an optimiser of the server that works on each item's row by itself.
  """

  client_term: Callable[[State, ClientView], tuple[ClientTerm, State]] | None = None
  client_transform: Callable[[State, ClientUpdates, ClientView], tuple[ClientUpdates, State]] | None = None
  filter: Callable[[State, ClientUpdates, DefenseView], tuple[ClientUpdates, State]] | None = None
  aggregate: Callable[[State, ClientUpdates, DefenseView], tuple[Update, State]] | None = None
  init: Callable[[Array, DefenseContext], State] = no_state
  unique_rows: bool = False
  requires: frozenset[str] = frozenset()
  adds_shared: bool = False
  images: Callable[[Array, Array, ImageDefenseView, Array], Array] | None = None
  threshold: Callable[[np.ndarray], float] | None = None
  refuses: bool = False
