"""Tensors of a safetensors file and of raw files, mapped, not read."""
import json, os, struct
import torch
import torch.nn.functional as F

DTYPES = {'F32': torch.float32, 'F16': torch.float16, 'BF16': torch.bfloat16, 'I64': torch.int64,
          'I32': torch.int32, 'U8': torch.uint8}


def mapped(path, dtype, shape, offset=0):
    storage = torch.UntypedStorage.from_file(path, False, os.path.getsize(path))
    kind = DTYPES[dtype]
    size = torch.empty(0, dtype=kind).element_size()
    assert offset % size == 0, 'the file is aligned to its elements'
    return torch.empty(0, dtype=kind).set_(storage, offset // size, torch.Size(shape))


class Checkpoint:
    def __init__(self, directory):
        with open(os.path.join(directory, 'config.json')) as file:
            self.config = json.load(file)
        self.path = os.path.join(directory, 'model.safetensors')
        with open(self.path, 'rb') as file:
            length, = struct.unpack('<Q', file.read(8))
            self.header = json.loads(file.read(length))
        self.header.pop('__metadata__', None)
        self.start = 8 + length

    def __contains__(self, name):
        return name in self.header

    def tensor(self, name):
        entry = self.header[name]
        return mapped(self.path, entry['dtype'], entry['shape'], self.start + entry['data_offsets'][0])

    def optional(self, name):
        return self.tensor(name).float() if name in self else None

    def norm(self, x, weight, bias=None):
        """SEMANTICS 1.1"""
        eps = self.config.get('layer_norm_eps', 1e-5)
        if self.config.get('layer_norm_type', 'default') != 'rms':
            return F.layer_norm(x, x.shape[-1:], weight, bias, eps)
        y = F.rms_norm(x.float(), x.shape[-1:], None, eps).to(x.dtype)
        y = y if weight is None else y * weight.to(x.dtype)
        return y if bias is None else y + bias.to(x.dtype)
