"""The whole model on PyTorch (SEMANTICS sections 2 to 4: v1, rope, at most two heads of memory), with a cache of keys and values.

Weights and activations have one dtype; selection is f32, as the published model has it. The memory layers are tuned: see torch_layer.py.
"""
import torch
import torch.nn.functional as F
from checkpoint import Checkpoint, DTYPES
from torch_moe import Unit, mlp


class Workload:
    def __init__(self, inputs, directory, dtype='F32'):
        self.dtype = DTYPES[dtype]
        self.file = file = Checkpoint(directory)
        c = self.config = file.config
        supported = c['mem_type'] == 'ultramem_v1' and c.get('rope') and c.get('activation_type') == 'swiglu' and not (
            c.get('norm_after') or c.get('alibi') or c.get('clip_qkv') or c.get('include_bias') or c.get('embedding_layer_norm') or c.get('scale_logits'))
        if not supported or not c.get('weight_tying'):
            raise ValueError('this peer has v1, rope, swiglu and tied weights only')
        self.heads = c['n_heads']
        self.head_width = c['d_model'] // self.heads
        self.kv_heads = c.get('n_kv_heads') or self.heads
        take = lambda name: file.tensor(f'transformer.{name}.weight').to(self.dtype, copy=True)
        norm = lambda name: file.optional(f'transformer.{name}.weight')
        self.embedding, self.final_norm = take('wte'), norm('ln_f')
        parts = ('att_proj', 'attn_out', 'ff_proj', 'ff_out')
        self.blocks = [dict({p: take(f'blocks.{i}.{p}') for p in parts},
                            **{p: norm(f'blocks.{i}.{p}') for p in ('attn_norm', 'ff_norm', 'q_norm', 'k_norm')}) for i in range(c['n_layers'])]
        pairs = [tuple(map(int, pair.split(':'))) for pair in c['mem_insert_way'].split('/')]
        self.reads = {r: number for number, (r, _) in enumerate(pairs)}
        self.writes = {w: number for number, (_, w) in enumerate(pairs)}
        self.units = [Unit(file, directory, number, self.dtype) for number in range(len(pairs))]
        half = torch.arange(self.head_width // 2, dtype=torch.float64)
        angle = torch.arange(c['max_sequence_length'])[:, None] * c.get('rope_theta', 10000) ** (-2 * half / self.head_width)
        self.cos, self.sin = angle.cos().float(), angle.sin().float()
        self.info = dict(parameters=self.embedding.numel() + sum(t.numel() for b in self.blocks for t in b.values() if t is not None)
                         + sum(t.numel() for u in self.units for t in u.layer.tables))

    def rotate(self, x, start):
        """x [B, heads, T, width] at positions start, start + 1, ..."""
        a, b = x.float().chunk(2, -1)
        cos, sin = (t[start:start + x.shape[2]] for t in (self.cos, self.sin))
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)

    def cache(self, batch, length):
        shape = (len(self.blocks), 2, batch, self.kv_heads, length, self.head_width)
        return torch.empty(shape, dtype=self.dtype)

    def forward(self, ids, cache, start):
        """ids [B, T] at positions start ...; logits [B, T, V]"""
        batch, count = ids.shape
        width, kv_width = self.config['d_model'], self.kv_heads * self.head_width
        x = F.embedding(ids, self.embedding)
        pending = {}
        for i, b in enumerate(self.blocks):
            q, k, v = F.linear(self.file.norm(x, b['attn_norm']), b['att_proj']).split([width, kv_width, kv_width], -1)
            q, k, v = (t.view(batch, count, -1, self.head_width) for t in (q, k, v))
            if b['q_norm'] is not None:
                q, k = self.file.norm(q, b['q_norm']), self.file.norm(k, b['k_norm'])
            cache[i, 0, :, :, start:start + count] = self.rotate(k.transpose(1, 2), start)
            cache[i, 1, :, :, start:start + count] = v.transpose(1, 2)
            keys, values = cache[i, :, :, :, :start + count]
            mask = None if count == 1 else torch.ones(count, start + count, dtype=torch.bool).tril(start)
            y = F.scaled_dot_product_attention(self.rotate(q.transpose(1, 2), start), keys, values, attn_mask=mask, enable_gqa=self.kv_heads != self.heads)
            x = x + F.linear(y.transpose(1, 2).reshape(batch, count, width), b['attn_out'])
            h = self.file.norm(x, b['ff_norm'])
            if i in self.reads:
                pending[self.reads[i]] = self.units[self.reads[i]](h.view(-1, width)).view(x.shape)
            x = x + mlp(h, b['ff_proj'], b['ff_out'])
            if i in self.writes:
                x = x + pending.pop(self.writes[i])
        return F.linear(self.file.norm(x, self.final_norm), self.embedding)

    def logits(self, ids):
        ids = torch.tensor(ids)
        return lambda: self.forward(ids, self.cache(*ids.shape), 0)

    def generate(self, ids, tokens):
        """greedy; the time is for each token of a sequence, the prompt's pass included"""
        ids = torch.tensor(ids)

        def run():
            cache = self.cache(ids.shape[0], ids.shape[1] + tokens)
            new, start = ids, 0
            for _ in range(tokens):
                logits = self.forward(new, cache, start)[:, -1]
                start += new.shape[1]
                new = logits.argmax(-1, keepdim=True)
            return tokens
        return run
