const WANTED = ['LICENSE', 'README.md', 'package.json'];
const UNWANTED = /^(src|test|fixtures)\/|\.spec\.|\.tsbuildinfo$|(^|\/)node_modules\//;

/** What a tarball lacks, and what it has too much of: one line for each. */
export function tarballFindings({ manifest, files }) {
  const missing = [...WANTED, ...entryPoints(manifest)].filter((path) => !files.includes(path));
  const unwanted = files.filter((path) => UNWANTED.test(path));
  const names = [
    ...missing.map((path) => `lacks ${path}`),
    ...unwanted.map((path) => `has ${path}`),
    ...Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })
      .filter((name) => name === '@ultramem/tsconfig')
      .map((name) => `depends on ${name}, which is private`),
  ];
  return names.map((what) => `${manifest.name} ${what}`);
}

/** Files that the manifest promises; the sources of the condition for this repository are none. */
function entryPoints({ exports = {}, bin = {} }) {
  const targets = Object.values(exports).flatMap((target) => {
    if (typeof target === 'string') return [target];
    return Object.entries(target).flatMap(([condition, path]) =>
      condition === '@ultramem/source' ? [] : [path],
    );
  });
  return [...targets, ...Object.values(bin)].map((path) => path.replace(/^\.\//, ''));
}
