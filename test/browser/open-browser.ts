import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';

export const CHROMIUM = '/usr/bin/chromium';
export const hasChromium = existsSync(CHROMIUM);

/** A desktop browser as it comes, but silent on the network and with WebGPU on a software driver where there is no GPU. */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--enable-unsafe-webgpu',
    ],
  });
}

export interface WorkerPage {
  page: Page;
  /** What the page has complained about in its console, or not caught. */
  complaints: string[];
  /** The text of a fact by its id. */
  fact(id: string): Promise<string>;
  /** Resolves when the page says that it is in this state. */
  state(name: string): Promise<void>;
}

/** Where a coordinator serves the page, with a fragment that fills it in. */
export function pageOf(coordinatorUrl: string, token: string): string {
  return `${coordinatorUrl.replace(/^ws/, 'http')}/worker/#token=${token}`;
}

/** Opens the page; `join` presses the button. */
export async function openWorkerPage(
  browser: Browser,
  address: string,
  { join = true }: { join?: boolean } = {},
): Promise<WorkerPage> {
  const page = await browser.newPage({ viewport: { width: 360, height: 740 } });
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(address);
  if (join) await page.getByRole('button', { name: 'Join' }).click();
  return {
    page,
    complaints,
    fact: (id) => page.locator(`#${id}`).innerText(),
    state: (name) =>
      page.locator('#state', { hasText: new RegExp(`^${name}$`) }).waitFor({ timeout: 20_000 }),
  };
}
