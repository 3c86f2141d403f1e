/** The parts of package-lock.json (version 3) and of package.json that have to agree. */
export interface LockFile {
  lockfileVersion: number;
  packages: Record<string, LockEntry>;
}

export interface LockEntry {
  version?: string;
  link?: boolean;
  inBundle?: boolean;
  integrity?: string;
  resolved?: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

/**
 * What makes `npm ci` fail elsewhere: optional platform packages that the registry did not have when the lock was written (npm 11
 * drops them without a word and then refuses the lock), entries without a checksum, addresses of one registry, and manifests that
 * have changed since. `manifests` by folder, the top one by the empty string.
 */
export function lockFindings(lock: LockFile, manifests: Record<string, LockEntry>): string[] {
  const findings = lock.lockfileVersion === 3 ? [] : [`the lock has version ${lock.lockfileVersion}, not 3`];
  for (const [at, entry] of Object.entries(lock.packages)) {
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      if (!isInstalledFor(at, name, lock)) findings.push(`${at} lacks its optional dependency ${name}`);
    }
    if (entry.resolved?.includes('://')) findings.push(`${at} names the address of a registry`);
    const installed = /(^|\/)node_modules\//.test(at) && entry.link !== true && entry.inBundle !== true;
    if (installed && entry.integrity === undefined) findings.push(`${at} has no checksum`);
  }
  for (const [folder, manifest] of Object.entries(manifests)) {
    const locked = lock.packages[folder];
    for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies'] as const) {
      if (!sameEntries(manifest[kind] ?? {}, locked?.[kind] ?? {}))
        findings.push(`${folder || 'the top'} has other ${kind} in package.json than in the lock`);
    }
  }
  return findings;
}

/** Node looks in the package's own folder first, then in those above it. */
function isInstalledFor(at: string, name: string, lock: LockFile): boolean {
  const folders = at
    .split('/node_modules/')
    .map((_, i, all) => all.slice(0, all.length - i).join('/node_modules/'));
  return [...folders.filter((folder) => folder !== '').map((folder) => `${folder}/`), ''].some(
    (prefix) => lock.packages[`${prefix}node_modules/${name}`] !== undefined,
  );
}

function sameEntries(a: Record<string, string>, b: Record<string, string>): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => a[name] === b[name]);
}
