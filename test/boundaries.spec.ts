import { beforeAll, describe, expect, it } from 'vitest';
import { externalFindings, importFindings } from './house-rules/import-findings.ts';
import { importsOf } from './house-rules/imports-of.ts';
import { indexFindings } from './house-rules/index-findings.ts';
import { layerFindings, runtimeFindings } from './house-rules/layer-findings.ts';
import { plantedProject } from './house-rules/planted.ts';
import { type Project, readWorkspace, testTools } from './house-rules/workspace.ts';

describe('the workspace', () => {
  let projects: Project[];

  beforeAll(() => {
    projects = readWorkspace();
  }, 60_000);

  it('is seen whole', () => {
    expect(projects.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['@ultramem/invariant', '@ultramem/planner', '@ultramem/worker', 'ultramem']),
    );
    const planner = projects.find(({ name }) => name === '@ultramem/planner');
    expect(planner).toMatchObject({ root: 'libs/planner', layer: 'domain', runtime: 'any' });
    expect(planner?.dependsOn).toContain('@ultramem/ultramem');
    expect(planner?.declared).toContain('@ultramem/invariant');
    expect(planner?.files.map(({ path }) => path)).toContain('src/plan.ts');
  });

  it('keeps its layers', () => {
    expect(layerFindings(projects)).toEqual([]);
  });

  it('keeps what runs anywhere apart from what does not', () => {
    expect(runtimeFindings(projects)).toEqual([]);
  });

  it('imports only what it declares, through public doors', () => {
    expect(importFindings(projects, testTools())).toEqual([]);
  });

  it('has each outside package behind one lib', () => {
    expect(externalFindings(projects, testTools())).toEqual([]);
    for (const name of ['ws', 'msgpackr', '@huggingface/tokenizers', '@noble/hashes'])
      expect(
        projects.filter(({ declared }) => declared.includes(name)).map((project) => project.name),
      ).toHaveLength(1);
  });

  it('has short doors with names', () => {
    expect(indexFindings(projects)).toEqual([]);
  });
});

describe('a planted violation of the layers is found:', () => {
  const layers = ['base', 'domain', 'cluster', 'role', 'adapter', 'page', 'app', 'cli', 'test'];
  const allowed = new Map([
    ['base', 'base'],
    ['domain', 'base domain'],
    ['cluster', 'base domain cluster'],
    ['role', 'base domain cluster'],
    ['adapter', 'base domain cluster'],
    ['page', 'base domain cluster role adapter'],
    ['app', 'base domain cluster role adapter page'],
    ['cli', 'base domain cluster role adapter app'],
    ['test', 'base domain cluster role adapter app cli test'],
  ]);

  it.each(layers.flatMap((from) => layers.map((to) => [from, to] as const)))('%s to %s', (from, to) => {
    const projects = [
      plantedProject({ name: 'a', layer: from, dependsOn: ['b'] }),
      plantedProject({ name: 'b', layer: to }),
    ];
    const expected = allowed.get(from)?.split(' ').includes(to) ? [] : [`a (${from}) imports b (${to})`];
    expect(layerFindings(projects)).toEqual(expected);
  });

  it('missing and unknown tags', () => {
    const text = plantedProject({ name: 'a' }).files;
    expect(layerFindings([plantedProject({ name: 'a', layer: null })])).toEqual([
      expect.stringContaining('a has no layer tag'),
    ]);
    expect(layerFindings([plantedProject({ name: 'a', layer: 'shared' })])).toEqual([
      expect.stringContaining('but shared'),
    ]);
    expect(layerFindings([plantedProject({ name: 'a', runtime: null, files: text })])).toEqual([
      expect.stringContaining('a has no runtime tag'),
    ]);
    expect(
      layerFindings([plantedProject({ name: 'settings', layer: null, runtime: null, files: [] })]),
    ).toEqual([]);
  });

  it('a dependency without a layer', () => {
    const projects = [
      plantedProject({ name: 'a', dependsOn: ['b'] }),
      plantedProject({ name: 'b', layer: null, files: [] }),
    ];
    expect(layerFindings(projects)).toEqual(['a (domain) imports b (null)']);
  });

  it('the long way from any to node', () => {
    const projects = [
      plantedProject({ name: 'a', dependsOn: ['b'] }),
      plantedProject({ name: 'b', dependsOn: ['c', 'a'] }),
      plantedProject({ name: 'c', runtime: 'node', dependsOn: ['d'] }),
      plantedProject({ name: 'd', runtime: 'any' }),
    ];
    expect(runtimeFindings(projects)).toEqual([
      'a -> b -> c leads from runtime any to node',
      'b -> c leads from runtime any to node',
    ]);
  });

  it('node to browser', () => {
    const projects = [
      plantedProject({ name: 'a', runtime: 'node', dependsOn: ['b'] }),
      plantedProject({ name: 'b', runtime: 'browser' }),
    ];
    expect(runtimeFindings(projects)).toEqual(['a -> b leads from runtime node to browser']);
  });

  it('but not to a page, whose files an app serves', () => {
    const page = plantedProject({ name: 'page', layer: 'page', runtime: 'browser', dependsOn: ['b'] });
    const projects = [
      plantedProject({ name: 'a', layer: 'app', runtime: 'node', dependsOn: ['page'] }),
      plantedProject({ name: 'b', runtime: 'node' }),
      page,
    ];
    expect(runtimeFindings(projects)).toEqual(['page -> b leads from runtime browser to node']);
  });
});

