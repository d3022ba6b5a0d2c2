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


class FileFormatError(AttAttrError):
    """A saved file is cut short, corrupt or of a newer version."""
