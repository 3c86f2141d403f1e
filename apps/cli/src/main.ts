import { runProgram } from '@ultramem/command-line';
import { coordinatorCommand } from '@ultramem/coordinator-app';
import { workerCommand } from '@ultramem/worker-app';
import { Command } from 'commander';

const program = new Command('ultramem').description('Distributed memory sharding for UltraMem language models.').version('0.1.0');
for (const command of [coordinatorCommand(), workerCommand()]) program.addCommand(command);
await runProgram(program, process.argv.slice(2));
