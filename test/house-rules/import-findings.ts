import { posix } from 'node:path';
import { importsOf, packageOf } from './imports-of.ts';
import { isSpec, type Project } from './workspace.ts';

/** Packages that more than one project may import, and why. */
const SHARED_PACKAGES = new Map([['commander', 'every program declares its own flags']]);

/** Imports of packages that are not declared, of a workspace project's inside, and of files outside the own project. */
export function importFindings(projects: readonly Project[], testTools: readonly string[]): string[] {
  const byName = new Map(projects.map((project) => [project.name, project]));
  return eachImport(projects).flatMap(({ project, file, specifier }) => {
    const where = `${project.root}/${file.path} imports ${specifier}`;
    if (specifier.startsWith('node:')) return [];
    if (specifier.startsWith('.')) {
      const target = posix.join(project.root, posix.dirname(file.path), specifier);
      return target.startsWith(`${project.root}/`) ? [] : [`${where}, which lies outside its project`];
    }
    const name = packageOf(specifier);
    const target = byName.get(name);
    if (target !== undefined && !target.entryPoints.includes(specifier))
      return [`${where}, which ${name} does not export`];
    if (project.declared.includes(name) || name === project.name) return [];
    if (isSpec(file) && testTools.includes(name)) return [];
    return [`${where}, which its package.json does not declare`];
  });
}

/** Packages from outside that more than one project imports: each belongs behind the door of one lib. Libs for tests are exempt. */
export function externalFindings(projects: readonly Project[], testTools: readonly string[]): string[] {
  const workspace = new Set(projects.map((project) => project.name));
  const importers = new Map<string, Set<string>>();
  for (const { project, file, specifier } of eachImport(projects)) {
    const name = packageOf(specifier);
    const own = specifier.startsWith('.') || specifier.startsWith('node:') || workspace.has(name);
    if (own || project.layer === 'test' || SHARED_PACKAGES.has(name)) continue;
    if (isSpec(file) && testTools.includes(name)) continue;
    importers.set(name, (importers.get(name) ?? new Set()).add(project.name));
  }
  return [...importers].flatMap(([name, by]) =>
    by.size > 1 ? [`${name} is imported by ${[...by].sort().join(' and ')}`] : [],
  );
}

function eachImport(projects: readonly Project[]) {
  return projects.flatMap((project) =>
    project.files.flatMap((file) => importsOf(file.text).map((specifier) => ({ project, file, specifier }))),
  );
}
