"""A network told what is the same for everything it is asked, so that this is computed once."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import gelu

from models.network import CLIP, Logit

# Rows at once: their hidden layers stay in a core's cache, a GPU wants few and large steps.
BATCH = {"cpu": 1_024, "cuda": 1 << 18}


@dataclass(frozen=True, slots=True)
class Folded:
    """A `Logit` whose last inputs are fixed: they only move the first layer's bias."""

    mean: Tensor
    scale: Tensor
    layers: list[tuple[Tensor, Tensor]]

    @staticmethod
    @torch.no_grad()
    def of(logit: Logit, told: Tensor) -> "Folded":
        """Fix the last inputs of `logit` to `told` [c]."""
        asked = len(logit.mean) - len(told)
        said = ((told - logit.mean[asked:]) / logit.scale[asked:]).clamp(-CLIP, CLIP)
        layers = [(layer.weight, layer.bias) for layer in logit.mlp.lins]
        weight, bias = layers[0]
        layers[0] = (weight[:, :asked], bias + weight[:, asked:] @ said)
        flat = [(weight.T.contiguous(), bias) for weight, bias in layers]
        return Folded(logit.mean[:asked], logit.scale[:asked], flat)

    @torch.no_grad()
    def probability(self, x: Tensor) -> Tensor:
        """[e, f] -> sigmoid of the logits [e]."""
        kind = "cpu" if x.device.type == "cpu" else "cuda"
        out = torch.empty(len(x), device=x.device)
        for part, answer in zip(
            torch.split(x, BATCH[kind]), torch.split(out, BATCH[kind]), strict=True
        ):
            h = part.sub(self.mean).div_(self.scale).clamp_(-CLIP, CLIP)
            for weight, bias in self.layers[:-1]:
                h = gelu(torch.addmm(bias, h, weight))
            weight, bias = self.layers[-1]
            torch.sigmoid(torch.addmm(bias, h, weight).squeeze(1), out=answer)
        return out
