"""Bytes on disk → tensors: where a model lies, what its files hold, each tensor on request."""
