import type { Client } from '@ultramem/client';
import { createLogUpdate } from 'log-update';
import { workerTable } from '../worker-table.ts';

const REFRESH_MS = 250;

/** Text that grows and the workers below it: redrawn in place on a terminal; in a pipe the text as it comes and the table once. */
export interface LiveView {
  write(text: string): void;
  end(): Promise<void>;
}

export function startLiveView(client: Client): LiveView {
  const { stdout } = process;
  if (!stdout.isTTY) {
    return {
      write: (text) => void stdout.write(text),
      end: async () => void stdout.write(`\n\n${workerTable(await client.status())}\n`),
    };
  }
  const frame = createLogUpdate(stdout);
  let text = '';
  let table = '';
  let ended = false;
  const draw = (): void => frame(`${text}\n\n${table}`);
  const refresh = async (): Promise<void> => {
    while (!ended) {
      table = workerTable(await client.status());
      if (!ended) draw();
      await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
    }
  };
  const refreshing = refresh();
  return {
    write(piece) {
      text += piece;
      draw();
    },
    async end() {
      ended = true;
      await refreshing;
      table = workerTable(await client.status());
      draw();
      frame.done();
    },
  };
}
