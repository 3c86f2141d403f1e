// A program of this project as its parent sees it: does what its first argument says, in the order of the letters.
// Plain JavaScript, so that it starts in any Node without a build.
const [, , script, ...rest] = process.argv;
const steps = {
  url: () => process.send({ kind: 'listening', url: 'ws://there:1' }),
  ready: () => process.send({ kind: 'ready', shard: 3 }),
  args: () => process.send({ kind: 'plan', text: JSON.stringify(rest) }),
  log: () => process.stderr.write('2026-01-01T00:00:00.000Z listening url=x\n'),
  warn: () => process.stderr.write('error FIRST_THOUGHT: a; b; c\n'),
  error: () =>
    process.stderr.write('error CHECKPOINT_NOT_FOUND: no model; expected one; give it\nat some place\n'),
  stubborn: () => process.on('SIGTERM', () => {}),
  live: () => setInterval(() => {}, 1_000),
  end: () => process.disconnect(),
  fail: () => process.exit(1),
  crash: () => process.kill(process.pid, 'SIGKILL'),
  orphan: () => process.once('disconnect', () => process.exit(0)),
};
for (const step of script.split(',')) steps[step]();
