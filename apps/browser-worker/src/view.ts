import { present } from '@ultramem/invariant';
import { formatBytes } from '@ultramem/planner';
import type { WorkerStatus } from '@ultramem/worker';
import type { SessionFacts } from './session.ts';
import type { Fields } from './settings.ts';

/** The page's own elements, by their ids in index.html. */
export interface View {
  fields(): Fields;
  fillIn(fields: Partial<Fields>): void;
  onJoin(action: () => void): void;
  onLeave(action: () => void): void;
  show(facts: SessionFacts): void;
  showError(message: string | null): void;
  /** Whether the page is in a cluster, or on its way: the settings then stand. */
  setBusy(isBusy: boolean): void;
}

const NAMES: Record<SessionFacts['state'], string> = {
  opening: 'opening the model',
  connecting: 'connecting',
  greeting: 'connected',
  standby: 'waiting for a slice',
  loading: 'loading a slice',
  ready: 'ready',
  left: 'left',
  failed: 'failed',
};
const FIELD_NAMES = ['coordinator', 'token', 'memory'] as const;

export function createView(page: Document): View {
  const element = <T extends HTMLElement>(id: string): T =>
    present(page.getElementById(id) as T | null, `index.html has #${id}`);
  const inputs = { coordinator: input('coordinator'), token: input('token'), memory: input('memory') };
  const [join, leave] = [element<HTMLButtonElement>('join'), element<HTMLButtonElement>('leave')];
  function input(id: string): HTMLInputElement {
    return element<HTMLInputElement>(id);
  }
  /** Screen readers read what changes: only that is written. */
  const write = (id: string, text: string): void => {
    const target = element(id);
    if (target.textContent !== text) target.textContent = text;
  };
  const showError = (message: string | null): void => {
    write('error', message ?? '');
    element('error').hidden = message === null;
  };
  return {
    fields: () => ({
      coordinator: inputs.coordinator.value,
      token: inputs.token.value,
      memory: inputs.memory.value,
    }),
    fillIn: (fields) => {
      for (const name of FIELD_NAMES) inputs[name].value = fields[name] ?? inputs[name].value;
    },
    onJoin: (action) =>
      element('settings').addEventListener('submit', (event) => {
        event.preventDefault();
        action();
      }),
    onLeave: (action) => leave.addEventListener('click', action),
    show: (facts) => {
      const { worker } = facts;
      page.title = `${NAMES[facts.state]} · UltraMem worker`;
      write('state', NAMES[facts.state]);
      write('reason', reasonOf(facts));
      write('slice', worker === null ? 'none' : sliceText(worker));
      write('lookups', `${worker?.lookups ?? 0}`);
      write('rows-read', `${worker?.rowsRead ?? 0}`);
      write('received', formatBytes(facts.receivedBytes));
      write('sent', formatBytes(facts.sentBytes));
      write('device', facts.device ?? 'not chosen yet');
      write('name', facts.workerId);
      showError(facts.error);
    },
    showError,
    setBusy: (isBusy) => {
      for (const name of FIELD_NAMES) inputs[name].disabled = isBusy;
      join.disabled = isBusy;
      leave.disabled = !isBusy;
    },
  };
}

function reasonOf({ loading, reason }: SessionFacts): string {
  if (loading === null) return reason && `(${reason})`;
  return `(${formatBytes(loading.loadedBytes)} of ${formatBytes(loading.totalBytes)})`;
}

/** Such as `shard 1: rows 0–1023, columns 0–63, keys 0–15; 2.0 MiB`. */
function sliceText({ shard, slice, residentBytes }: WorkerStatus): string {
  if (slice === null) return 'none';
  const parts = [
    ['rows', slice.rows],
    ['columns', slice.columns],
    ['pre-value columns', slice.preColumns],
    ['keys', slice.keys],
  ] as const;
  const held = parts.flatMap(([name, range]) =>
    range === null || range.start === range.end ? [] : [`${name} ${range.start}–${range.end - 1}`],
  );
  return `shard ${shard}: ${held.join(', ')}; ${formatBytes(residentBytes)}`;
}
