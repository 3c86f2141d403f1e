import { createServer, connect as dial } from 'node:net';
import type { BenchCase } from '../bench-case.ts';
import type { BenchContext } from '../bench-context.ts';
import { ownSide, type Side } from '../interleave.ts';
import { randomNormals } from '../layer-model.ts';
import { figure, missing, type Subject } from '../row.ts';
import { quantile } from '../statistics.ts';

const MEGA = 2 ** 20;

/** What the machine can do at most: every other figure has to be seen beside these. */
export const limits: BenchCase = {
  name: 'limits',
  about: 'what the machine can do: memory, matmul, loopback',
  async run(context) {
    await memory(context);
    await matmul(context);
    await loopback(context);
  },
};

const subjectOf = (what: string, more: Partial<Subject> = {}): Subject => ({
  case: 'limits',
  what,
  backend: 'machine',
  ...more,
});

async function memory(context: BenchContext): Promise<void> {
  const machine = await context.machine();
  if (machine === null)
    return context.report(missing(subjectOf('memory bandwidth', { note: 'no C++ compiler' })));
  const bytes = (context.options.quick ? 16 : 512) * MEGA;
  const [read, copy] = await context.interleave([machine.stream(bytes), machine.copy(bytes / 2)]);
  context.report(
    figure(subjectOf('memory read in order'), bytes / quantile(read!.flat(), 0.5) / 1e6, 'GB/s'),
  );
  context.report(
    figure(
      subjectOf('memory copy, bytes read and written'),
      bytes / quantile(copy!.flat(), 0.5) / 1e6,
      'GB/s',
    ),
  );
  const rowCount = bytes / 1536;
  const slots = Uint32Array.from(randomNormals(100_000, 1), (x) =>
    Math.floor((Math.abs(x) * 1e6) % rowCount),
  );
  const file = await context.file(new Uint8Array(bytes));
  const slotFile = await context.file(slots);
  for (const rowBytes of [256, 768, 1536]) {
    await machine.table({ path: file, offset: 0, rowBytes }, { path: slotFile, count: slots.length });
    const perCall = 20_000;
    const sides = [machine.rows(perCall), await machine.copiedRows(perCall, Math.floor(bytes / rowBytes))];
    const rounds = await context.interleave(sides);
    for (const [side, pages] of ['mapped', 'in huge pages'].entries()) {
      const ms = quantile(rounds[side]!.flat(), 0.5);
      const subject = subjectOf(`random rows of ${rowBytes} bytes, ${pages}`);
      context.report(figure(subject, (perCall * rowBytes) / ms / 1e6, 'GB/s'));
    }
  }
}

async function matmul(context: BenchContext): Promise<void> {
  const { peer, ...rest } = context.peer();
  if (peer === null)
    return context.report(missing(subjectOf('matmul rate', { note: 'why' in rest ? rest.why : null })));
  const size = context.options.quick ? 128 : 2048;
  const path = await context.file(randomNormals(size * size, 1));
  const weights = { square: { path, dtype: 'F32', shape: [size, size] } };
  for (const dtype of ['F32', 'BF16']) {
    await peer.prepare('dense', { weights, dtype });
    await peer.input('x', { path, dtype: 'F32', shape: [size, size] });
    const [samples] = await context.interleave([peer.side('linear', { weight: 'square', x: 'x' })]);
    const rate = (2 * size ** 3) / quantile(samples!.flat(), 0.5) / 1e6;
    context.report(
      figure(subjectOf(`matmul ${size}, PyTorch`, { backend: 'PyTorch', dtype }), rate, 'GFLOP/s'),
    );
  }
  await peer.drop();
}

/** A byte there and back over TCP within this process: what no fan-out can undercut. */
async function loopback(context: BenchContext): Promise<void> {
  const server = createServer((socket) => void socket.setNoDelay(true).pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const socket = dial(port, '127.0.0.1').setNoDelay(true);
  const trip: Side = ownSide(
    () =>
      new Promise<void>((resolve) => {
        socket.once('data', () => resolve());
        socket.write('.');
      }),
  );
  const [samples] = await context.interleave([trip]);
  context.report(
    figure(subjectOf('loopback round trip, TCP, one process'), quantile(samples!.flat(), 0.5) * 1e3, 'us'),
  );
  socket.destroy();
  server.close();
}
