import type { Project } from './workspace.ts';

/** A made-up project to plant violations in: a pure domain lib without a fault. */
export function plantedProject(changes: Partial<Project> & { name: string }): Project {
  return {
    root: `libs/${changes.name.replace(/^@ultramem\//, '')}`,
    layer: 'domain',
    runtime: 'any',
    dependsOn: [],
    declared: [],
    entryPoints: [changes.name],
    tsconfig: { extends: '@ultramem/tsconfig/pure.json' },
    files: [{ path: 'src/index.ts', text: "export { x } from './x.ts';\n" }],
    ...changes,
  };
}
