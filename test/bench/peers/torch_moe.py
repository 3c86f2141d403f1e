"""The architecture's headline on PyTorch: decoding through a stack of feed-forward layers, one token for each sequence.

  dense     every layer one SwiGLU MLP with the compute of two experts
  moe       every layer `experts` SwiGLU experts, 2 active for each token (top-2 softmax gate): the same compute, more parameters
  ultramem  the dense stack and UltraMem memory layers whose tables hold the parameters that moe has beyond dense

Dense and UltraMem weights come from a checkpoint, the experts are random. The UltraMem paper's figure 1 does this with
attention around it; here the stack alone is timed, at a size that a small machine holds.
"""
import torch
import torch.nn.functional as F
from checkpoint import Checkpoint, DTYPES
from torch_layer import Layer


def mlp(x, w_in, w_out):
    p, g = F.linear(x, w_in).chunk(2, -1)
    return F.linear(F.silu(g) * p, w_out)


class Moe:
    def __init__(self, width, hidden, experts, dtype):
        self.gate = (torch.randn(experts, width) * .02).to(dtype)
        self.w_in = torch.empty(experts, 2 * hidden, width, dtype=dtype)
        self.w_out = torch.empty(experts, width, hidden, dtype=dtype)
        for w in (*self.w_in, *self.w_out):
            w.copy_(torch.randn(w.shape) * .02)

    def choose(self, x):
        return F.linear(x, self.gate).softmax(-1).topk(2, -1)

    def __call__(self, x):
        weight, chosen = self.choose(x)
        out = torch.zeros_like(x)
        for e in chosen.unique().tolist():
            token, place = (chosen == e).nonzero(as_tuple=True)
            out.index_add_(0, token, mlp(x[token], self.w_in[e], self.w_out[e]) * weight[token, place, None])
        return out


class Unit:
    """a memory layer with its projections"""

    def __init__(self, file, directory, number, dtype):
        name = f'transformer.mem_blocks.{number}.'
        self.layer = Layer(directory, number, dtype)
        self.layer.split_cores()
        self.query = file.tensor(name + 'query_proj.weight').float()
        self.value = file.tensor(name + 'values_proj.weight').to(dtype, copy=True)
        norm = [file.optional(f'{name}query_norm.{part}') for part in ('weight', 'bias')]
        self.norm = lambda q: file.norm(q, *norm)

    def __call__(self, x):
        q = self.norm(F.linear(x.float(), self.query).view(-1, 2, self.layer.kdim))
        pooled = self.layer.pool_bag(*self.layer.select_tuned(q, x.shape[0] <= 4))
        return F.linear(pooled.flatten(1).to(x.dtype), self.value)


class Workload:
    def __init__(self, inputs, directory, experts, dtype='F32'):
        torch.manual_seed(7)
        self.inputs, self.dtype = inputs, DTYPES[dtype]
        file = Checkpoint(directory)
        width, hidden = file.config['d_model'], file.config['mlp_hidden_size'] // 4
        layers = range(file.config['n_layers'])
        weight = lambda i, part: file.tensor(f'transformer.blocks.{i}.{part}.weight').to(self.dtype, copy=True)
        self.dense_layers = [(weight(i, 'ff_proj'), weight(i, 'ff_out')) for i in layers]
        self.moe_layers = [Moe(width, hidden, experts, self.dtype) for _ in layers]
        places = [int(pair.split(':')[1]) for pair in file.config['mem_insert_way'].split('/')]
        self.units = {place: Unit(file, directory, number, self.dtype) for number, place in enumerate(places)}
        self.info = dict(
            dense=sum(w.numel() + v.numel() for w, v in self.dense_layers),
            moe=sum(m.w_in.numel() + m.w_out.numel() for m in self.moe_layers),
            tables=sum(t.numel() for u in self.units.values() for t in u.layer.tables),
            expertBytes=self.moe_layers[0].w_in[0].nbytes + self.moe_layers[0].w_out[0].nbytes)

    def run(self, kind, x):
        for i, weights in enumerate(self.dense_layers):
            x = x + (self.moe_layers[i](x) if kind == 'moe' else mlp(x, *weights))
            if kind == 'ultramem' and i in self.units:
                x = x + self.units[i](x)
        return x

    def stack(self, kind, batch):
        x = self.inputs[f'x{batch}'].to(self.dtype)
        return lambda: self.run(kind, x)

    def touched(self, batch):
        """experts that this batch reads, over all layers, as a tensor of one number"""
        x = self.inputs[f'x{batch}'].to(self.dtype)

        def count():
            total, y = 0, x
            for moe in self.moe_layers:
                total += moe.choose(y)[1].unique().numel()
                y = y + moe(y)
            return torch.tensor([float(total)])
        return count
