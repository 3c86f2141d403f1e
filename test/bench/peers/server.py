"""A peer that stays up and times what it is told: JSON lines in, JSON lines out, one answer for each request.

  {"do": "prepare", "workload": "layer", "args": {...}}         loads it; {"info": {...}}
  {"do": "input", "name": "query16", "path", "dtype", "shape"}  tensors that calls refer to by name
  {"do": "time", "call": "select_tuned", "args": {...}, "seconds": 0.2, "atLeast": 5}    {"ms": [...]}
  {"do": "write", "call", "args", "path"}                       runs it once, its tensors as f64 one after the other; {"shapes": [...]}
  {"do": "drop"}                                                frees the workload

Every request carries an id, and the answer repeats it. What goes wrong is answered as {"error": "..."}.
"""
import argparse, ctypes, gc, importlib, json, os, sys, time, traceback
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torch
from checkpoint import mapped

WORKLOADS = dict(layer='layer_workload', gloo='gloo_workload', dense='dense_workload', stack='torch_moe',
                 transformer='torch_transformer')


class Server:
    def __init__(self):
        self.workload, self.inputs, self.thunks = None, {}, {}

    def do_hello(self, request):
        return dict(torch=torch.__version__, threads=torch.get_num_threads())

    def do_prepare(self, request):
        self.do_drop(request)
        module = importlib.import_module(WORKLOADS[request['workload']])
        self.workload = module.Workload(self.inputs, **request.get('args', {}))
        return dict(info=getattr(self.workload, 'info', {}))

    def do_input(self, request):
        self.inputs[request['name']] = mapped(request['path'], request['dtype'], request['shape']).clone()
        self.thunks.clear()
        return {}

    def do_time(self, request):
        if hasattr(self.workload, 'time'):
            return dict(ms=self.workload.time(request['call'], request['args'], request['seconds'], request['atLeast']))
        run = self.thunk(request)
        times, end = [], time.perf_counter() + request['seconds']
        while len(times) < request['atLeast'] or time.perf_counter() < end:
            start = time.perf_counter()
            units = run()
            elapsed = (time.perf_counter() - start) * 1e3
            times.append(elapsed / units if isinstance(units, int) else elapsed)
        return dict(ms=times)

    def do_write(self, request):
        result = self.thunk(request)()
        tensors = [t.double().contiguous() for t in (result if isinstance(result, (tuple, list)) else [result])]
        with open(request['path'], 'wb') as file:
            for t in tensors:
                file.write(ctypes.string_at(t.data_ptr(), 8 * t.numel()))
        return dict(shapes=[list(t.shape) for t in tensors])

    def do_drop(self, request):
        if hasattr(self.workload, 'close'):
            self.workload.close()
        self.workload = None
        self.thunks.clear()
        gc.collect()
        return {}

    def thunk(self, request):
        """what is set up once for a call stays out of its time"""
        key = json.dumps([request['call'], request.get('args', {})], sort_keys=True)
        if key not in self.thunks:
            self.thunks[key] = getattr(self.workload, request['call'])(**request.get('args', {}))
        return self.thunks[key]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    torch.set_num_threads(parser.parse_args().threads)
    torch.set_grad_enabled(False)
    server = Server()
    out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)                                  # whatever else prints goes to stderr
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(server, 'do_' + request['do'])(request)
        except Exception as error:
            traceback.print_exc()
            answer = dict(error=f'{type(error).__name__}: {error}')
        out.write(json.dumps(dict(id=request['id'], **answer)) + '\n')
        out.flush()


if __name__ == '__main__':
    main()
