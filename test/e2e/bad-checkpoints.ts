import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { editConfig, editFile, editHeader, editTensor, type Header, setConfig } from './broken-model.ts';

export type Verb = 'coordinator' | 'worker' | 'inspect' | 'verify' | 'plan' | 'up';
/** Programs that read a checkpoint before anything else. */
export const READERS: readonly Verb[] = ['coordinator', 'worker', 'inspect'];

function edited(edit: (header: Header, name: (part: string) => string) => void) {
  return (directory: string) => editHeader(directory, edit);
}

/** Ways to break a checkpoint, and what the programs say of it. */
export const BROKEN: readonly {
  what: string;
  code: string;
  verbs?: readonly Verb[];
  breakIt: (directory: string) => void;
}[] = [
  {
    what: 'a missing directory',
    code: 'CHECKPOINT_NOT_FOUND',
    breakIt: (directory) => rmSync(directory, { recursive: true }),
  },
  {
    what: 'no config.json',
    code: 'CHECKPOINT_NOT_FOUND',
    breakIt: (directory) => rmSync(join(directory, 'config.json')),
  },
  {
    what: 'no weights',
    code: 'CHECKPOINT_NOT_FOUND',
    verbs: ['coordinator', 'worker', 'verify'],
    breakIt: (directory) => rmSync(join(directory, 'model.safetensors')),
  },
  {
    what: 'a config that is no JSON',
    code: 'CONFIG_INVALID',
    breakIt: (directory) => editConfig(directory, (text) => text.slice(0, 50)),
  },
  {
    what: 'a config that is a list',
    code: 'CONFIG_INVALID',
    breakIt: (directory) => editConfig(directory, () => '[]'),
  },
  {
    what: 'an unknown value',
    code: 'CONFIG_INVALID',
    verbs: ['plan', 'verify', 'up'],
    breakIt: (directory) => setConfig(directory, { mem_type: 'ultramem_v9' }),
  },
  {
    what: 'a wrong type',
    code: 'CONFIG_INVALID',
    breakIt: (directory) => setConfig(directory, { mem_knum: '32' }),
  },
  {
    what: 'contradicting values',
    code: 'CONFIG_INVALID',
    breakIt: (directory) => setConfig(directory, { n_heads: 7 }),
  },
  {
    what: 'memory in no block',
    code: 'CONFIG_INVALID',
    breakIt: (directory) => setConfig(directory, { mem_insert_way: 'everywhere' }),
  },
  {
    what: 'another size than the file',
    code: 'CHECKPOINT_INVALID',
    breakIt: (directory) => setConfig(directory, { mem_knum: 64 }),
  },
  {
    what: 'an empty file',
    code: 'CHECKPOINT_INVALID',
    breakIt: (directory) => editFile(directory, () => Buffer.alloc(0)),
  },
  {
    what: 'a truncated file',
    code: 'CHECKPOINT_INVALID',
    breakIt: (directory) => editFile(directory, (bytes) => bytes.subarray(0, -1000)),
  },
  {
    what: 'a truncated header',
    code: 'CHECKPOINT_INVALID',
    breakIt: (directory) => editFile(directory, (bytes) => bytes.subarray(0, 100)),
  },
  {
    what: 'a header longer than the file',
    code: 'CHECKPOINT_INVALID',
    breakIt: (directory) => editFile(directory, (bytes) => bytes.fill(0xff, 0, 8)),
  },
  {
    what: 'a header that is no JSON',
    code: 'CHECKPOINT_INVALID',
    breakIt: (directory) => editFile(directory, (bytes) => bytes.fill(0x7b, 8, 40)),
  },
  {
    what: 'overlapping tensors',
    code: 'CHECKPOINT_INVALID',
    breakIt: edited((header, name) => {
      const [one, other] = [header[name('0.tucker_core_u')], header[name('0.tucker_core_v')]];
      if (one && other) one.data_offsets = other.data_offsets;
    }),
  },
  {
    what: 'tensors out of bounds',
    code: 'CHECKPOINT_INVALID',
    breakIt: edited((header, name) => {
      const entry = header[name('0.tucker_core_u')];
      if (entry) entry.data_offsets = [2 ** 40, 2 ** 40 + 16];
    }),
  },
  {
    what: 'a wrong dtype',
    code: 'CHECKPOINT_INVALID',
    breakIt: edited((header, name) => {
      const entry = header[name('0.keys')];
      if (entry) entry.dtype = 'I32';
    }),
  },
  {
    what: 'a wrong shape',
    code: 'CHECKPOINT_INVALID',
    breakIt: edited((header, name) => header[name('0.values_for_look_up')]?.shape.reverse()),
  },
  {
    what: 'a missing tensor',
    code: 'CHECKPOINT_INVALID',
    breakIt: edited((header, name) => {
      header.other = { dtype: 'F32', shape: [0], data_offsets: [0, 0] };
      const part = name('0.tucker_core_u');
      const entry = header[part];
      if (entry) header.unused = entry;
      delete header[part];
    }),
  },
  {
    what: 'a shuffle_index that is no permutation',
    code: 'CHECKPOINT_INVALID',
    verbs: ['coordinator', 'verify', 'up'],
    breakIt: (directory) => editTensor(directory, '0.shuffle_index', (tensor) => tensor.copyWithin(0, 8, 16)),
  },
  {
    what: 'NaN in keys',
    code: 'CHECKPOINT_INVALID',
    verbs: ['coordinator', 'verify', 'up'],
    breakIt: (directory) => editTensor(directory, '1.keys', (tensor) => tensor.fill(0xff, 0, 4)),
  },
];
