"""Models: networks, their training and their predictions. Torch and MONAI only; no server."""
