"""One UltraMem memory layer on PyTorch, from a checkpoint: what the runtime is held against.

  select        as the reference writes it: einsum for every step, one grid for each core
  select_tuned  as far as stock PyTorch goes: flat matmuls, u and v folded into the keys, one grid, scores only for winners
  pool_eager    gather, weigh, scatter-add
  pool_bag      embedding_bag: one bag for each token and block, one table for each core
"""
import torch
import torch.nn.functional as F
from checkpoint import Checkpoint


class Layer:
    def __init__(self, directory, number=0, dtype=torch.float32, columns=None, parts=('keys', 'values')):
        """columns: (first, end) of the value table, or None for all"""
        file = Checkpoint(directory)
        config = file.config
        name = f'transformer.mem_blocks.{number}.'
        self.knn, self.heads, self.kdim = config['mem_knn'], config['mem_head'], config['mem_kdim']
        self.rows = config['mem_knum'] ** 2
        self.expand, self.cores = 4, 2
        self.core = torch.stack([file.tensor(f'{name}tucker_core.{c}') for c in range(self.cores)])     # [cores, heads, R, R]
        self.u, self.v = file.tensor(name + 'tucker_core_u'), file.tensor(name + 'tucker_core_v')
        self.u, self.v = self.u.view(self.heads, -1), self.v.view(self.heads, -1)
        self.rank = self.core.shape[-1]
        self.shuffle = file.tensor(name + 'shuffle_index').clone() if 'keys' in parts else None
        if 'keys' in parts:
            keys = file.tensor(name + 'keys').float().permute(0, 1, 4, 2, 3)                     # [heads, 2, R, m, K]
            self.keys = file.norm(keys, file.optional(name + 'keys_norm.weight'), file.optional(name + 'keys_norm.bias')).contiguous()
            self.keys_per_axis = self.keys.shape[3]
            self.fold()
        if 'values' in parts:
            table = file.tensor(name + 'values_for_look_up')
            self.table = (table if columns is None else table[:, columns[0]:columns[1]]).to(dtype, copy=True).contiguous()

    def fold(self):
        """what is constant at inference: keys weighted by u and v, and the refined keys as flat matrices"""
        pairs = list(enumerate((self.u, self.v)))
        self.folded = [torch.einsum('hrjk,hr->hjk', self.keys[:, s], w).flatten(0, 1).contiguous() for s, w in pairs]
        self.refined = [self.keys[:, s].transpose(1, 2).contiguous() for s in range(2)]               # [heads, m, R, K]
        self.flat = [k.permute(0, 2, 1, 3).reshape(-1, self.kdim).contiguous() for k in self.refined]     # [heads*R*m, K]
        self.core_sum = self.core.sum(0)

    def select(self, query):
        """query [N, 2, K] to block, slot [N, M] and scores [cores, N, M]"""
        n, k = query.shape[0], self.knn
        row = torch.einsum('nk,hrjk->nhjr', query[:, 0], self.keys[:, 0])
        column = torch.einsum('nk,hrjk->nhjr', query[:, 1], self.keys[:, 1])
        i = torch.einsum('nhjr,hr->nhj', row, self.u).topk(k, dim=2).indices
        j = torch.einsum('nhjr,hr->nhj', column, self.v).topk(k, dim=2).indices
        r = row.gather(2, i[..., None].expand(-1, -1, -1, self.rank))
        c = column.gather(2, j[..., None].expand(-1, -1, -1, self.rank))
        grids = torch.einsum('nhar,chrs,nhbs->cnhab', r, self.core, c).flatten(3)
        best = grids.sum(0).topk(k, dim=2).indices
        scores = grids.gather(3, best.expand(self.cores, -1, -1, -1)).reshape(self.cores, n, -1)
        index = (i[..., :, None] * self.keys_per_axis + j[..., None, :]).flatten(2).gather(2, best)
        return self.address(index.reshape(n, -1), scores)

    def select_tuned(self, query, gather_keys):
        """gather_keys: read only the chosen keys again (small batches), else all refined scores in one matmul"""
        n, k = query.shape[0], self.knn
        chosen, refined = [], []
        for s in range(2):
            q = query[:, s]
            if gather_keys:
                index = (q @ self.folded[s].T).view(n, self.heads, -1).topk(k, dim=2).indices
                keys = self.refined[s][torch.arange(self.heads)[None, :, None], index]               # [n, heads, k, R, K]
                score = torch.einsum('nhard,nd->nhar', keys, q)
            else:
                every = (q @ self.flat[s].T).view(n, self.heads, self.rank, -1)
                w = (self.u, self.v)[s]
                index = (every * w[None, :, :, None]).sum(2).topk(k, dim=2).indices
                score = every.gather(3, index[:, :, None].expand(-1, -1, self.rank, -1)).transpose(2, 3)
            chosen.append(index)
            refined.append(score)
        r, c = refined
        best = ((r @ self.core_sum) @ c.transpose(2, 3)).flatten(2).topk(k, dim=2).indices
        at = torch.div(best, k, rounding_mode='floor'), best % k
        ra, cb = (x.gather(2, y[..., None].expand(-1, -1, -1, self.rank)) for x, y in zip((r, c), at))
        scores = torch.einsum('nhjr,chrs,nhjs->cnhj', ra, self.core, cb).reshape(self.cores, n, -1)
        index = chosen[0].gather(2, at[0]) * self.keys_per_axis + chosen[1].gather(2, at[1])
        return self.address(index.reshape(n, -1), scores)

    def address(self, index, scores):
        index = self.shuffle[index]
        return index // self.rows, index % self.rows, scores

    def pool_eager(self, block, slot, scores):
        n, width = block.shape[0], self.table.shape[1]
        v = F.embedding(slot, self.table).view(n, -1, self.cores, width // self.cores)
        v = (v * scores.permute(1, 2, 0).unsqueeze(-1).to(v.dtype)).reshape(n, block.shape[1], -1)
        out = torch.zeros(n, self.expand, width, dtype=v.dtype)
        return out.scatter_add_(1, block[..., None].expand(-1, -1, width), v)

    def pool_bag(self, block, slot, scores, cores=None):
        """a core's columns are weighted by that core's scores, so each core is a bag of its own"""
        n = block.shape[0]
        order, by = (torch.arange(n)[:, None] * self.expand + block).flatten().sort(stable=True)
        offsets = torch.searchsorted(order, torch.arange(n * self.expand))
        flat = slot.flatten()[by]
        parts = []
        for c in range(self.cores) if cores is None else cores:
            w = scores[c].flatten()[by].to(self.tables[c].dtype)
            parts.append(F.embedding_bag(flat, self.tables[c], offsets, mode='sum', per_sample_weights=w))
        return torch.cat(parts, -1).view(n, self.expand, -1)

    def split_cores(self):
        """embedding_bag takes one weight for a row, so each core gets a contiguous table of its own"""
        self.tables = [t.contiguous() for t in self.table.chunk(self.cores, 1)]
        del self.table
