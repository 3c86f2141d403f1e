import { cpus, loadavg } from 'node:os';
import { OperatingError } from '@ultramem/invariant';
import { BenchContext } from './bench-context.ts';
import { CASES } from './cases.ts';
import { HELP, parseOptions } from './options.ts';
import { missing, type Row } from './row.ts';
import { markdownTable, textTable } from './tables.ts';

const BUSY = 0.5;

/** `npm run bench`: measures, and says of every goal whether it is met. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(
    args,
    CASES.map(({ name }) => name),
  );
  if (options === 'help') {
    const list = CASES.map(({ name, about }) => `  ${name.padEnd(10)} ${about}`).join('\n');
    process.stdout.write(`${HELP}\ncases:\n${list}\n`);
    return 0;
  }
  const progress = (text: string): void => void process.stderr.write(`${text}\n`);
  const [load = 0] = loadavg();
  if (load > BUSY)
    progress(`note: the load average is ${load.toFixed(1)}; on a busy machine these figures mean little`);
  if (options.quick) progress('note: quick, that is small sizes: the figures say that it runs, nothing else');
  const rows: Row[] = [];
  const report = (row: Row): void => {
    rows.push(row);
    if (options.format === 'json') process.stdout.write(`${JSON.stringify(row)}\n`);
  };
  const context = new BenchContext(options, report, progress);
  let failed = 0;
  const stop = (): never => {
    context.abandon();
    return process.exit(130);
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    await context.kernels(); // a backend that is not there ends it all
    for (const name of options.names) {
      progress(`${name} ...`);
      const benchCase = CASES.find((candidate) => candidate.name === name)!;
      await benchCase.run(context).catch((error: Error) => {
        failed++;
        progress(`${name} failed: ${error.stack}`);
        report(
          missing({
            case: name,
            what: 'the whole case',
            backend: options.backend,
            note: `failed: ${error.message}`,
          }),
        );
      });
    }
  } finally {
    await context.close();
  }
  const machine = `${cpus()[0]?.model.trim() ?? 'unknown'}, ${cpus().length} cores, Node.js ${process.versions.node}, load average ${load.toFixed(1)} at the start`;
  if (options.format === 'table') process.stdout.write(textTable(rows, machine));
  if (options.format === 'markdown') process.stdout.write(markdownTable(rows, machine));
  return failed === 0 ? 0 : 1;
}

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error: Error) => {
    const usage = error instanceof OperatingError && error.code === 'USAGE';
    process.stderr.write(
      error instanceof OperatingError ? `error ${error.code}: ${error.message}\n` : `${error.stack}\n`,
    );
    process.exit(usage ? 2 : 1);
  },
);
