// Coordinator and worker as their parent sees them. The first two arguments say what each does; the rest are the program's own, which
// it tells as a `plan`; its process id it tells as `progress`. Plain JavaScript, so that it starts in any Node without a build.
const [, , coordinator, worker, ...args] = process.argv;
const isCoordinator = args[0] === 'coordinator';
const how = isCoordinator ? coordinator : worker;
process.once('disconnect', () => process.exit(0));
setInterval(() => {}, 1_000);
process.send({ kind: 'progress', loadedBytes: process.pid });
process.send({ kind: 'plan', text: args.join(' ') });
if (isCoordinator && how !== 'fail') process.send({ kind: 'listening', url: 'ws://there:1' });
if (how.endsWith('fail')) {
  process.stderr.write('error PLAN_IMPOSSIBLE: no; expected yes; go\n');
  process.exitCode = 1;
  process.disconnect();
}
if (how === 'serve') process.send({ kind: 'ready' });
