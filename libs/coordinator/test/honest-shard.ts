import type { Checkpoint } from '@ultramem/checkpoint';
import { createReferenceKernels, type Kernels, loadMemoryTables, type MemoryTables } from '@ultramem/kernels';
import type { MessageOfKind, PooledEncoding, Request } from '@ultramem/protocol';
import type { AnswerBody } from '@ultramem/transport';
import { queryGroupOfHead, rangeLength } from '@ultramem/ultramem';

/** Answers as a worker does, from the tables themselves: what a spec changes in an answer is then the only thing wrong. */
export function honestShard(checkpoint: Checkpoint): (request: Request) => Promise<AnswerBody> {
  const kernels = createReferenceKernels();
  let tables: MemoryTables | null = null;
  const held = (layer: number) => tables?.layers[layer] ?? missing('the layer');
  const score = async ({ layer, tokenCount, groupCount, topK, query }: MessageOfKind<'score'>) => {
    const { keys, collapse } = held(layer);
    const geometry = checkpoint.geometry ?? missing('the memory');
    const groupOfHead = Uint32Array.from({ length: geometry.headCount }, (_, head) =>
      queryGroupOfHead(geometry, head),
    );
    const request = { query, tokenCount, groupCount, groupOfHead, collapse, k: topK };
    return kernels.scoreKeys(keys ?? missing('keys'), request);
  };
  const pool = ({ preQuery, activation, ...request }: MessageOfKind<'pool'>) => {
    const { values, pre } = held(request.layer);
    const gate =
      preQuery.length > 0 ? { table: pre ?? missing('pre-values'), query: preQuery, activation } : null;
    return kernels.pool(values ?? missing('values'), { ...request, pre: gate });
  };
  return async (request) => {
    switch (request.kind) {
      case 'heartbeat':
        return {
          kind: 'pulse',
          state: 'ready',
          epoch: 0,
          lookups: 3,
          rowsRead: 5,
          residentBytes: 7,
          processBytes: 9,
          loopDelayP99Ms: 0.5,
          loopDelayMaxMs: null,
          echo: new Uint8Array(request.echoBytes),
        };
      case 'assign': {
        const { keys, rows, columns, preColumns, epoch } = request;
        tables = await loadMemoryTables(checkpoint, kernels, { keys, values: { rows, columns, preColumns } });
        return { kind: 'ready', epoch, residentBytes: tables.residentBytes };
      }
      case 'score':
        return { kind: 'candidates', computeMs: 0, ...(await score(request)) };
      case 'prescore':
        return {
          kind: 'dots',
          computeMs: 0,
          dots: await kernels.dotRows(held(request.layer).pre ?? missing('pre-values'), request),
        };
      case 'pool':
        return pooledAs(kernels, request.encoding, await pool(request), held(request.layer));
      default:
        return missing(`an answer to ${request.kind}`);
    }
  };
}

async function pooledAs(
  kernels: Kernels,
  encoding: PooledEncoding,
  pooled: Float32Array,
  { values }: MemoryTables['layers'][number],
): Promise<AnswerBody> {
  const answer = { kind: 'pooled', computeMs: 0, encoding } as const;
  if (encoding === 'f32') return { ...answer, pooled, packed: new Uint8Array(0) };
  const width = rangeLength(values?.columns ?? missing('values'));
  const packed =
    (await kernels.packVectors(pooled, width, encoding)) ?? missing('a place for what is not finite');
  return { ...answer, pooled: new Float32Array(0), packed };
}

function missing(what: string): never {
  throw new Error(`this worker has not got ${what}`);
}
