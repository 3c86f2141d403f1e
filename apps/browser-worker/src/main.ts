import { OperatingError } from '@ultramem/invariant';
import { type Session, startSession } from './session.ts';
import { fieldsOf, settingsOf } from './settings.ts';
import { createView } from './view.ts';

/** How often counters on the page are brought up to date. */
const SHOW_EVERY_MS = 500;

const view = createView(document);
let session: Session | null = null;

view.fillIn(fieldsOf(location.href));
// The token shall stand in no history and on no screen.
if (location.hash !== '') history.replaceState(null, '', location.pathname + location.search);

view.onJoin(() => {
  if (session !== null) return;
  try {
    join(startSession(settingsOf(view.fields()), show));
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    view.showError(`${error.code}: ${error.message}`);
  }
});
view.onLeave(() => void session?.leave('asked to'));
// Who closes the tab leaves: the cluster need not find out by silence.
addEventListener('pagehide', () => void session?.leave('the page was closed'));

function join(started: Session): void {
  session = started;
  view.setBusy(true);
  show();
  const timer = setInterval(show, SHOW_EVERY_MS);
  void started.ended.then(() => {
    clearInterval(timer);
    show();
    session = null;
    view.setBusy(false);
  });
}

function show(): void {
  if (session !== null) view.show(session.facts());
}
