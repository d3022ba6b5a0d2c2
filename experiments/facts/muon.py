"""Muon (Jordan et al. 2024): momentum made orthogonal, for the matrices inside the layers."""

from __future__ import annotations

import torch
from torch import Tensor


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Roughly U V^T of each matrix's U S V^T, by the quintic Newton-Schulz iteration; (n, rows, columns)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    turned = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = turned / (turned.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if matrices.shape[1] > matrices.shape[2] else x


class Muon(torch.optim.Optimizer):
    def __init__(
        self, parameters: list[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # it takes no closure
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, some in by_shape.items():
                updates = []
                for parameter in some:
                    kept = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                    kept.lerp_(parameter.grad, 1 - group["momentum"])
                    updates.append(parameter.grad.lerp(kept, group["momentum"]))
                scale = group["lr"] * max(1, shape[0] / shape[1]) ** 0.5
                for parameter, update in zip(some, orthogonal(torch.stack(updates)), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-scale)
