"""Metrics over a folder of photos and true masks."""
