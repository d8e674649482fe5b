"""Coarse probability -> matte at full resolution whose outline follows the photo."""
