import { type Checkpoint, openCheckpoint } from '@ultramem/checkpoint';
import { fileDirectory } from '@ultramem/checkpoint-file';
import { planTerms } from '@ultramem/coordinator';
import { OperatingError } from '@ultramem/invariant';
import {
  coordinatorBytes,
  explainPlan,
  formatBytes,
  type Plan,
  type PlanRequest,
  planFacts,
  planPartition,
} from '@ultramem/planner';
import type { Range } from '@ultramem/ultramem';
import { Command, Option } from 'commander';
import { printTable } from '../print-table.ts';
import { type PlanFlags, type PlanWishes, parsePlanFlags } from './plan-request.ts';

/** `ultramem plan`: what launching would do, without launching. */
export function planCommand(): Command {
  return new Command('plan')
    .description(
      'Compare the partitions of a model over workers that need not exist yet: memory, bytes, round trips, time. Refuses what cannot fit.',
    )
    .addOption(
      new Option('--model <dir>', 'directory with config.json and model.safetensors')
        .env('ULTRAMEM_MODEL')
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--workers <count>', 'how many workers').env('ULTRAMEM_WORKERS').makeOptionMandatory(),
    )
    .addOption(
      new Option(
        '--memory <sizes>',
        'memory for slices: one size for every worker, or one each with commas between (default: enough)',
      ).env('ULTRAMEM_MEMORY'),
    )
    .addOption(
      new Option('--partition <kind>', 'slots, columns, grid:RxC or auto')
        .env('ULTRAMEM_PARTITION')
        .default('auto'),
    )
    .addOption(
      new Option('--keys <place>', 'who scores keys: coordinator, workers or auto')
        .env('ULTRAMEM_KEYS')
        .default('auto'),
    )
    .option('--coordinator-memory <size>', 'memory for dense weights, shuffles and keys (default: enough)')
    .option('--link-round-trip <ms>', 'one small frame to every worker and back (default: 0.2, loopback)')
    .option('--link-bandwidth <size/s>', "what the coordinator's end carries (default: 1GB/s)")
    .option('--json', 'print facts as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ultramem plan --model ./model --workers 4 --memory 8GiB,8GiB,4GiB,4GiB --link-round-trip 0.5 --link-bandwidth 1.25GB/s',
    )
    .action(async (flags: PlanFlags) => {
      const wishes = parsePlanFlags(flags);
      const checkpoint = await openCheckpoint(fileDirectory(flags.model), { parts: 'all' });
      try {
        const request = planRequest(checkpoint, wishes);
        const plan = planPartition(request);
        process.stdout.write(
          `${flags.json ? JSON.stringify(planFacts(plan)) : planText(plan, request, wishes.memoryIsKnown)}\n`,
        );
      } finally {
        await checkpoint.close();
      }
    });
}

/** @throws OperatingError PLAN_IMPOSSIBLE for a model without memory */
export function planRequest(checkpoint: Checkpoint, wishes: PlanWishes): PlanRequest {
  if (checkpoint.geometry === null)
    throw new OperatingError(
      'PLAN_IMPOSSIBLE',
      `${checkpoint.name} has no memory layers (mem_insert_way is no_mem); expected some to cut over workers; run it with: ultramem generate --model DIR`,
    );
  const terms = planTerms(checkpoint, wishes.partition, wishes.keys);
  return {
    ...terms,
    workers: wishes.workers,
    link: {
      roundTripMs: wishes.roundTripMs ?? terms.link.roundTripMs,
      bytesPerSecond: wishes.bytesPerSecond ?? terms.link.bytesPerSecond,
    },
    ...(wishes.coordinatorBytesMax === null ? {} : { coordinatorBytesMax: wishes.coordinatorBytesMax }),
  };
}

/** The comparison, who would own what, and what the coordinator would hold. */
export function planText(plan: Plan, request: PlanRequest, memoryIsKnown: boolean): string {
  const { geometry, bytes, workers } = request;
  const hasPre = geometry.preWidth > 0;
  const rows = planFacts(plan).workers.map((worker) => {
    const capacityBytes = workers.find(({ id }) => id === worker.worker)?.capacityBytes ?? 0;
    return [
      worker.worker,
      rangeText(worker.rows),
      rangeText(worker.columns),
      ...(hasPre ? [rangeText(worker.preColumns)] : []),
      worker.keys === null ? '-' : rangeText(worker.keys),
      formatBytes(worker.bytes),
      ...(memoryIsKnown ? [formatBytes(capacityBytes)] : []),
    ];
  });
  const head = [
    'worker',
    'rows',
    'columns',
    ...(hasPre ? ['pre-value columns'] : []),
    'keys',
    'bytes',
    ...(memoryIsKnown ? ['memory'] : []),
  ];
  return [
    explainPlan(plan, geometry),
    '',
    printTable(head, rows),
    '',
    `coordinator: ${formatBytes(coordinatorBytes(geometry, bytes, plan.keys))} for dense weights, shuffles${plan.keys === 'workers' ? '' : ' and keys'}`,
  ].join('\n');
}

/** First and last, as `status` shows them. */
function rangeText({ start, end }: Range): string {
  return end > start ? `${start}-${end - 1}` : '-';
}
