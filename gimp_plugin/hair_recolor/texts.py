"""What the plug-in says, in the user's language; English where there is no translation. Python 2.7 and 3."""

import gettext
import os

_ = gettext.translation(
    "hair-recolor", os.path.join(os.path.dirname(os.path.abspath(__file__)), "locale"), fallback=True
).gettext


class Problem(Exception):
    """A reason not to go on; the message tells the user what to do."""
