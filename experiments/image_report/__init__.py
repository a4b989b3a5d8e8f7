"""The command `python -m experiments.image_report`: adversarial images, their purification and detection.

Pictures of a sweep are in `results`.
"""
