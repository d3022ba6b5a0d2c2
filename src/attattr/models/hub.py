"""Whether the Hugging Face hub can be reached, without half a minute of retries to find out."""

from __future__ import annotations

import os
import socket
import urllib.request
from urllib.parse import urlparse


def reachable() -> bool:
    """False where the hub is switched off or its name cannot be resolved and no proxy would do that."""
    if switched_off():
        return False
    if urllib.request.getproxies():
        return True
    host = urlparse(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True


def switched_off() -> bool:
    """The environment says to use the local cache alone."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
