"""What PIECK's tables on MovieLens-100K have in common."""

PIECK = "Zhang et al., Preventing the Popular Item Embedding Based Attack in Federated Recommendations, 2024"
PIECK_ML100K = {
  "dataset": "ml-100k",
  "model": "mf",
  "mf.dim": "32",
  "train.epochs": "300",
  "train.clients_per_round": "256",
  "train.loss": "bce",
  "train.reduction": "mean",
  "train.learning_rate": "1.0",
  "train.num_negatives": "1",
  "train.negatives": "once",
  "train.duplicates": "first",
  "attacker.malicious_ratio": "0.05",
  "eval.every": "1",
  "eval.candidates": "sampled",
  "eval.num_negatives": "99",
  "eval.held_out_negative": "true",
}
