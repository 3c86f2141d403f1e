import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { Client } from '@ultramem/client';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { eventually, processesOfSpec } from '../e2e/processes.ts';
import { connect, freePort, MODEL } from '../e2e/programs.ts';
import {
  CHROMIUM,
  hasChromium,
  openBrowser,
  openWorkerPage,
  pageOf,
  type WorkerPage,
} from './open-browser.ts';

const TOKEN = 'token-of-the-browser-spec';
const recorded = JSON.parse(readFileSync(`${MODEL}/io.json`, 'utf8')) as {
  greedy: { prompt: string; greedy_ids: number[] }[];
};
const greedy = recorded.greedy[0]!;

describe.skipIf(!hasChromium)(`a page in ${CHROMIUM} as a worker`, () => {
  const processes = processesOfSpec();
  let browser: Browser;
  let tokenFile: string;
  beforeAll(async () => {
    browser = await openBrowser();
    tokenFile = processes.tokenFile(TOKEN);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await processes.end();
  });

  function startCoordinator(args: readonly string[]) {
    const common = ['--model', MODEL, '--token-file', tokenFile];
    return processes.start('coordinator', ['coordinator', ...common, '--lookup-timeout', '5', ...args]);
  }

  async function expectRecordedTokens(client: Client, count = greedy.greedy_ids.length): Promise<void> {
    const { sequences } = await client.generate({ prompts: [greedy.prompt], maxTokens: count });
    expect(sequences[0]?.tokenIds).toEqual(greedy.greedy_ids.slice(0, count));
  }

  describe.each([
    { nodeWorkers: 2, partition: 'slots', keys: 'workers' },
    { nodeWorkers: 1, partition: 'columns', keys: 'coordinator' },
  ])('beside $nodeWorkers Node processes, $partition, keys $keys', ({ nodeWorkers, partition, keys }) => {
    let url: string;
    let tab: WorkerPage;
    let client: Client;
    beforeAll(async () => {
      const flags = ['--port', '0', '--workers', `${nodeWorkers + 1}`];
      const coordinator = startCoordinator([...flags, '--partition', partition, '--keys', keys]);
      ({ url } = await coordinator.message('listening'));
      for (let i = 0; i < nodeWorkers; i++) {
        const worker = ['--model', MODEL, '--coordinator', url, '--token-file', tokenFile];
        processes.start(`node-${i}`, ['worker', ...worker, '--id', `node-${i}`]);
      }
      tab = await openWorkerPage(browser, pageOf(url, TOKEN));
      await Promise.all([tab.state('ready'), coordinator.message('ready')]);
      client = await connect(url, TOKEN);
    }, 60_000);
    afterAll(async () => {
      client?.close();
      await tab?.page.close();
      await processes.stopAll();
    });

    it('gives the recorded tokens, and does its part', async () => {
      await expectRecordedTokens(client);
      const { workers } = await client.status();
      expect(workers).toHaveLength(nodeWorkers + 1);
      for (const { workerId, lookups, rowsRead, residentBytes } of workers) {
        expect(lookups, workerId).toBeGreaterThan(0);
        expect(rowsRead, workerId).toBeGreaterThan(0);
        expect(residentBytes, workerId).toBeGreaterThan(0);
      }
    });

    it('shows what it holds and has done', async () => {
      const { workers } = await client.status();
      const own = workers.find(({ workerId }) => workerId.startsWith('browser-'))!;
      expect(await tab.fact('name')).toBe(own.workerId);
      expect(await tab.fact('slice')).toContain(`rows ${own.rows!.start}–${own.rows!.end - 1}`);
      expect(await tab.fact('slice')).toContain(`columns ${own.columns!.start}–${own.columns!.end - 1}`);
      await eventually(
        () => tab.fact('lookups'),
        (text) => text === `${own.lookups}`,
        5000,
      );
      expect(await tab.fact('rows-read')).toBe(`${own.rowsRead}`);
      for (const id of ['sent', 'received']) expect(await tab.fact(id)).toMatch(/ [KM]iB$/);
      expect(await tab.fact('device')).toMatch(/^WebGPU on /);
      expect(await tab.page.title()).toBe('ready · UltraMem worker');
      expect(tab.page.url()).not.toContain(TOKEN);
      expect(tab.complaints).toEqual([]);
    });

    it('frees its shard when the tab is closed, and the next one takes it', async () => {
      await tab.page.close();
      await eventually(
        async () => (await client.status()).cluster.state,
        (state) => state !== 'ready',
        5000,
      );
      await expect(expectRecordedTokens(client, 4)).rejects.toMatchObject({ code: 'SHARD_UNAVAILABLE' });
      tab = await openWorkerPage(browser, pageOf(url, TOKEN));
      await tab.state('ready');
      await expectRecordedTokens(client, 8);
    }, 60_000);
  });

  it('says what is wrong, and can be corrected', async () => {
    const { url } = await startCoordinator(['--port', '0', '--workers', '1']).message('listening');
    const { page, fact, state } = await openWorkerPage(browser, pageOf(url, 'another'));
    await state('failed');
    expect(await page.getByRole('alert').innerText()).toContain('UNAUTHORIZED');
    await page.getByLabel('Token').fill(TOKEN);
    await page.getByLabel('Memory').fill('0.5');
    await page.getByLabel('Coordinator').fill('ftp://nowhere');
    await page.getByRole('button', { name: 'Join' }).click();
    expect(await page.getByLabel('Memory').evaluate((input: HTMLInputElement) => input.validity.valid)).toBe(
      false,
    );
    await page.getByLabel('Memory').fill('64');
    await page.getByRole('button', { name: 'Join' }).click();
    expect(await page.getByRole('alert').innerText()).toContain('URL_INVALID');
    await page.getByLabel('Coordinator').fill(url);
    await page.getByRole('button', { name: 'Join' }).click();
    await state('ready');
    expect(await page.getByRole('alert').isHidden()).toBe(true);
    await page.getByRole('button', { name: 'Leave' }).click();
    await state('left');
    await page.locator('#join:enabled').waitFor();
    expect(await fact('slice')).toBe('none');
    await page.close();
  }, 60_000);

  it('finds a coordinator again that was lost, with the slice that it still has', async () => {
    const flags = ['--port', `${await freePort()}`, '--workers', '1'];
    const first = startCoordinator(flags);
    const { url } = await first.message('listening');
    const { page, state } = await openWorkerPage(browser, pageOf(url, TOKEN));
    await state('ready');
    const read: string[] = [];
    page.on('request', (request) => read.push(request.url()));
    first.signal('SIGKILL');
    await state('connecting');
    const second = startCoordinator(flags);
    await second.message('ready');
    await state('ready');
    const client = await connect(url, TOKEN);
    await expectRecordedTokens(client, 8);
    client.close();
    expect(read.filter((address) => address.includes('/v1/model/'))).toEqual([]);
    await page.close();
  }, 60_000);

  it('opens the GPU again when it is lost, and computes without one', async () => {
    const { url } = await startCoordinator(['--port', '0', '--workers', '1']).message('listening');
    const { page, fact, state } = await openWorkerPage(browser, pageOf(url, TOKEN), { join: false });
    await page.evaluate(() => {
      const { requestDevice } = GPUAdapter.prototype;
      GPUAdapter.prototype.requestDevice = async function (descriptor) {
        const device = await requestDevice.call(this, descriptor);
        addEventListener('lose-device', () => device.destroy(), { once: true });
        return device;
      };
    });
    await page.getByRole('button', { name: 'Join' }).click();
    await state('ready');
    const client = await connect(url, TOKEN);
    await expectRecordedTokens(client, 8);
    await page.evaluate(() => dispatchEvent(new Event('lose-device')));
    await eventually(
      () => fact('error'),
      (text) => text.startsWith('the GPU was lost'),
      5000,
    );
    await state('ready');
    expect(await fact('device')).toMatch(/^WebGPU on /);
    await expectRecordedTokens(client, 8);

    await page.evaluate(() => {
      GPU.prototype.requestAdapter = async () => null;
      dispatchEvent(new Event('lose-device'));
    });
    await eventually(
      () => fact('device'),
      (text) => text.startsWith('the CPU'),
      5000,
    );
    await state('ready');
    await expectRecordedTokens(client, 8);
    client.close();
    await page.close();
  }, 60_000);

  it('joins from a page of another origin where that is allowed, and is refused elsewhere', async () => {
    const [allowed, other] = [await servePage(), await servePage()];
    const flags = ['--port', '0', '--workers', '1', '--allow-origin', allowed];
    const { url } = await startCoordinator(flags).message('listening');
    const fragment = `#token=${TOKEN}&coordinator=${encodeURIComponent(url)}`;
    const refused = await openWorkerPage(browser, `${other}/${fragment}`);
    const { page, state } = await openWorkerPage(browser, `${allowed}/${fragment}`);
    await state('ready');
    const client = await connect(url, TOKEN);
    await expectRecordedTokens(client, 8);
    client.close();
    await refused.state('failed');
    expect(await refused.fact('error')).toMatch(/^CONNECT_FAILED: .* --allow-origin/);
    await Promise.all([page.close(), refused.page.close()]);
  }, 60_000);

  it('fits a phone, and names its fields', async () => {
    const { url } = await startCoordinator(['--port', '0', '--workers', '1']).message('listening');
    const { page, complaints } = await openWorkerPage(browser, pageOf(url, TOKEN), { join: false });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
    for (const input of await page.locator('input').all())
      expect(await input.evaluate((field: HTMLInputElement) => field.labels?.length)).toBe(1);
    expect(await page.getByLabel('Token').inputValue()).toBe(TOKEN);
    expect(await page.getByLabel('Coordinator').inputValue()).toBe(`${url.replace(/^ws/, 'http')}/`);
    expect(complaints).toEqual([]);
    await page.close();
  });
});

/** The built page from a server of its own, and so of another origin. */
async function servePage(): Promise<string> {
  const folder = fileURLToPath(new URL('../../apps/browser-worker/dist/', import.meta.url));
  const types = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };
  const server = createServer((request, response) => {
    const name = request.url === '/' ? 'index.html' : (request.url ?? '').slice(1);
    response.setHeader('content-type', types[name.split('.').at(-1) as keyof typeof types] ?? 'text/plain');
    response.end(readFileSync(folder + name));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
}
