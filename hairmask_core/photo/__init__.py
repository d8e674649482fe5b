"""Photos: reading and writing files, pixel formats, color spaces, working-scale proxies, strips."""
