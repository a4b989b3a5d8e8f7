"""Plain NumPy of the visually aware models, one client at a time: scores, losses and gradients by finite differences.

Yuan et al., "Manipulating Visually-aware Federated Recommender Systems", Eq. 1 and 4 to 6. A client's graph has its own
edges alone, so that an item has one neighbour, |N_v| = 1, and the user as many as it has items.
"""

import numpy as np

from tests.oracles.logistic import sigmoid


def network(layers, signal):
  """Hidden layers with rectifiers, and one output; layers are (weights, bias), inputs by outputs."""
  for weights, bias in layers[:-1]:
    signal = np.maximum(signal @ weights + bias, 0)
  weights, bias = layers[-1]
  return float((signal @ weights + bias)[0])


def vncf_logit(layers, user, item, visual):
  """Eq. 4."""
  return network(layers, np.concatenate([user, item, visual]))


def lightvgcn_vectors(user, items, visuals):
  """Eq. 5 and 6 for one layer: the user's final vector, and what each of its items gains.

  Args:
    user: u^0 [d].
    items: v^0 of the user's items [n, d], repeats as often as they stand in its list.
    visuals: E Phi of them [n, d].
  """
  count = len(items)
  final, gain = user.copy(), np.zeros_like(user)
  for item, visual in zip(items, visuals, strict=True):
    final = final + (item + visual) / (np.sqrt(count) * np.sqrt(1))
  if count:
    gain = user / (np.sqrt(1) * np.sqrt(count))
  return final, gain


def client_loss(name, layers, projection, user, table, features, positives, negatives, mean):
  """BCE over a client's positives and their negatives (Eq. 1).

  Args:
    name: "vncf" or "lightvgcn".
    layers: of the network.
    projection: E [F, d].
    user: the client's vector [d].
    table: item embeddings [M, d].
    features: Phi of every item [M, F].
    positives: items, in the order of the client's list.
    negatives: of each positive.
    mean: whether the loss is a mean over its terms.
  """
  visuals = features @ projection
  held = np.array(positives)
  final, gain = user, np.zeros_like(user)
  if name == "lightvgcn":
    final, gain = lightvgcn_vectors(user, table[held], visuals[held])
  total, terms = 0.0, 0
  for positive, others in zip(positives, negatives, strict=True):
    logit = vncf_logit(layers, final, table[positive] + gain, visuals[positive])
    total -= np.log(sigmoid(logit))
    terms += 1
    for other in others:
      logit = vncf_logit(layers, final, table[other], visuals[other])
      total -= np.log(1 - sigmoid(logit))
      terms += 1
  return total / terms if mean else total


def slopes(function, arrays, step=1e-5):
  """Central differences of a function of several arrays by each of their numbers."""
  found = []
  for array in arrays:
    slope = np.zeros_like(array)
    for place in np.ndindex(array.shape):
      before = array[place]
      array[place] = before + step
      ahead = function()
      array[place] = before - step
      back = function()
      array[place] = before
      slope[place] = (ahead - back) / (2 * step)
    found.append(slope)
  return found