describe('a planted violation of the imports is found:', () => {
  function findings(path: string, text: string, declared: string[] = []): string[] {
    const projects = [
      plantedProject({ name: '@ultramem/a', declared, files: [{ path, text }] }),
      plantedProject({ name: '@ultramem/b', entryPoints: ['@ultramem/b', '@ultramem/b/door'] }),
    ];
    return importFindings(projects, ['vitest']);
  }

  it.each([
    ["import { b } from '@ultramem/b';", '@ultramem/b, which its package.json does not declare'],
    ["import type { b } from '@ultramem/b';", '@ultramem/b, which its package.json does not declare'],
    ["export { pack } from 'msgpackr';", 'msgpackr, which its package.json does not declare'],
    ["const ws = await import('ws');", 'ws, which its package.json does not declare'],
    ["import 'fs';", 'fs, which its package.json does not declare'],
    ["import { it } from 'vitest';", 'vitest, which its package.json does not declare'],
    ["import { x } from '../../b/src/x.ts';", '../../b/src/x.ts, which lies outside its project'],
    ["import { x } from '@ultramem/b/src/x.ts';", '@ultramem/b/src/x.ts, which @ultramem/b does not export'],
  ])('%s', (text, expected) => {
    expect(findings('src/x.ts', text)).toEqual([`libs/a/src/x.ts imports ${expected}`]);
  });

  it('but not what is allowed', () => {
    expect(
      findings('src/x.ts', "import { b } from '@ultramem/b';\nimport '@ultramem/b/door';", ['@ultramem/b']),
    ).toEqual([]);
    expect(findings('src/x.spec.ts', "import { it } from 'vitest';\nimport { x } from './x.ts';")).toEqual(
      [],
    );
    expect(
      findings('src/x.ts', "import { join } from 'node:path';\n// from 'ws'\nconst says = `from 'ws'`;"),
    ).toEqual(['libs/a/src/x.ts imports ws, which its package.json does not declare']);
  });

  it('an outside package behind two libs', () => {
    const text = "import { sha256 } from '@noble/hashes/sha2.js';\nimport { Command } from 'commander';";
    const [a, b] = ['a', 'b'].map((name) => plantedProject({ name, files: [{ path: 'src/x.ts', text }] }));
    if (a === undefined || b === undefined) throw new Error('two projects');
    expect(externalFindings([a, b], [])).toEqual(['@noble/hashes is imported by a and b']);
    expect(externalFindings([a], [])).toEqual([]);
    expect(externalFindings([a, { ...b, layer: 'test' }], [])).toEqual([]);
  });

  it('reads imports over several lines, and takes nothing else for one', () => {
    expect(importsOf("Buffer.from('abc'); fromText('b'); from(x, 'c');")).toEqual([]);
    expect(importsOf('import {\n  a,\n  type b,\n} from \'./a.ts\';\nexport { c } from "./c.ts";')).toEqual([
      './a.ts',
      './c.ts',
    ]);
  });
});

describe('a planted violation of the doors is found:', () => {
  it.each([
    ["export * from './x.ts';", 'has export *, names are to be written out'],
    ["export { x } from './x.ts';\nexport const y = 1;", 'does more than to export names from other files'],
    ["import { x } from './x.ts';\nx();", 'does more than to export names from other files'],
    ["export { x } from './x.ts';\n".repeat(41), 'has 41 lines, 40 are allowed'],
  ])('%#', (text, expected) => {
    const project = plantedProject({ name: 'a', files: [{ path: 'src/index.ts', text }] });
    expect(indexFindings([project])).toEqual([`libs/a/src/index.ts ${expected}`]);
  });

  it('but not forty lines of names', () => {
    const text = `/** Why. */\nexport {\n  type A,\n  a,\n} from './a.ts';\n${"export type { x } from './x.ts';\n".repeat(35)}`;
    expect(indexFindings([plantedProject({ name: 'a', files: [{ path: 'src/index.ts', text }] })])).toEqual(
      [],
    );
  });
});
