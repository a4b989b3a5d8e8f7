"""What a release says of itself is the same everywhere, and its packages are whole."""

import pathlib
import re
import runpy

import pytest
import setuptools
import yaml

from fedrecjax.version import __version__

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def metadata(monkeypatch):
  """What setup.py hands to setuptools."""
  told = {}
  monkeypatch.setattr(setuptools, "setup", told.update)
  monkeypatch.chdir(ROOT)
  runpy.run_path("setup.py")
  return told


def test_the_version_is_the_same_everywhere(metadata):
  assert metadata["version"] == __version__
  assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
  assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == __version__


def test_badges_are_true(metadata):
  readme = (ROOT / "README.md").read_text()
  pythons = re.findall(r"Python :: (3\.\d+)", " ".join(metadata["classifiers"]))
  assert f"badge/python-{'_%7C_'.join(pythons)}-" in readme and metadata["python_requires"] == f">={pythons[0]}"
  least, beyond = re.search(r"jax>=0\.(\d+),<0\.(\d+)", " ".join(metadata["install_requires"])).groups()
  assert f"badge/jax-0.{least}_to_0.{int(beyond) - 1}-" in readme
  assert f"badge/license-{metadata['license'].replace('-', '--')}-" in readme


def test_every_folder_of_code_is_in_the_packages(metadata):
  code = {file.parent for room in ("fedrecjax", "experiments") for file in (ROOT / room).rglob("*.py")}
  assert {".".join(folder.relative_to(ROOT).parts) for folder in code} == set(metadata["packages"])


def test_extras(metadata):
  extras = metadata["extras_require"]
  assert {"cuda12", "cuda13", "tpu", "ray", "slurm", "images", "plots", "docs", "all"} <= set(extras)
  jax_versions = next(one for one in metadata["install_requires"] if one.startswith("jax")).removeprefix("jax")
  for device in ("cuda12", "cuda13", "tpu"):
    assert extras[device] == [f"jax[{device}]{jax_versions}"]
  everywhere = {"efficientnet", "images", "plain", "plots", "ray", "slurm", "tensorboard"}
  assert set(extras["all"]) == {one for name in everywhere for one in extras[name]}
