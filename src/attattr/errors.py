"""The exceptions a user meets. Every message says what to do next."""

from __future__ import annotations


class AttAttrError(Exception):
    """Base of all errors raised on purpose by attattr; the command line shows the message alone."""


class InputError(AttAttrError):
    """The text, the data or an option cannot be used as it is."""


class ModelError(AttAttrError):
    """The model cannot be found, loaded or trusted."""


class UnsupportedModelError(ModelError):
    """The model's attention cannot be intercepted."""


class ImpossibleError(AttAttrError):
    """One input cannot be attributed, even alone; others can."""


class MissingModelError(ModelError, InputError):
    """No such model: wrong usage, not a fault of a model."""


class FileFormatError(AttAttrError):
    """A saved file is cut short, corrupt or of a newer version."""


class MissingFileError(FileFormatError, InputError):
    """No such file or folder: wrong usage, not damage."""
