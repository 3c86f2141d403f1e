import { join } from 'node:path';
import { SMALL_MODEL } from './broken-model.ts';

/** A port that nobody listens on. */
export const NOBODY = 'ws://127.0.0.1:9';
export const START = ['coordinator', '--model', SMALL_MODEL, '--port', '0'];
export const UP = ['up', '--model', SMALL_MODEL, '--port', '0', '--once'];

/** Command lines that cannot be carried out. */
export const REFUSED: readonly { what: string; code: string; args: readonly string[] }[] = [
  {
    what: 'more workers than rows',
    code: 'PLAN_IMPOSSIBLE',
    args: [...START, '--workers', '1025', '--partition', 'slots'],
  },
  {
    what: 'more workers than columns',
    code: 'PLAN_IMPOSSIBLE',
    args: [...START, '--workers', '33', '--partition', 'columns'],
  },
  {
    what: 'a grid that does not divide',
    code: 'PLAN_IMPOSSIBLE',
    args: [...START, '--workers', '5', '--partition', 'grid:2x2'],
  },
  {
    what: 'a plan for such a grid',
    code: 'PLAN_IMPOSSIBLE',
    args: ['plan', '--model', SMALL_MODEL, '--workers', '5', '--partition', 'grid:2x2'],
  },
  {
    what: 'such a grid on one machine',
    code: 'PLAN_IMPOSSIBLE',
    args: [...UP, '--workers', '3', '--partition', 'grid:2x2'],
  },
  {
    what: 'too little memory',
    code: 'PLAN_IMPOSSIBLE',
    args: [...UP, '--workers', '2', '--memory', '10KiB'],
  },
  {
    what: 'one worker with too little memory',
    code: 'PLAN_IMPOSSIBLE',
    args: [...UP, '--workers', '2', '--memory', '1MiB,1KiB', '--partition', 'columns'],
  },
  { what: 'an unknown command', code: 'USAGE', args: ['frobnicate'] },
  { what: 'an unknown flag', code: 'USAGE', args: [...START, '--workers', '1', '--worker', '2'] },
  { what: 'a flag without value', code: 'USAGE', args: [...START, '--workers'] },
  { what: 'no model', code: 'USAGE', args: ['coordinator', '--workers', '1'] },
  { what: 'a word too many', code: 'USAGE', args: [...START, '--workers', '1', 'now'] },
  { what: 'a number in words', code: 'USAGE', args: [...START, '--workers', 'two'] },
  { what: 'no workers', code: 'USAGE', args: [...START, '--workers', '0'] },
  { what: 'half a worker', code: 'USAGE', args: [...START, '--workers', '1.5'] },
  { what: 'a port out of range', code: 'USAGE', args: [...START, '--workers', '1', '--port', '65536'] },
  { what: 'an unknown encoding', code: 'USAGE', args: [...START, '--workers', '1', '--slow-links', 'f16'] },
  { what: 'no time for lookups', code: 'USAGE', args: [...START, '--workers', '1', '--lookup-timeout', '0'] },
  {
    what: 'an unknown partition',
    code: 'USAGE',
    args: [...START, '--workers', '1', '--partition', 'diagonal'],
  },
  {
    what: 'an unknown place for keys',
    code: 'USAGE',
    args: [...START, '--workers', '1', '--keys', 'nowhere'],
  },
  {
    what: 'an unknown dtype of activations',
    code: 'USAGE',
    args: [...START, '--workers', '1', '--activations', 'f16'],
  },
  {
    what: 'activations in bf16 for a model without such weights',
    code: 'USAGE',
    args: [...START, '--workers', '1', '--activations', 'bf16'],
  },
  {
    what: 'a backend for a cluster',
    code: 'USAGE',
    args: ['generate', '--prompt', 'A', '--backend', 'reference'],
  },
  {
    what: 'activations for a cluster',
    code: 'USAGE',
    args: ['lookup', '--prompt', 'A', '--activations', 'bf16'],
  },
  { what: 'an unknown backend', code: 'USAGE', args: [...START, '--workers', '1', '--backend', 'abacus'] },
  {
    what: 'a size without a number',
    code: 'USAGE',
    args: ['worker', '--coordinator', NOBODY, '--model', SMALL_MODEL, '--memory', 'much'],
  },
  {
    what: 'sizes for other workers',
    code: 'USAGE',
    args: [...UP, '--workers', '2', '--memory', '1MiB,1MiB,1MiB'],
  },
  {
    what: 'a bad number of another verb',
    code: 'USAGE',
    args: ['generate', '--prompt', 'A', '--max-tokens', '-3'],
  },
  {
    what: 'no token beyond loopback',
    code: 'USAGE',
    args: [...START, '--workers', '1', '--host', '0.0.0.0'],
  },
  { what: 'no token beyond loopback, on one machine', code: 'USAGE', args: [...UP, '--host', '::'] },
  {
    what: 'a token file that is missing',
    code: 'USAGE',
    args: [...START, '--workers', '1', '--token-file', '/nowhere/token'],
  },
  {
    what: 'an empty token file',
    code: 'USAGE',
    args: [...START, '--workers', '1', '--token-file', '/dev/null'],
  },
  {
    what: 'an address of another machine',
    code: 'LISTEN_FAILED',
    args: [...START, '--workers', '1', '--host', '192.0.2.1', '--token-file', join(SMALL_MODEL, 'io.json')],
  },
  { what: 'a URL that is none', code: 'URL_INVALID', args: ['status', '--coordinator', 'ftp://localhost'] },
  { what: 'nobody there', code: 'CONNECT_FAILED', args: ['status', '--coordinator', NOBODY] },
  {
    what: 'nobody to generate',
    code: 'CONNECT_FAILED',
    args: ['generate', '--coordinator', NOBODY, '--prompt', 'A'],
  },
  { what: 'a verify of nothing', code: 'USAGE', args: ['verify', '--model', SMALL_MODEL] },
  {
    what: 'numbers that are missing',
    code: 'VECTORS_INVALID',
    args: ['verify', '--model', SMALL_MODEL, '--against', '/nowhere'],
  },
  { what: 'a synth over something', code: 'TARGET_EXISTS', args: ['synth', '--out', SMALL_MODEL] },
  {
    what: 'a conversion over something',
    code: 'TARGET_EXISTS',
    args: ['convert', '--model', SMALL_MODEL, '--out', SMALL_MODEL, '--values', 'int8'],
  },
  {
    what: 'a conversion to int4',
    code: 'USAGE',
    args: ['convert', '--model', SMALL_MODEL, '--out', '/nowhere', '--values', 'int4'],
  },
  { what: 'a synth of no slots', code: 'USAGE', args: ['synth', '--out', '/nowhere', '--slots', '0'] },
];
