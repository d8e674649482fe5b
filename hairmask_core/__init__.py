"""Hair segmentation and recoloring without GIMP and without a display.

A photo goes through `photo` (decode) -> `segmentation` (where hair is, and how probable) -> `matting` (full-resolution
matte) -> `hair` (its tone, whose it is, how its strands run) -> `color` (recolor, blend). `pipeline` puts these together;
`server` serves it to GIMP, `cli` to the shell, `evaluation` measures it. The networks run in `inference`.

Imports go downwards only: server, cli, evaluation -> pipeline -> segmentation, matting, hair, color -> inference, photo;
the four stages know nothing of each other.
"""

__version__ = "0.3.0"
