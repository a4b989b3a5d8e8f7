"""What PIECK's tables on MovieLens-100K have in common."""

PIECK = "Zhang et al., Preventing the Popular Item Embedding Based Attack in Federated Recommendations, 2024"
PIECK_ML100K = {
  "dataset": "ml-100k",
  "model": "mf",
  "train.preset": "pieck",
  "attacker.malicious_ratio": "0.05",
  "eval.every": "1",
  "eval.candidates": "sampled",
  "eval.num_negatives": "99",
  "eval.held_out_negative": "true",
}
