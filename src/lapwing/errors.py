"""Errors a caller may act on. Each message says what, expected, got, where, and what to do.

`exit_code` is what a command-line door returns for the error.
"""

from __future__ import annotations


class LapwingError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 4


class RequestError(LapwingError, ValueError):
    """The call asks for what cannot be: a bad argument, a prompt longer than the context."""

    exit_code = 2


class DoesNotFitError(LapwingError, MemoryError):
    """The model or its cache does not fit the memory there is."""

    exit_code = 3


class ModelNotFoundError(LapwingError, FileNotFoundError):
    """No such model here, and none could be fetched under that name."""


class ConfigError(LapwingError):
    """A configuration file is missing, malformed, or asks for mathematics that is not supported."""


class WeightsError(LapwingError):
    """A weights file is damaged, or does not hold the tensors that its configuration asks for."""


class TokenizerError(LapwingError):
    """A tokenizer file is missing or damaged; only calls that take or return text need one."""


class FileError(LapwingError):
    """A file of a job cannot be read or written, or does not hold what it should."""


class BackendError(LapwingError):
    """The backend, device or instruction set that was asked for is not available here."""
