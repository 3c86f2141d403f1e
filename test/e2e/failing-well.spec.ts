import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Message } from '@ultramem/protocol';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { BROKEN, READERS, type Verb } from './bad-checkpoints.ts';
import { NOBODY, REFUSED, START, UP } from './bad-commands.ts';
import { copyModel, SMALL_MODEL } from './broken-model.ts';
import { startFakeCoordinator, WELCOME } from './fake-coordinator.ts';
import {
  expectRightAnswers,
  freePort,
  type Outcome,
  runToEnd,
  startCoordinator,
  startWorker,
} from './programs.ts';

/** Soon, also where many programs start at once. */
const SECONDS = 10_000;

let folder: string;
let count = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ultramem-failing-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function newPath(): string {
  return join(folder, `${count++}`);
}

/** One line that says what is wrong, what was expected and what to do; the right exit code; soon. */
function expectFailure({ code, errors, elapsedMs }: Outcome, expected: string): string {
  expect(errors, 'lines of errors').toHaveLength(1);
  const line = errors[0] ?? '';
  expect(line).toMatch(/^error [A-Z_]+: [^;]+; [^;]+; [^;]+$/);
  expect(line).toMatch(new RegExp(`^error ${expected}: `));
  expect(code).toBe(expected === 'USAGE' ? 2 : 1);
  expect(elapsedMs).toBeLessThan(SECONDS);
  return line;
}

function argsOf(verb: Verb, model: string): string[] {
  const flags = {
    coordinator: ['--workers', '1', '--port', '0'],
    worker: ['--coordinator', NOBODY],
    inspect: [],
    verify: ['--against', join(SMALL_MODEL, 'io.safetensors'), '--workers', '0'],
    plan: ['--workers', '2'],
    up: ['--workers', '2', '--port', '0', '--once'],
  };
  return [verb, '--model', model, ...flags[verb]];
}

describe.concurrent.each(BROKEN)('a checkpoint with $what', ({ code, verbs = READERS, breakIt }) => {
  it(`ends every program with ${code}`, async () => {
    const directory = newPath();
    copyModel(directory);
    breakIt(directory);
    const outcomes = await Promise.all(verbs.map((verb) => runToEnd(argsOf(verb, directory))));
    for (const outcome of outcomes) expectFailure(outcome, code);
  });
});

describe.concurrent.each(REFUSED)('$what', ({ code, args }) => {
  it(`ends with ${code}`, async () => {
    expectFailure(await runToEnd(args), code);
  });
});

const TO_NOBODY = ['worker', '--model', SMALL_MODEL, '--coordinator', NOBODY];

function workerTo(url: string, ...flags: string[]): Promise<Outcome> {
  return runToEnd(['worker', '--model', SMALL_MODEL, '--coordinator', url, ...flags]);
}

describe('a port that is taken', () => {
  it('ends with PORT_IN_USE', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? `${address.port}` : '';
    const args = ['--workers', '1', '--port', port];
    const outcomes = [runToEnd([...START, ...args]), runToEnd([...UP, ...args])];
    for (const outcome of await Promise.all(outcomes))
      expect(expectFailure(outcome, 'PORT_IN_USE')).toContain(port);
  });
});

describe('a wrong token', () => {
  it('ends with UNAUTHORIZED, and is not told on', async () => {
    const [right, wrong] = [newPath(), newPath()];
    writeFileSync(right, 'open sesame\n');
    writeFileSync(wrong, 'open barley\n');
    const coordinator = startCoordinator(['--token-file', right]);
    onTestFinished(() => coordinator.stop());
    const { url } = await coordinator.message('listening');
    const to = ['--coordinator', url];
    const outcomes = await Promise.all([
      workerTo(url),
      workerTo(url, '--token-file', wrong),
      runToEnd(['status', ...to]),
      runToEnd(['generate', ...to, '--prompt', 'A', '--token-file', wrong]),
      runToEnd(['lookup', ...to, '--prompt', 'A']),
    ]);
    for (const outcome of outcomes) {
      const line = expectFailure(outcome, 'UNAUTHORIZED');
      expect(line).toContain('--token-file');
      expect(line).not.toMatch(/sesame|barley/);
    }
    expectFailure(await runToEnd(['status', ...to, '--token-file', right]), 'NOT_READY');
  });
});

describe('another checkpoint than the coordinator has', () => {
  it('ends with CHECKPOINT_MISMATCH', async () => {
    const coordinator = startCoordinator();
    onTestFinished(() => coordinator.stop());
    const { url } = await coordinator.message('listening');
    expectFailure(await workerTo(url), 'CHECKPOINT_MISMATCH');
  });
});

