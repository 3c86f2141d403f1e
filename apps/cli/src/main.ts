import { runProgram } from '@ultramem/command-line';
import { coordinatorCommand } from '@ultramem/coordinator-app';
import { workerCommand } from '@ultramem/worker-app';
import { Command } from 'commander';
import { convertCommand } from './commands/convert.ts';
import { doctorCommand } from './commands/doctor.ts';
import { generateCommand } from './commands/generate.ts';
import { inspectCommand } from './commands/inspect.ts';
import { lookupCommand } from './commands/lookup.ts';
import { planCommand } from './commands/plan.ts';
import { statusCommand } from './commands/status.ts';
import { synthCommand } from './commands/synth.ts';
import { upCommand } from './commands/up.ts';
import { verifyCommand } from './commands/verify.ts';

const program = new Command('ultramem')
  .description('Distributed memory sharding for UltraMem language models.')
  .version('0.1.0');
const commands = [
  upCommand(),
  coordinatorCommand(),
  workerCommand(),
  generateCommand(),
  lookupCommand(),
  verifyCommand(),
  statusCommand(),
  planCommand(),
  inspectCommand(),
  synthCommand(),
  convertCommand(),
  doctorCommand(),
];
for (const command of commands) program.addCommand(command);
await runProgram(program, process.argv.slice(2));
