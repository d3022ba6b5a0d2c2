"""Devices that this machine lacks: what can be known of them without one."""

from __future__ import annotations

import time

import pytest
import torch

import two_devices
import without_float64
from attattr.heads.prune_curves import _latency_ratio
from forked import Forked


@pytest.mark.parametrize("measured", [without_float64, two_devices])
def test_devices_that_are_pretended(measured):
    """One that has no float64, and two at once, on which nothing may be mixed."""
    process = Forked(measured.main)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (0, "0 failed\n"), err[-2000:]


class Launched:
    """A model on a device that returns at once and works on."""

    device = torch.device("cuda", 0)
    waiting: list[float] = []  # noqa: RUF012  # seconds of work that the device still has to do

    def __init__(self, seconds: float):
        self.seconds = seconds

    def __call__(self) -> None:
        self.waiting.append(self.seconds)


def test_latency_is_what_the_device_takes_not_what_a_launch_does(monkeypatch):
    def finish(device):
        assert device == Launched.device
        time.sleep(sum(Launched.waiting))
        Launched.waiting.clear()

    monkeypatch.setattr(torch.accelerator, "synchronize", finish)
    assert _latency_ratio(Launched(0.02), Launched(0.005), {})[0] == pytest.approx(0.25, abs=0.1)
