"""Frozen networks from images to features.

The features' way into a model is in `models`.
"""

from fedrecjax.vision.extractors.contrastive_training import Training, contrastive_loss, train_small_cnn, views_of
from fedrecjax.vision.extractors.efficientnet_lite import (
  EfficientNetLite,
  Stage,
  efficientnet_lite0,
  efficientnet_lite_from_state,
)
from fedrecjax.vision.extractors.interface import FeatureExtractor, features_of, standardized
from fedrecjax.vision.extractors.small_cnn import SmallCnn, load_small_cnn, save_small_cnn, small_cnn
from fedrecjax.vision.extractors.vgg import Vgg16, VggFeatures, vgg16, vgg16_from_state

__all__ = [
  "EfficientNetLite",
  "FeatureExtractor",
  "SmallCnn",
  "Stage",
  "Training",
  "Vgg16",
  "VggFeatures",
  "contrastive_loss",
  "efficientnet_lite0",
  "efficientnet_lite_from_state",
  "features_of",
  "load_small_cnn",
  "save_small_cnn",
  "small_cnn",
  "standardized",
  "train_small_cnn",
  "vgg16",
  "vgg16_from_state",
  "views_of",
]
