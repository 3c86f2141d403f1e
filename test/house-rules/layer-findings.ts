import type { Project } from './workspace.ts';

const BELOW_ROLES = ['base', 'domain', 'cluster'];
const BELOW_APPS = [...BELOW_ROLES, 'role', 'adapter'];

/**
 * Which layers a layer may import. A role knows no other role and no technology, an adapter owns one technology and knows no
 * other; an assembly puts adapters together for the apps; only the command line and tests start apps. A page is a bundle for
 * browsers: an app that serves it depends on its files and can import nothing of it.
 */
const MAY_IMPORT = new Map<string, readonly string[]>([
  ['base', ['base']],
  ['domain', ['base', 'domain']],
  ['cluster', BELOW_ROLES],
  ['role', BELOW_ROLES],
  ['adapter', BELOW_ROLES],
  ['assembly', BELOW_APPS],
  ['page', BELOW_APPS],
  ['app', [...BELOW_APPS, 'assembly', 'page']],
  ['cli', [...BELOW_APPS, 'assembly', 'app']],
  ['test', [...BELOW_APPS, 'assembly', 'app', 'cli', 'test']],
]);

const RUNTIMES = ['any', 'node', 'browser'];

/** Projects with sources that carry no known tag, and dependencies that their layer forbids. */
export function layerFindings(projects: readonly Project[]): string[] {
  const byName = new Map(projects.map((project) => [project.name, project]));
  return projects.flatMap((project) => {
    if (project.files.length === 0) return [];
    const { name, layer, runtime } = project;
    const may = layer === null ? undefined : MAY_IMPORT.get(layer);
    if (may === undefined)
      return [`${name} has no layer tag of ${[...MAY_IMPORT.keys()].join(', ')}, but ${layer}`];
    if (runtime === null || !RUNTIMES.includes(runtime))
      return [`${name} has no runtime tag of ${RUNTIMES.join(', ')}, but ${runtime}`];
    return project.dependsOn.flatMap((target) => {
      const targetLayer = byName.get(target)?.layer ?? null;
      return targetLayer !== null && may.includes(targetLayer)
        ? []
        : [`${name} (${layer}) imports ${target} (${targetLayer})`];
    });
  });
}

/** Ways, however long, from a project that runs anywhere to one that does not, and between Node and the browser. */
export function runtimeFindings(projects: readonly Project[]): string[] {
  const byName = new Map(projects.map((project) => [project.name, project]));
  const findings: string[] = [];
  for (const from of projects) {
    if (from.runtime === null) continue;
    const waiting: string[][] = [[from.name]];
    const seen = new Set([from.name]);
    for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
      const last = byName.get(path.at(-1) ?? '');
      if (last?.layer === 'page' && path.length > 1) continue; // files, which run elsewhere
      const runtime = last?.runtime ?? 'any';
      if (runtime !== 'any' && runtime !== from.runtime) {
        findings.push(`${path.join(' -> ')} leads from runtime ${from.runtime} to ${runtime}`);
        continue;
      }
      for (const target of last?.dependsOn ?? []) {
        if (!seen.has(target)) waiting.push([...path, target]);
        seen.add(target);
      }
    }
  }
  return findings;
}
