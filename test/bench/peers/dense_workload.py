"""Linear layers, as a user of PyTorch runs them: weights and inputs of one dtype."""
import torch
import torch.nn.functional as F
from checkpoint import DTYPES, mapped


class Workload:
    def __init__(self, inputs, weights, dtype='F32'):
        """weights: name to path, dtype, shape"""
        self.inputs = inputs
        self.weights = {name: mapped(**w).to(DTYPES[dtype], copy=True) for name, w in weights.items()}

        self.info = dict(gpus=torch.cuda.device_count())

    def device_copy(self, bytes):
        source = torch.ones(bytes, dtype=torch.uint8, device='cuda')
        target = torch.empty_like(source)

        def run():
            target.copy_(source)
            torch.cuda.synchronize()
        return run

    def linear(self, weight, x):
        w = self.weights[weight]
        x = self.inputs[x].to(w.dtype)
        return lambda: F.linear(x, w)

    def linears(self, layers):
        """layers: pairs of weight and input"""
        pairs = [(self.weights[w], self.inputs[x].to(self.weights[w].dtype)) for w, x in layers]

        def run():
            for w, x in pairs:
                F.linear(x, w)
        return run
