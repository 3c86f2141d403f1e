import { endWithReader, runProgram } from '@ultramem/command-line';
import { Command } from 'commander';

/** Each verb brings its own half of the repository, so only the one that is asked for is loaded. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  up: async () => (await import('./commands/up.ts')).upCommand(),
  coordinator: async () => (await import('@ultramem/coordinator-app')).coordinatorCommand(),
  worker: async () => (await import('@ultramem/worker-app')).workerCommand(),
  generate: async () => (await import('./commands/generate.ts')).generateCommand(),
  lookup: async () => (await import('./commands/lookup.ts')).lookupCommand(),
  verify: async () => (await import('./commands/verify.ts')).verifyCommand(),
  status: async () => (await import('./commands/status.ts')).statusCommand(),
  plan: async () => (await import('./commands/plan.ts')).planCommand(),
  inspect: async () => (await import('./commands/inspect.ts')).inspectCommand(),
  synth: async () => (await import('./commands/synth.ts')).synthCommand(),
  convert: async () => (await import('./commands/convert.ts')).convertCommand(),
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
};

const program = new Command('ultramem')
  .description('Distributed memory sharding for UltraMem language models.')
  .version('0.1.0');
const [verb = ''] = process.argv.slice(2);
const asked = Object.hasOwn(COMMANDS, verb) ? COMMANDS[verb] : undefined;
for (const load of asked === undefined ? Object.values(COMMANDS) : [asked]) program.addCommand(await load());
endWithReader();
await runProgram(program, process.argv.slice(2));
