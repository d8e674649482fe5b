"""Tone and shade -> recolored photo, and the two blended."""
