"""A whole lookup with PyTorch over gloo: the table cut by columns over processes, tokens and selection on the first one."""
import os, tempfile, time
import torch
import torch.multiprocessing as mp
from torch_layer import Layer


def lookup(dist, layer, rank, workers, core, query, n, shape):
    """shape: [entries per token, cores]"""
    if rank == 0:
        block, slot, scores = layer.select_tuned(query, n <= 4)
        packed = torch.stack([block, slot]).to(torch.int32)
    else:
        packed = torch.empty(2, n, shape[0], dtype=torch.int32)
        scores = torch.empty(shape[1], n, shape[0])
    dist.broadcast(packed, 0)
    dist.broadcast(scores.contiguous(), 0)
    part = layer.pool_bag(packed[0].long(), packed[1].long(), scores, [core]).contiguous()
    parts = [torch.empty_like(part) for _ in range(workers)] if rank == 0 else None
    dist.gather(part, parts, 0)
    return torch.cat(parts, -1) if rank == 0 else None


def process(rank, workers, threads, directory, rendezvous, queries, pipe):
    import torch.distributed as dist
    torch.set_grad_enabled(False)
    torch.set_num_threads(max(1, threads // workers))
    dist.init_process_group('gloo', init_method='file://' + rendezvous, rank=rank, world_size=workers)
    from checkpoint import Checkpoint
    width = Checkpoint(directory).config['mem_vdim'] // workers
    layer = Layer(directory, columns=(rank * width, (rank + 1) * width), parts=('keys', 'values') if rank == 0 else ('values',))
    core = rank * layer.cores // workers                         # each process owns columns of one core
    layer.tables = {core: layer.table}
    shape = [layer.heads * layer.knn, layer.cores]
    order = torch.zeros(2, dtype=torch.int64)                    # batch and rounds; 0 ends the process
    if rank == 0:
        pipe.send('ready')
    while True:
        if rank == 0:
            order[0], order[1] = pipe.recv()
        dist.broadcast(order, 0)
        n, rounds = order.tolist()
        if n == 0:
            break
        times = []
        for i in range(rounds):
            query = queries[n][i % len(queries[n])] if rank == 0 else None
            dist.barrier()
            start = time.perf_counter()
            lookup(dist, layer, rank, workers, core, query, n, shape)
            times.append((time.perf_counter() - start) * 1e3)
        if rank == 0:
            pipe.send(times)
    dist.destroy_process_group()


class Workload:
    def __init__(self, inputs, directory, workers=4):
        queries = {int(name[5:]): t for name, t in inputs.items() if name.startswith('query')}
        self.pipe, theirs = mp.Pipe()
        context = mp.get_context('spawn')
        rendezvous = os.path.join(tempfile.mkdtemp(prefix='bench-gloo-'), 'rendezvous')
        threads = torch.get_num_threads()
        self.children = [context.Process(target=process, daemon=True, args=(rank, workers, threads, directory, rendezvous,
                         queries if rank == 0 else None, theirs if rank == 0 else None)) for rank in range(workers)]
        for child in self.children:
            child.start()
        if not self.pipe.poll(300):
            raise RuntimeError('the gloo processes did not start within 300 s')
        self.pipe.recv()

    def time(self, call, args, seconds, at_least):
        times = self.rounds(args['batch'], 3)
        return self.rounds(args['batch'], max(at_least, int(seconds * 1e3 / max(times[-1], 1e-3))))

    def rounds(self, batch, count):
        self.pipe.send((batch, count))
        while not self.pipe.poll(1):
            if not all(child.is_alive() for child in self.children):
                raise RuntimeError('a gloo process ended')
        return self.pipe.recv()

    def close(self):
        self.pipe.send((0, 0))
        for child in self.children:
            child.join(10)
            child.kill()
