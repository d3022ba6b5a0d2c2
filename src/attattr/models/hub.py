"""The hub: whether it can be reached, without half a minute of retries to find out, and its cache."""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
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


def cached(name: str, files: Mapping[str, Any]) -> Path | None:
    """The folder of the hub's cache that holds a model, or the part of it that was asked for."""
    from huggingface_hub import try_to_load_from_cache

    asked = {key: files[key] for key in ("cache_dir", "revision") if files.get(key)}
    path = try_to_load_from_cache(name, f"{files.get('subfolder') or ''}/config.json".lstrip("/"), **asked)
    return Path(path).parent if isinstance(path, str) else None


def commit_of(path: Path) -> str | None:
    """The commit of a file in the hub's cache; None elsewhere.

    >>> commit_of(Path("hub/models--a--b/snapshots/0123abcd/sub/config.json"))
    '0123abcd'
    """
    return next((each.name for each in path.parents if each.parent.name == "snapshots"), None)
