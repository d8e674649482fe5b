"""Hair segmentation and recoloring without GIMP and without a display.

A photo goes through `image` (decode) -> `looks` (where hair is, and how probable; `regions` frames the places,
`segment` runs the network) -> `refine` (full-resolution matte) -> `recolor`; `pipeline` puts these together,
`worker` serves it to GIMP, `cli` to the shell.
"""

__version__ = "0.3.0"
