"""Images of items: how they are perturbed, purified by a diffusion model, judged and shown.

Who changes an image and when is an attack, a defence or the simulation.
"""

from fedrecjax.vision.brisque import Convention
from fedrecjax.vision.brisque import features as brisque_features
from fedrecjax.vision.brisque_model import Regression, read_libsvm, read_opencv
from fedrecjax.vision.brisque_model import brisque as brisque_score
from fedrecjax.vision.ddpm import DdpmState, init_ddpm, sample_grid, train_ddpm
from fedrecjax.vision.diffusion import (
  Denoiser,
  DiffusionLoss,
  Posterior,
  Schedule,
  from_pixels,
  linear_schedule,
  noised,
  posterior,
  respaced,
  sample,
  step_noise,
  to_pixels,
  training_loss,
)
from fedrecjax.vision.guided_diffusion import Checkpoint, load_guided_diffusion
from fedrecjax.vision.image_detection import (
  Densities,
  Rates,
  auroc,
  densities,
  judge,
  minimum_threshold,
  normal_threshold,
  quantile_threshold,
  rates,
  similarity,
)
from fedrecjax.vision.perturbation import Perturbed, PixelLoss, perturb
from fedrecjax.vision.pictures import comparison, difference, png, write_png
from fedrecjax.vision.purification import (
  Guidance,
  Purified,
  Reduction,
  Reference,
  guidance_scale,
  pull_limits,
  purify,
  purify_all,
  steps_back,
  straight_through,
)
from fedrecjax.vision.quality import grey, sharpness, spread
from fedrecjax.vision.torch_file import read_torch_file
from fedrecjax.vision.unet import PUBLISHED_256, UNet, UNetConfig, denoiser_of
from fedrecjax.vision.visuals import KeptImages, Visuals

__all__ = [
  "PUBLISHED_256",
  "Checkpoint",
  "Convention",
  "DdpmState",
  "Denoiser",
  "Densities",
  "DiffusionLoss",
  "Guidance",
  "KeptImages",
  "Perturbed",
  "PixelLoss",
  "Posterior",
  "Purified",
  "Rates",
  "Reduction",
  "Reference",
  "Regression",
  "Schedule",
  "UNet",
  "UNetConfig",
  "Visuals",
  "auroc",
  "brisque_features",
  "brisque_score",
  "comparison",
  "denoiser_of",
  "densities",
  "difference",
  "from_pixels",
  "grey",
  "guidance_scale",
  "init_ddpm",
  "judge",
  "linear_schedule",
  "load_guided_diffusion",
  "minimum_threshold",
  "noised",
  "normal_threshold",
  "perturb",
  "png",
  "posterior",
  "pull_limits",
  "purify",
  "purify_all",
  "quantile_threshold",
  "rates",
  "read_libsvm",
  "read_opencv",
  "read_torch_file",
  "respaced",
  "sample",
  "sample_grid",
  "sharpness",
  "similarity",
  "spread",
  "step_noise",
  "steps_back",
  "straight_through",
  "to_pixels",
  "train_ddpm",
  "training_loss",
  "write_png",
]
