// npm run pack -- FOLDER: a tarball of every public package, as it is published. Prints their paths; build first.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const TOP = fileURLToPath(new URL('../..', import.meta.url));

/** Manifests of all packages that are not private, with the folder of each. */
export function publicPackages() {
  return ['libs', 'apps']
    .flatMap((group) => readdirSync(join(TOP, group)).map((name) => join(group, name)))
    .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(TOP, folder, 'package.json'), 'utf8')) }))
    .filter(({ manifest }) => !manifest.private);
}

/** Packs them with one call of npm. Returns the tarball, the names of its files and the manifest of each package. */
export function packAll(destination) {
  const packages = publicPackages();
  mkdirSync(destination, { recursive: true });
  // npm takes a licence from a package's own folder only. The copies are ignored by git.
  for (const { folder } of packages) copyFileSync(join(TOP, 'LICENSE'), join(TOP, folder, 'LICENSE'));
  const workspaces = packages.map(({ manifest }) => `--workspace=${manifest.name}`);
  const args = ['pack', ...workspaces, '--ignore-scripts', '--json', '--pack-destination', destination];
  const npm = { cwd: TOP, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 26 };
  const packed = Object.values(JSON.parse(execFileSync('npm', args, npm)));
  return packages.map(({ manifest }) => {
    const { filename, files } = packed.find(({ name }) => name === manifest.name);
    return { manifest, tarball: join(destination, filename), files: files.map(({ path }) => path) };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , folder] = process.argv;
  if (folder === undefined) {
    process.stderr.write('error USAGE: no folder was given; expected one for the tarballs; run: npm run pack -- FOLDER\n');
    process.exit(2);
  }
  for (const { tarball } of packAll(resolve(process.env.INIT_CWD ?? '.', folder))) process.stdout.write(`${tarball}\n`);
}
