"""The range of colors that recolored hair is drawn in."""

DARKEST, LIGHTEST = 0.07, 0.996  # OKLab lightness of what is drawn: grays 1 and 254 of 255, so that nothing clips
LINEAR_RANGE = (1 / 255 / 12.92, 0.991)  # the same levels in linear light
