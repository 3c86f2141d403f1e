"""Selection and pooling of one memory layer; see torch_layer.py."""
import itertools, statistics, time
import torch
from checkpoint import DTYPES
from torch_layer import Layer


def in_turn(inputs, call):
    """one input after the other, so that no run finds in the caches what the run before has read"""
    turn = itertools.cycle(inputs)
    return lambda: call(next(turn))


def faster(runs):
    """the one with the smaller median of a few runs"""
    def cost(run):
        run()
        times = []
        for _ in range(7):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return statistics.median(times)
    return min(runs, key=cost)


class Workload:
    def __init__(self, inputs, directory, dtype='F32', parts=('keys', 'values'), eager=True):
        self.inputs = inputs
        self.layer = Layer(directory, dtype=DTYPES[dtype], parts=parts)
        self.eager = None
        if 'values' in parts:
            if eager:
                self.eager = Layer(directory, dtype=DTYPES[dtype], parts=('values',))
            self.layer.split_cores()

    def queries(self, batch):
        """sets of [batch, 2, width]"""
        return self.inputs[f'query{batch}'].unbind(0)

    def select_once(self, batch):
        return lambda: self.layer.select(self.queries(batch)[0])

    def select(self, batch):
        return in_turn(self.queries(batch), self.layer.select)

    def select_tuned(self, batch):
        return faster([in_turn(self.queries(batch), lambda q, way=way: self.layer.select_tuned(q, way)) for way in (True, False)])

    def lookup_tuned(self, batch):
        run = lambda q, way: self.layer.pool_bag(*self.layer.select_tuned(q, way))
        return faster([in_turn(self.queries(batch), lambda q, way=way: run(q, way)) for way in (True, False)])

    def lookup_once(self, batch):
        return lambda: self.layer.pool_bag(*self.layer.select_tuned(self.queries(batch)[0], False))

    def entries(self, name):
        """sets of (block [N, M], slot [N, M], scores [cores, N, M])"""
        block, slot, weight = (self.inputs[f'{name}.{part}'] for part in ('block', 'slot', 'weight'))
        return [(b.long(), s.long(), w.permute(2, 0, 1).contiguous()) for b, s, w in zip(block, slot, weight)]

    def pool_once(self, name):
        return lambda: self.layer.pool_bag(*self.entries(name)[0])

    def pool_bag(self, name):
        return in_turn(self.entries(name), lambda entries: self.layer.pool_bag(*entries))

    def pool_eager(self, name):
        return in_turn(self.entries(name), lambda entries: self.eager.pool_eager(*entries))