describe('a disk without space', () => {
  const isRoot = process.platform === 'linux' && process.getuid?.() === 0;
  it.skipIf(!isRoot)('ends with DISK_FULL and leaves nothing (needs root, for a small tmpfs)', async () => {
    const small = newPath();
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small]);
    onTestFinished(() => void execFileSync('umount', [small]));
    const out = join(small, 'model');
    expectFailure(await runToEnd(['synth', '--out', out, '--slots', '100000']), 'DISK_FULL');
    expect(existsSync(join(out, 'config.json'))).toBe(false);
  });
});

describe('a coordinator of another version', () => {
  it.each<[string, Message]>([
    [
      'refuses',
      {
        kind: 'failure',
        id: null,
        code: 'PROTOCOL_VERSION',
        message: 'we speak 2; expected 2; run 2',
        retriable: false,
      },
    ],
    ['welcomes', { ...WELCOME, protocol: 2 }],
  ])('that %s ends the worker with PROTOCOL_VERSION', async (_name, answer) => {
    const fake = await startFakeCoordinator();
    onTestFinished(() => fake.close());
    const outcome = workerTo(fake.url);
    const session = await fake.accept();
    session.send(answer);
    if (answer.kind === 'failure') session.close(answer.code);
    expectFailure(await outcome, 'PROTOCOL_VERSION');
  });

  it('cannot write a second line of errors', async () => {
    const fake = await startFakeCoordinator();
    onTestFinished(() => fake.close());
    const outcome = workerTo(fake.url);
    const session = await fake.accept();
    const message = 'go\nerror USAGE: away; \u001b[2Jyou; \rnow';
    session.send({ kind: 'failure', id: null, code: 'DUPLICATE_WORKER', message, retriable: false });
    session.close('');
    expect(expectFailure(await outcome, 'DUPLICATE_WORKER')).not.toMatch(/\p{Cc}/u);
  });
});

describe('a worker that nobody welcomes', () => {
  it('gives up after --connect-timeout', async () => {
    const silent = await startFakeCoordinator();
    const rude = await startFakeCoordinator();
    const wrong = createHttpServer((_request, response) => response.end('hello'));
    await new Promise<void>((resolve) => wrong.listen(0, '127.0.0.1', resolve));
    onTestFinished(async () => {
      await Promise.all([silent.close(), rude.close()]);
      wrong.close();
    });
    const hangUp = (): Promise<void> =>
      rude
        .accept()
        .then((session) => session.close('no'))
        .then(hangUp);
    void hangUp();
    const address = wrong.address();
    const other = `ws://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
    const limit = ['--connect-timeout', '1'];
    const [nobody, unanswered, refused, misled] = await Promise.all([
      runToEnd([...TO_NOBODY, ...limit]),
      workerTo(silent.url, ...limit),
      workerTo(rude.url, ...limit),
      workerTo(other, ...limit),
    ]);
    expectFailure(nobody, 'CONNECT_FAILED');
    expectFailure(unanswered, 'CONNECTION_LOST');
    expectFailure(refused, 'CONNECTION_LOST');
    expectFailure(misled, 'NOT_A_COORDINATOR');
    for (const { elapsedMs } of [nobody, unanswered, refused]) expect(elapsedMs).toBeGreaterThan(1000);
  });
});

describe('a worker whose coordinator dies', () => {
  it('serves the next one on the same port', async () => {
    const port = `${await freePort()}`;
    const first = startCoordinator(['--port', port]);
    const { url } = await first.message('listening');
    const worker = startWorker(url, ['--connect-timeout', '10']);
    onTestFinished(() => worker.stop());
    await first.message('ready');
    first.signal('SIGKILL');
    await first.exited;
    const second = startCoordinator(['--port', port]);
    onTestFinished(() => second.stop());
    await second.message('ready');
    await expectRightAnswers(url);
  });

  it('ends when none comes back in time', async () => {
    const coordinator = startCoordinator();
    const { url } = await coordinator.message('listening');
    const worker = startWorker(url, ['--connect-timeout', '1']);
    await coordinator.message('ready');
    const startMs = performance.now();
    coordinator.signal('SIGKILL');
    expect(await worker.exited).toMatchObject({ code: 1, error: { code: 'CONNECT_FAILED' } });
    expect(performance.now() - startMs).toBeGreaterThan(900);
    expect(performance.now() - startMs).toBeLessThan(SECONDS);
  });
});
