"""Learn: MONAI Label train tasks."""
