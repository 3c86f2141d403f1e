/// <reference types="@webgpu/types" />
import { existsSync, readdirSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { OperatingError } from '@ultramem/invariant';

/** SwiftShader, a Vulkan driver on the CPU, as Debian's `chromium` brings it. */
const SOFTWARE_DRIVER = '/usr/lib/chromium/vk_swiftshader_icd.json';

/**
 * Dawn goes on to call into an instance that JavaScript has let go, which ends the process at random: so one for each kind of
 * request is kept for good. It does not keep the process alive.
 */
const instances = new Map<string, GPU>();

export interface FoundAdapter {
  adapter: GPUAdapter;
  description: string;
  isSoftware: boolean;
}

/** Why there is no adapter, and what mends it. */
export class NoAdapter extends OperatingError {
  readonly why: string;
  readonly remedy: string;

  constructor(why: string, remedy: string) {
    super(
      'BACKEND_UNAVAILABLE',
      `there is no WebGPU here (${why}); expected a GPU with a Vulkan, Metal or Direct3D 12 driver; ${remedy}`,
    );
    this.why = why;
    this.remedy = remedy;
  }
}

/**
 * A hardware adapter, else the software driver when it is installed. `VK_DRIVER_FILES` of the environment is obeyed.
 *
 * @param name part of an adapter's name; null takes the first
 * @throws NoAdapter
 */
export async function findAdapter(name: string | null): Promise<FoundAdapter> {
  const create = await loadDawn();
  const hardware = hasDriver() ? await requestAdapter(create, name) : null;
  if (hardware !== null && !hardware.isSoftware) return hardware;
  const software = hardware ?? (await requestSoftwareAdapter(create, name));
  if (software !== null) return software;
  if (name !== null)
    throw new NoAdapter(`no adapter has "${name}" in its name`, 'name another, or none for the first');
  throw new NoAdapter(
    'no driver gives an adapter',
    'install a graphics driver, or the software driver with: apt-get install -y --no-install-recommends chromium libvulkan1',
  );
}

/** Whether it is worth asking: without a driver file Dawn only complains on standard error (folders: Vulkan loader, "Driver Discovery"). */
function hasDriver(): boolean {
  const { env } = process;
  if (process.platform !== 'linux') return true;
  if ((env.VK_DRIVER_FILES ?? env.VK_ADD_DRIVER_FILES ?? env.VK_ICD_FILENAMES) !== undefined) return true;
  const folders = [
    env.XDG_CONFIG_HOME ?? join(homedir(), '.config'),
    ...(env.XDG_CONFIG_DIRS ?? '/etc/xdg').split(':'),
    '/etc',
    env.XDG_DATA_HOME ?? join(homedir(), '.local/share'),
    ...(env.XDG_DATA_DIRS ?? '/usr/local/share:/usr/share').split(':'),
  ].map((folder) => join(folder, 'vulkan/icd.d'));
  return folders.some((folder) => namesIn(folder).some((name) => name.endsWith('.json')));
}

/** Empty where there is no such folder, or none that may be read. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

type Create = (options: string[]) => GPU;

async function loadDawn(): Promise<Create> {
  try {
    return (await import('webgpu')).create;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new NoAdapter(
      `the package webgpu does not load: ${reason}`,
      'install it with: npm install webgpu@0.6.2',
    );
  }
}

async function requestAdapter(create: Create, name: string | null): Promise<FoundAdapter | null> {
  const key = `${name} of ${process.env.VK_DRIVER_FILES}`;
  const gpu = instances.get(key) ?? create(name === null ? [] : [`adapter=${name}`]);
  instances.set(key, gpu);
  const request = () => gpu.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  // Mesa's drivers complain on standard error where there is no such folder.
  const adapter = await withVariable('XDG_RUNTIME_DIR', tmpdir(), request);
  return adapter === null
    ? null
    : { adapter, description: describe(adapter), isSoftware: isSoftware(adapter) };
}

async function requestSoftwareAdapter(create: Create, name: string | null): Promise<FoundAdapter | null> {
  if (process.env.VK_DRIVER_FILES !== undefined || !existsSync(SOFTWARE_DRIVER)) return null;
  return withVariable('VK_DRIVER_FILES', SOFTWARE_DRIVER, () => requestAdapter(create, name));
}

/** Drivers read the environment when they are opened; a variable that is set stays, and child processes do not inherit our choice. */
async function withVariable<T>(variable: string, value: string, work: () => Promise<T>): Promise<T> {
  if (process.env[variable] !== undefined) return work();
  process.env[variable] = value;
  try {
    return await work();
  } finally {
    delete process.env[variable];
  }
}

function isSoftware({ info }: GPUAdapter): boolean {
  return info.isFallbackAdapter || /swiftshader|llvmpipe/i.test(`${info.architecture} ${info.description}`);
}

function describe(adapter: GPUAdapter): string {
  const { vendor, architecture, device, description } = adapter.info;
  if (/swiftshader/i.test(architecture)) return 'SwiftShader (software)';
  const name = [vendor, architecture, device].filter((part) => part !== '').join(' ');
  return `${description || name || 'unnamed adapter'}${isSoftware(adapter) ? ' (software)' : ''}`;
}
