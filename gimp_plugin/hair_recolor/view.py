"""What part of a layer a preview shows, and how large; where its hair is. Arithmetic only: no GIMP, no widgets.

A box is (left, top, right, bottom) in the layer's pixels. A window is (width, height) on the screen.
"""

from dataclasses import dataclass, replace

ROOM = 0.25  # of the hair's width and height, left free around it on each side
LEAST_ROOM = 0.03  # of the layer's long side
STRAYS = 0.002  # of the mask's area: so much of it may lie outside of the hair's box on each side
LARGEST_FIT = 2.0  # screen pixels that a pixel of the layer gets at most where no one asked for more
FINEST_SIDE = 1200  # pixels of the largest copy of a layer whose new color is shown within a tenth of a second
HAIR_PIXELS = 200000  # and of the box of its hair
LARGEST = 4.0  # as many for a pixel of the copy that is shown, however far one zooms in


@dataclass(frozen=True)
class View:
    """A window over a layer. scale: screen pixels for one of the layer; left, top: the layer's point in its corner."""

    layer: tuple
    window: tuple
    scale: float
    left: float
    top: float

    def shown(self):
        """The part of the window that the layer fills, in whole screen pixels: (left, top, right, bottom)."""
        spans = [
            _span(side, room, self.scale, at) for side, room, at in zip(self.layer, self.window, (self.left, self.top))
        ]
        return spans[0][0], spans[1][0], spans[0][1], spans[1][1]

    def can_move(self):
        """Whether there is more of the layer than the window shows."""
        return any(side * self.scale > room + 0.5 for side, room in zip(self.layer, self.window))

    def moved(self, across, down):
        """After the picture was drawn that many screen pixels to the right and down."""
        return _placed(self, self.scale, self.left - across / self.scale, self.top - down / self.scale)

    def zoomed(self, factor, x, y, largest):
        """So many times as large, at most `largest`, at least the whole layer; the point at x, y of the window stays."""
        least = min(whole_scale(self.layer, self.window), largest)
        scale = min(max(self.scale * factor, least), largest)
        left, top = self.left + x / self.scale - x / scale, self.top + y / self.scale - y / scale
        return _placed(self, scale, left, top)

    def resized(self, window):
        """In a window of another size: the same point in the middle, the same scale unless more than all would fit."""
        middle = self.left + self.window[0] / 2 / self.scale, self.top + self.window[1] / 2 / self.scale
        scale = max(self.scale, whole_scale(self.layer, window))
        left, top = (at - room / 2 / scale for at, room in zip(middle, window))
        return _placed(replace(self, window=window), scale, left, top)


def whole_scale(layer, window):
    """The scale at which the whole layer is seen; small layers are not enlarged."""
    return min(1.0, *(room / side for side, room in zip(layer, window)))


def show_whole(layer, window):
    """The view of the whole layer."""
    return _placed(View(layer, window, 1.0, 0.0, 0.0), whole_scale(layer, window), 0.0, 0.0)


def show_box(layer, window, box):
    """The view of a box, as large as the window allows, and of what is around it."""
    left, top, right, bottom = box
    scale = min(LARGEST_FIT, window[0] / (right - left), window[1] / (bottom - top))
    scale = max(scale, whole_scale(layer, window))
    corner = (left + right - window[0] / scale) / 2, (top + bottom - window[1] / scale) / 2
    return _placed(View(layer, window, 1.0, 0.0, 0.0), scale, *corner)


def with_room(box, layer):
    """A box with room around it, as far as the layer goes."""
    least = LEAST_ROOM * max(layer)
    wide, high = (max(ROOM * (end - start), least) for start, end in ((box[0], box[2]), (box[1], box[3])))
    left, top = max(0, box[0] - wide), max(0, box[1] - high)
    return left, top, min(layer[0], box[2] + wide), min(layer[1], box[3] + high)


def finest_scale(layer, box):
    """How large a copy of the layer may be whose hair is in that box, so that a new color is shown quickly."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return min(1.0, FINEST_SIDE / max(layer), (HAIR_PIXELS / area) ** 0.5)


def hair_box(mask, size, layer):
    """The box of the hair in a mask of the layer, reduced or not, but for a few stray pixels; None without any hair.

    mask: bytes, row by row, 255 is hair. size: its width and height.
    """
    width, height = size
    hair = mask.translate(bytes(level >= 128 for level in range(256)))
    rows = _middle([hair.count(1, row * width, (row + 1) * width) for row in range(height)])
    if rows is None:
        return None
    columns = _middle([hair[column::width].count(1) for column in range(width)])
    across, down = layer[0] / width, layer[1] / height
    return columns[0] * across, rows[0] * down, columns[1] * across, rows[1] * down


def join(boxes):
    """The box around several, of which some may be None; None if all are."""
    boxes = [box for box in boxes if box is not None]
    if not boxes:
        return None
    sides = list(zip(*boxes))
    return min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3])


def _middle(counts):
    """Start and end of what holds all that is counted but for strays; None if nothing is."""
    strays, ends = STRAYS * sum(counts), []
    if not any(counts):
        return None
    for order in (counts, counts[::-1]):
        seen = 0
        for place, count in enumerate(order):
            seen += count
            if seen > strays:
                ends.append(place)
                break
    return ends[0], len(counts) - ends[1]


def _placed(view, scale, left, top):
    """The view at that scale and place, or at the nearest where no more than needed is empty."""
    spots = []
    for side, room, at in zip(view.layer, view.window, (left, top)):
        seen = room / scale
        spots.append((side - seen) / 2 if seen >= side else min(max(at, 0.0), side - seen))
    return replace(view, scale=scale, left=spots[0], top=spots[1])


def _span(side, room, scale, at):
    """Where a side of the layer begins and ends within that of the window, whole screen pixels."""
    start = min(max(round(-at * scale), 0), room)
    end = min(max(round((side - at) * scale), 0), room)
    return (start, end) if end > start else (min(start, room - 1), min(start, room - 1) + 1)
