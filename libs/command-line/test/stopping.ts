// A program that says when it is ready and stops as its argument says: at once, never, or with a failure.
import { OperatingError } from '@ultramem/invariant';
import { endWithParent, onStopSignal, tellParent } from '../src/program-channel.ts';

const how = process.argv[2];
endWithParent();
onStopSignal(async (signal) => {
  tellParent({ kind: 'stopping', signal });
  if (how === 'never') await new Promise(() => {});
  if (how === 'failing') throw new OperatingError('DISK_FULL', 'no space; expected some; make some');
});
setInterval(() => {}, 1_000);
tellParent({ kind: 'ready' });
