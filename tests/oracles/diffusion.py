"""Diffusion in float64, step by step, from Ho et al. (2020) and Nichol and Dhariwal (2021).

Here t counts steps from 1, as in the papers: index 0 of the package is t = 1.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import erf, exp, inf, log, prod, sqrt

import numpy as np


def linear_betas(steps: int, first: float = 1e-4, last: float = 2e-2) -> list[float]:
  """Ho et al., Section 4: equal increments; other numbers of steps add the same noise in all."""
  scale = 1000 / steps
  return [scale * (first + (last - first) * t / (steps - 1)) for t in range(steps)]


def alpha_bar(betas: Sequence[float], t: int) -> float:
  """Product of 1 - beta over the first t steps; 1 before the first."""
  return prod((1 - beta for beta in betas[:t]), start=1.0)


def posterior_variance(betas: Sequence[float], t: int) -> float:
  """Ho et al., Eq. 7, second part."""
  return betas[t - 1] * (1 - alpha_bar(betas, t - 1)) / (1 - alpha_bar(betas, t))


def posterior_mean(betas: Sequence[float], t: int, clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
  """Ho et al., Eq. 7, first part."""
  now, before, beta = alpha_bar(betas, t), alpha_bar(betas, t - 1), betas[t - 1]
  return (sqrt(before) * beta * clean + sqrt(1 - beta) * (1 - before) * noisy) / (1 - now)


def noised(betas: Sequence[float], t: int, clean: np.ndarray, noise: np.ndarray) -> np.ndarray:
  """Ho et al., Eq. 4."""
  now = alpha_bar(betas, t)
  return sqrt(now) * clean + sqrt(1 - now) * noise


def predicted(betas: Sequence[float], t: int, output: np.ndarray, noisy: np.ndarray, clip: bool):
  """Mean, log-variance and clean image that a network's output stands for."""
  noise, coefficient = output[..., :3], output[..., 3:]
  now = alpha_bar(betas, t)
  clean = (noisy - sqrt(1 - now) * noise) / sqrt(now)
  if clip:
    clean = np.clip(clean, -1, 1)
  longest, shortest = log(betas[t - 1]), log(posterior_variance(betas, max(t, 2)))
  log_variance = shortest + (longest - shortest) * (coefficient + 1) / 2
  return posterior_mean(betas, t, clean, noisy), log_variance, clean


def respaced_betas(betas: Sequence[float], kept: Sequence[int]) -> list[float]:
  """Nichol and Dhariwal, Eq. 19: the noise of a kept step is that since the kept step before it."""
  products = [1.0] + [alpha_bar(betas, index + 1) for index in kept]
  return [1 - now / before for before, now in pairwise(products)]


def kept_indices(steps: int, count: int) -> list[int]:
  """Evenly spaced from the first to the last, in exact arithmetic, halves to the even side."""
  return [round(Fraction(place * (steps - 1), count - 1)) for place in range(count)]


def normal_cdf(value: float) -> float:
  return 1.0 if value == inf else 0.0 if value == -inf else (1 + erf(value / sqrt(2))) / 2


def variational_term(betas, t, output, clean, noisy) -> float:
  """Nichol and Dhariwal, Eq. 5 and 6; Ho et al., Eq. 13 in the last step back. Bits, mean over numbers."""
  mean, log_variance, _ = predicted(betas, t, output, noisy, clip=False)
  terms = []
  true_mean = posterior_mean(betas, t, clean, noisy)
  for place in np.ndindex(clean.shape):
    mu, spread = mean[place], sqrt(exp(log_variance[place]))
    if t > 1:
      true_spread = sqrt(posterior_variance(betas, t))
      gap = true_mean[place] - mu
      terms.append(log(spread / true_spread) + (true_spread**2 + gap**2) / (2 * spread**2) - 0.5)
      continue
    level = round((clean[place] + 1) * 127.5)
    upper = inf if level == 255 else clean[place] + 1 / 255
    lower = -inf if level == 0 else clean[place] - 1 / 255
    mass = normal_cdf((upper - mu) / spread) - normal_cdf((lower - mu) / spread)
    terms.append(-log(max(mass, 1e-12)))
  return float(np.mean(terms)) / log(2)


def training_loss(betas, t, output, clean, noise, weight) -> float:
  """Nichol and Dhariwal, Eq. 16, with the drawn step's term standing for each of them."""
  noisy = noised(betas, t, clean, noise)
  simple = float(np.mean((noise - output[..., :3]) ** 2))
  return simple + weight * len(betas) * variational_term(betas, t, output, clean, noisy)


def sample(denoise, betas, timesteps, noise_of_step, pure_noise) -> np.ndarray:
  """Ho et al., Algorithm 2. `noise_of_step[t - 1]` is z of step t."""
  image = pure_noise
  for t in range(len(betas), 0, -1):
    mean, log_variance, _ = predicted(betas, t, denoise(image, timesteps[t - 1]), image, clip=True)
    image = mean if t == 1 else mean + np.exp(log_variance / 2) * noise_of_step[t - 1]
  return image
