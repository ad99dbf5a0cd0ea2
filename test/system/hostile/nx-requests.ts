/**
 * Connections of the account `nx`: each asks for one row of the monitor's table, in the dialogue or
 * behind a login of alice's, by turns. Runs in: worker.
 */
import * as broker from '../../../src/broker/link.ts';
import * as link from '../../../src/monitor/link.ts';
import type { Call } from '../../../src/ssh/wire/call.ts';
import type { AnyFields } from '../../../src/ssh/wire/field.ts';
import { attempt, type Captive, report, runHostileWorker } from './hostile-worker.ts';
import { requests } from './requests.ts';

const ofDesktops: readonly string[] = [
  broker.DesktopList,
  broker.DesktopStart,
  broker.DesktopFind,
  broker.DesktopAttach,
  broker.DesktopReauthenticate,
  broker.DesktopSuspend,
  broker.DesktopTerminate,
].map(({ name }) => name);

const instead: Readonly<Record<string, object>> = {
  'desktop-find': { create: 0 },
  'desktop-start': { engine: 'none' },
};

function login(connection: number, password: string) {
  return { connection, user: Buffer.from('alice'), password: Buffer.from(password) };
}

async function ask({ peer }: Captive, connection: number, ordinal: number): Promise<void> {
  const isBehind = ordinal % 2 === 0;
  const [request, values] = requests[
    Math.floor((ordinal - 1) / 2) % requests.length
  ] as (typeof requests)[number];
  const { name } = request;
  let session = 0;
  if (isBehind) {
    const { reply } = await attempt(peer, link.NxLogin, login(connection, 'oldpw-Xy7'));
    session = reply?.session ?? 0;
  }
  // No desktop is started for it: that they are asked for at all is what is looked at.
  const isOfDesktops = ofDesktops.includes(name);
  const more = isOfDesktops ? { session, ...instead[name] } : {};
  const call = request as Call<AnyFields, AnyFields>;
  const first = await attempt(peer, call, { ...values, connection, ...more } as never);
  const probe = await attempt(peer, link.SessionOpen, { connection });
  report({
    nx: name,
    isBehind,
    session,
    isOfDesktops,
    outcome: first.outcome,
    accepted: first.reply?.['accepted'],
    isOver: probe.outcome === 'no such connection',
    probe: probe.outcome,
  });
}

report({ requests: requests.length });
let keys = 0;
runHostileWorker((captive) => {
  captive.onAnswer = (name, _descriptors, connection) => {
    if (name === link.CheckKey.name) {
      void ask(captive, connection as number, ++keys);
    }
  };
  return false;
});
