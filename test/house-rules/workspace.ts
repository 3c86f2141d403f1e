import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What the rules look at. Plain data, so that a test can plant a violation. */
export interface Project {
  readonly name: string;
  /** From the top of the repository, such as `libs/planner`. */
  readonly root: string;
  readonly layer: string | null;
  readonly runtime: string | null;
  /** Workspace projects that it depends on, by import or by declaration. */
  readonly dependsOn: readonly string[];
  /** Packages of every kind of dependency in its package.json. */
  readonly declared: readonly string[];
  /** What may be imported from outside: its name, and its name with each public subpath. */
  readonly entryPoints: readonly string[];
  readonly tsconfig: TsConfig | null;
  readonly files: readonly SourceFile[];
}

/** A TypeScript file below `src`. */
export interface SourceFile {
  /** From the project's root, such as `src/index.ts`. */
  readonly path: string;
  readonly text: string;
}

export interface TsConfig {
  readonly extends?: string;
  readonly compilerOptions?: { readonly types?: readonly string[]; readonly lib?: readonly string[] };
}

interface Manifest {
  exports?: Record<string, unknown>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
}

interface NxGraph {
  graph: {
    nodes: Record<string, { data: { root: string; tags?: string[] } }>;
    dependencies: Record<string, { target: string }[]>;
  };
}

export const TOP = fileURLToPath(new URL('../..', import.meta.url));

/** Every project of the workspace as Nx sees it, in the order of their names, with its sources. */
export function readWorkspace(): Project[] {
  const { graph } = readGraph();
  return Object.entries(graph.nodes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { data }]) => {
      const manifest = readJson<Manifest>(`${data.root}/package.json`);
      const tagged = (kind: string) =>
        data.tags?.find((tag) => tag.startsWith(`${kind}:`))?.slice(kind.length + 1) ?? null;
      return {
        name,
        root: data.root,
        layer: tagged('layer'),
        runtime: tagged('runtime'),
        dependsOn: (graph.dependencies[name] ?? []).map(({ target }) => target),
        declared: declaredPackages(manifest),
        entryPoints: Object.keys(manifest.exports ?? {}).map((subpath) => name + subpath.slice(1)),
        tsconfig: existsSync(join(TOP, data.root, 'tsconfig.json'))
          ? readJson<TsConfig>(`${data.root}/tsconfig.json`)
          : null,
        files: readSources(data.root),
      };
    });
}

/** Tools that tests may import without declaring them: the top package's development dependencies. */
export function testTools(): string[] {
  return Object.keys(readJson<Manifest>('package.json').devDependencies ?? {});
}

export function isSpec(file: SourceFile): boolean {
  return file.path.endsWith('.spec.ts');
}

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(join(TOP, path), 'utf8')) as T;
}

function readGraph(): NxGraph {
  const folder = mkdtempSync(join(tmpdir(), 'house-rules-'));
  const file = join(folder, 'graph.json');
  execFileSync(join(TOP, 'node_modules/.bin/nx'), ['graph', `--file=${file}`], { cwd: TOP, stdio: 'pipe' });
  const graph = JSON.parse(readFileSync(file, 'utf8')) as NxGraph;
  rmSync(folder, { recursive: true });
  return graph;
}

function declaredPackages(manifest: Manifest): string[] {
  const { dependencies, devDependencies, optionalDependencies, peerDependencies } = manifest;
  return Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies, ...peerDependencies });
}

function readSources(root: string): SourceFile[] {
  const src = join(TOP, root, 'src');
  if (!existsSync(src)) return [];
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.[mc]?tsx?$/.test(path))
    .sort()
    .map((path) => ({ path: `src/${path}`, text: readFileSync(join(src, path), 'utf8') }));
}
