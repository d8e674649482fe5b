"""What the plug-in says, in the user's language; English where there is no translation."""

import gettext
from pathlib import Path

_ = gettext.translation("hair-recolor", Path(__file__).resolve().parent / "locale", fallback=True).gettext


class Problem(Exception):
    """A reason not to go on; the message tells the user what to do."""
