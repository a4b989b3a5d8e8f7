"""What happens on a client's device: the loss of its samples, its gradients, its own vector's step, what it hides.

Knows nothing of attacks; who takes part in a round is decided in `federation`.
"""
