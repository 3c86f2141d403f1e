import { BACKEND_HELP, parseBackends } from '@ultramem/backends';
import { startProgress, wholeNumber } from '@ultramem/command-line';
import { OperatingError } from '@ultramem/invariant';
import { parseKeysMode, parsePartition } from '@ultramem/planner';
import { Command } from 'commander';
import { printTable } from '../print-table.ts';
import type { ClusterShape } from '../verify/temporary-cluster.ts';
import type { VerifyCase } from '../verify/verify-case.ts';
import { verifyModelFile } from '../verify/verify-model-file.ts';
import { listVectorFiles, verifyVectorFile } from '../verify/verify-vectors.ts';

interface VerifyFlags {
  model?: string;
  against?: string;
  vectors?: string;
  workers: string;
  partition: string;
  keys: string;
  backend: string;
  json?: boolean;
}

/** `ultramem verify`: numbers from elsewhere against this runtime, in one process or through real worker processes. */
export function verifyCommand(): Command {
  return new Command('verify')
    .description(
      "Hold this runtime against recorded numbers of the reference: a whole model's logits and greedy tokens, or memory layers.",
    )
    .option('--model <dir>', 'a whole model ...')
    .option('--against <file>', '... and its recorded inputs and logits (io.safetensors)')
    .option('--vectors <dir>', 'or every layer file of the manifest in this directory')
    .option('--workers <count>', 'worker processes; 0 runs in this process', '0')
    .option('--partition <kind>', 'slots, columns, grid:RxC or auto', 'auto')
    .option('--keys <place>', 'who scores keys: coordinator, workers or auto', 'auto')
    .option('--backend <names>', `${BACKEND_HELP}; several by commas go to the workers in turn`, 'auto')
    .option('--json', 'print {ok, cases} as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ultramem verify --model ./model --against ./model/io.safetensors --workers 4 --partition columns',
    )
    .action(async (flags: VerifyFlags) => {
      const shape: ClusterShape = {
        workers: wholeNumber('--workers', 0, 4096)(flags.workers),
        partition: parsePartition(flags.partition),
        keys: parseKeysMode(flags.keys),
        backends: parseBackends(flags.backend),
      };
      const cases = await runCases(flags, shape);
      const ok = cases.every((one) => one.ok);
      process.stdout.write(`${flags.json ? JSON.stringify({ ok, cases }) : describeCases(cases)}\n`);
      if (!ok)
        throw new OperatingError(
          'VERIFY_FAILED',
          `${cases.filter((one) => !one.ok).length} of ${cases.length} cases differ from the recorded numbers; expected equal indices and errors within SEMANTICS section 16; see the cases above`,
        );
    });
}

async function runCases(
  { model, against, vectors }: VerifyFlags,
  shape: ClusterShape,
): Promise<VerifyCase[]> {
  if (vectors === undefined && model !== undefined && against !== undefined)
    return verifyModelFile(model, against, shape);
  if (vectors === undefined || model !== undefined || against !== undefined)
    throw new OperatingError(
      'USAGE',
      'verify needs something to compare; expected either --vectors DIR or both --model DIR and --against FILE; see: ultramem verify --help',
    );
  const files = await listVectorFiles(vectors);
  const progress = startProgress('verifying', files.length);
  const cases: VerifyCase[] = [];
  try {
    for (const [i, file] of files.entries()) {
      cases.push(
        ...(await verifyVectorFile(vectors, file, shape).catch((error: unknown) => failedCase(file, error))),
      );
      progress.update(i + 1);
    }
  } finally {
    progress.stop();
  }
  return cases;
}

/** A file that cannot be cut over so many workers, or cannot be read, is a failed case; the others still run. */
function failedCase(file: string, error: unknown): VerifyCase[] {
  if (!(error instanceof OperatingError) || error.code === 'BACKEND_UNAVAILABLE') throw error;
  return [
    {
      name: file.replace(/\.safetensors$/, ''),
      ok: false,
      indicesEqual: false,
      maxAbsError: Number.NaN,
      error: `${error.code}: ${error.message}`,
    },
  ];
}

function describeCases(cases: readonly VerifyCase[]): string {
  const table = printTable(
    ['case', 'ok', 'indices', 'max error', 'like one process'],
    cases.map(({ name, ok, indicesEqual, maxAbsError, bitIdentical, maxRelativeError }) => [
      name,
      ok ? 'ok' : 'FAILED',
      indicesEqual ? 'equal' : 'DIFFER',
      maxAbsError.toExponential(1),
      bitIdentical === undefined
        ? '-'
        : bitIdentical
          ? 'every bit'
          : `within ${(maxRelativeError ?? 0).toExponential(1)}`,
    ]),
  );
  const errors = cases.filter((one) => one.error !== undefined).map((one) => `${one.name}: ${one.error}`);
  return [table, ...errors, '', `${cases.filter((one) => one.ok).length} of ${cases.length} cases ok`].join(
    '\n',
  );
}
