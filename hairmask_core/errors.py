"""What can go wrong, each with one sentence for the person in front of the screen.

The message of every error says what is wrong and what to do about it; it is shown as it stands.
"""


class HairmaskError(Exception):
    """Base of all errors whose message is meant for the user."""


class PhotoError(HairmaskError):
    """A photo cannot be read, or an image cannot be written."""


class ShadeError(HairmaskError):
    """A shade is not known."""


class ModelError(HairmaskError):
    """A model file or its card is missing, altered or unusable."""


class NoSuchModelError(ModelError):
    """There is no model of the name that was given."""


class UsageError(HairmaskError):
    """What was asked for on the command line cannot be, or does not go together."""


class NoHairError(HairmaskError):
    """No hair was found in the photo."""


class RequestError(HairmaskError):
    """A request to the worker does not fit the protocol."""


class Cancelled(Exception):
    """The work was stopped on request. Not an error: nothing is reported to the user."""
