"""Everything that lives from one round to the next."""

from __future__ import annotations

from typing import Any, NamedTuple

from fedrecjax.types.basics import Array, Public, State


class ServerState(NamedTuple):
  """The server between rounds.

  Attributes:
    public: the model's public part.
    defense: the defence's state.
    optimizer: the state of the optimiser.
    features: visual features of the items' images, float32 `[M, F]`; None for models that see no images.
  """

  public: Public
  defense: State
  optimizer: Any = ()
  features: Array | None = None


class SimulationState(NamedTuple):
  """Everything that lives from one round to the next.

  Attributes:
    server: the server's part.
    private: each client's own vector, benign clients first, float32 `[N + malicious, d]`.
    attack: the attack's state.
    client_optimizer: state of the optimisers of the clients' own vectors.
  """

  server: ServerState
  private: Array
  attack: State
  client_optimizer: Any = ()
