// Sets up TensorFlow for this package: `node setup.mjs` for the CPU, `node setup.mjs --gpu` for CUDA. Takes the libraries from
// PyPI's wheel, compiles the binding of @tensorflow/tfjs-node-gpu against them, and runs one operation. Everything is kept in
// `runtime/` beside this file, so that a second run, or one after `npm ci`, has little to do. Plain JavaScript on Node's own
// modules, because it also runs from an installed package.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const TENSORFLOW_VERSION = '2.20.0';
const PACKAGE = '@tensorflow/tfjs-node-gpu';
const HEADERS = 'node-api-headers';
/** The wheel's Python does not matter, only its libraries are used: any tag that TensorFlow publishes will do. */
const WHEEL_TAGS = ['--only-binary=:all:', '--python-version', '3.11', '--implementation', 'cp'].concat(
  ['manylinux_2_17_x86_64', 'manylinux2014_x86_64', 'manylinux_2_27_x86_64', 'manylinux_2_28_x86_64'].flatMap(
    (platform) => ['--platform', platform],
  ),
);
const DISK_BYTES = { cpu: 2e9, gpu: 12e9 };

const require = createRequire(import.meta.url);
const runtime = fileURLToPath(new URL('runtime', import.meta.url));
const packages = join(runtime, 'packages');
const binding = join(runtime, 'tfjs_binding.node');

await main();

async function main() {
  const flags = process.argv.slice(2);
  const unknown = flags.find((flag) => flag !== '--gpu');
  if (unknown !== undefined) {
    process.stderr.write(`error USAGE: ${unknown} was given; expected --gpu or nothing; leave it out\n`);
    process.exit(2);
  }
  if (process.platform !== 'linux' || process.arch !== 'x64')
    fail(
      `this is ${process.platform} on ${process.arch}; expected linux on x64, for which there are wheels; use the native kernels here`,
    );
  const addon = findPackage();
  await installLibraries(flags.includes('--gpu') ? 'gpu' : 'cpu');
  await compileBinding(addon);
  placeBinding(addon);
  await verify();
}

/** Folder and version of the npm package whose binding is compiled. */
function findPackage() {
  let file;
  try {
    file = require.resolve(`${PACKAGE}/package.json`);
  } catch {
    fail(
      `${PACKAGE} is not installed; expected it beside this package; run: npm install --ignore-scripts ${PACKAGE}@4.22.0`,
    );
  }
  return { folder: realpathSync(dirname(file)), version: JSON.parse(readFileSync(file, 'utf8')).version };
}

/** TensorFlow's libraries and headers into `runtime/packages`; with CUDA's libraries beside them for a GPU. */
async function installLibraries(kind) {
  const stamp = join(packages, 'stamp.json');
  const wanted = JSON.stringify({ tensorflow: TENSORFLOW_VERSION, kind });
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted)
    return progress(`TensorFlow ${TENSORFLOW_VERSION} (${kind}) is here`);
  rmSync(runtime, { recursive: true, force: true });
  mkdirSync(runtime, { recursive: true });
  const { bavail, bsize } = statfsSync(runtime);
  if (bavail * bsize < DISK_BYTES[kind])
    fail(
      `${gigabytes(bavail * bsize)} are free at ${runtime}; expected ${gigabytes(DISK_BYTES[kind])} for TensorFlow; make room there`,
    );
  const pip = await findPip();
  const arriving = `${packages}.arriving`;
  progress(`fetching TensorFlow ${TENSORFLOW_VERSION} (${kind === 'gpu' ? '620' : '260'} MB)`);
  await install(pip, arriving, [
    `${kind === 'gpu' ? 'tensorflow' : 'tensorflow-cpu'}==${TENSORFLOW_VERSION}`,
  ]);
  if (kind === 'gpu') {
    progress("fetching CUDA's libraries (3 GB)");
    await install(pip, arriving, cudaRequirements(arriving));
  }
  writeFileSync(join(arriving, 'stamp.json'), wanted);
  renameSync(arriving, packages);
}

async function findPip() {
  for (const command of [['python3', '-m', 'pip'], ['pip3'], ['pip'], ['python', '-m', 'pip']])
    if ((await run([...command, '--version'])).status === 0) return command;
  return fail(
    'pip was not found; expected python3 with pip on the path; install them (Debian: apt-get install python3-pip) and run this again',
  );
}

