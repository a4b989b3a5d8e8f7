"""The vocabulary: what the parts of a simulation hand to each other.

Shapes use C clients in a round, M items, N users, d embedding size, T target items, A malicious clients in a
round (a planned capacity, unused places masked), E uploaded rows (likewise).
"""

from fedrecjax.types.attack import Attack, AttackContext, AttackView
from fedrecjax.types.basics import Array, Public, State, beside_features, no_state
from fedrecjax.types.defense import ClientTerm, ClientView, Defense, DefenseContext, DefenseView
from fedrecjax.types.images import ImageDefenseView, ImageView
from fedrecjax.types.model import Loss, Model
from fedrecjax.types.state import ServerState, SimulationState
from fedrecjax.types.uploads import ClientUpdates, ItemRows, Samples, Update

__all__ = [
  "Array",
  "Attack",
  "AttackContext",
  "AttackView",
  "ClientTerm",
  "ClientUpdates",
  "ClientView",
  "Defense",
  "DefenseContext",
  "DefenseView",
  "ImageDefenseView",
  "ImageView",
  "ItemRows",
  "Loss",
  "Model",
  "Public",
  "Samples",
  "ServerState",
  "SimulationState",
  "State",
  "Update",
  "beside_features",
  "no_state",
]
