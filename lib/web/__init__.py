"""Doors: what the HTTP server answers beyond MONAI Label's own routes."""
