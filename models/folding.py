"""A network told what is the same for everything it is asked, so that this is computed once."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import gelu, pad

from models.kernels.network import UNROLLED, answer_rows
from models.network import CLIP, Logit

# Rows at once where there is no kernel: a GPU wants few and large steps.
BATCH = 1 << 18


@dataclass(frozen=True, slots=True)
class Folded:
    """A `Logit` whose last inputs are fixed: they only move the first layer's bias.

    `layers` are as `models.kernels.network.answer_rows` wants them.
    """

    mean: Tensor
    scale: Tensor
    layers: tuple[Tensor, ...]

    @staticmethod
    @torch.no_grad()
    def of(logit: Logit, told: Tensor) -> "Folded":
        """Fix the last inputs of `logit` to `told` [c]."""
        asked = len(logit.mean) - len(told)
        said = ((told - logit.mean[asked:]) / logit.scale[asked:]).clamp(-CLIP, CLIP)
        (first, bias), (second, bias_2), (third, bias_3) = (
            (layer.weight, layer.bias) for layer in logit.mlp.linear
        )
        bias_1 = bias + first[:, asked:] @ said
        spare = (0, -len(bias) % UNROLLED)
        layers = (
            pad(first[:, :asked].T, spare),
            pad(bias_1, spare),
            pad(second.T, spare + spare),
            pad(bias_2, spare),
            pad(third.squeeze(0), spare),
            bias_3,
        )
        parts = (tensor.detach().contiguous() for tensor in layers)
        return Folded(logit.mean[:asked], logit.scale[:asked], tuple(parts))

    @torch.no_grad()
    def probability(self, x: Tensor) -> Tensor:
        """[e, f] -> sigmoid of the logits [e]; on a CPU by one thread, the one that calls."""
        if x.device.type == "cpu":
            return self._by_kernel(x.numpy())
        parts = [self._on_tensors(part) for part in torch.split(x, BATCH)]
        return torch.cat(parts) if parts else x.new_empty(0)

    def _by_kernel(self, x: NDArray[np.float32]) -> Tensor:
        out = np.empty(len(x), np.float32)
        mean, scale = self.mean.numpy(), self.scale.numpy()
        answer_rows(x, mean, scale, CLIP, tuple(tensor.numpy() for tensor in self.layers), out)
        return torch.from_numpy(out)

    def _on_tensors(self, x: Tensor) -> Tensor:
        first, bias_1, second, bias_2, third, bias_3 = self.layers
        scaled = x.sub(self.mean).div_(self.scale).clamp_(-CLIP, CLIP)
        h = gelu(torch.addmm(bias_1, scaled, first))
        return torch.sigmoid(gelu(torch.addmm(bias_2, h, second)) @ third + bias_3)