async function install(pip, target, requirements) {
  const { status, output } = await run([
    ...[...pip, 'install', '--quiet', '--no-deps', '--no-compile', '--ignore-requires-python'],
    '--disable-pip-version-check',
    ...[...WHEEL_TAGS, '--target', target, ...requirements],
  ]);
  if (status !== 0)
    fail(
      `pip could not install ${requirements[0]}; expected a package index that has it and room in the temporary folder; read pip's output above, and set PIP_INDEX_URL or TMPDIR where it asks for that`,
      output,
    );
}

/** What the extra `and-cuda` of the installed wheel asks for. */
function cudaRequirements(folder) {
  const info = readdirSync(folder).find((name) => /^tensorflow-.*\.dist-info$/.test(name));
  const metadata = readFileSync(join(folder, info, 'METADATA'), 'utf8');
  return [...metadata.matchAll(/^Requires-Dist: (\S+); extra == "and-cuda"/gm)].map((match) => match[1]);
}

/** The binding uses TensorFlow's C interface only, which the wheel exports: two files, and one result for all versions of Node. */
async function compileBinding({ folder, version }) {
  const stamp = `${binding}.json`;
  const wanted = JSON.stringify({
    binding: version,
    tensorflow: readFileSync(join(packages, 'stamp.json'), 'utf8'),
  });
  if (existsSync(binding) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted)
    return progress('the binding is compiled');
  progress('compiling the binding');
  const compiler = await findCompiler();
  const tensorflow = join(packages, 'tensorflow');
  const { status, output } = await run([
    ...[compiler, '-O2', '-fPIC', '-shared', '-std=c++17', '-DNAPI_VERSION=8', '-I', nodeHeaders()],
    ...['-I', join(tensorflow, 'include'), '-I', join(folder, 'binding'), '-I', folder],
    ...[join(folder, 'binding/tfjs_backend.cc'), join(folder, 'binding/tfjs_binding.cc'), '-o', binding],
    ...['-L', tensorflow, '-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2'],
    '-Wl,-rpath,$ORIGIN/packages/tensorflow',
  ]);
  if (status !== 0)
    fail(
      `${compiler} could not compile the binding; expected a compiler for C++17; read its output above, and name another one in CXX`,
      output,
    );
  writeFileSync(stamp, wanted);
}

async function findCompiler() {
  for (const compiler of [process.env.CXX, 'g++', 'c++', 'clang++'])
    if (compiler && (await run([compiler, '--version'])).status === 0) return compiler;
  return fail(
    'no C++ compiler was found; expected g++ or clang++ on the path; install one (Debian: apt-get install g++) and run this again',
  );
}

/** Beside Node where its archive was unpacked, else from an npm package that another lib may have brought. */
function nodeHeaders() {
  const beside = join(dirname(dirname(realpathSync(process.execPath))), 'include/node');
  if (existsSync(join(beside, 'node_api.h'))) return beside;
  try {
    return join(dirname(require.resolve(`${HEADERS}/package.json`)), 'include');
  } catch {
    return fail(
      `Node's headers were not found; expected node_api.h in ${beside}; install them: npm install --ignore-scripts ${HEADERS}@1.9.0`,
    );
  }
}

/** A link where the package looks for its binding; it is relative, so that the whole tree can be moved. */
function placeBinding({ folder }) {
  const place = join(folder, 'lib/napi-v8/tfjs_binding.node');
  mkdirSync(dirname(place), { recursive: true });
  rmSync(place, { force: true });
  symlinkSync(relative(dirname(place), binding), place);
}

async function verify() {
  const { status, output } = await run([
    process.execPath,
    fileURLToPath(new URL('verify.cjs', import.meta.url)),
  ]);
  if (status !== 0)
    fail(
      'TensorFlow was set up but does not run; expected 2 x 3 to be 6; read its output above; remove the folder runtime and run this again',
      output,
    );
  progress(`${output.match(/^TensorFlow .*$/m)?.[0]}: ready`);
}

/** Status and everything that a command printed; 127 where it is not there. */
function run([command, ...args]) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    child.on('error', (error) => resolve({ status: 127, output: error.message }));
    child.on('close', (status) => resolve({ status, output }));
  });
}

function gigabytes(bytes) {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

function progress(line) {
  process.stderr.write(`tensorflow: ${line}\n`);
}

function fail(message, output = '') {
  if (output !== '') process.stderr.write(`${output.trimEnd()}\n`);
  process.stderr.write(`error SETUP_FAILED: ${message}\n`);
  process.exit(1);
}
