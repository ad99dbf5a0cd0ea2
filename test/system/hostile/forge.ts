/** Offers the victim's key with a signature of its own making. Runs in: worker. */
import { randomBytes } from 'node:crypto';
import * as link from '../../../src/monitor/link.ts';
import { Writer } from '../../../src/ssh/wire/writer.ts';
import {
  attempt,
  type Captive,
  type NewConnection,
  report,
  runHostileWorker,
} from './hostile-worker.ts';

/** An exchange without a peer: the monitor cannot know that nobody is there. */
function freshExchange(captive: Captive, { connection, cookie }: NewConnection) {
  const old = captive.recorded.find(({ name }) => name === 'sign-exchange')?.values as {
    serverKexInit: Buffer;
  };
  const serverKexInit = Buffer.from(old.serverKexInit);
  cookie.copy(serverKexInit, 1);
  return { ...old, connection, serverKexInit, clientValue: randomBytes(32) };
}

async function forge(captive: Captive, fresh: NewConnection): Promise<void> {
  const { peer, recorded } = captive;
  const { connection } = fresh;
  const signed = await attempt(peer, link.SignExchange, freshExchange(captive, fresh) as never);
  const begun = recorded.find(({ name }) => name === 'userauth-begin')?.values;
  await attempt(peer, link.UserauthBegin, { ...begun, connection } as never);
  const known = recorded.find(({ name }) => name === 'check-key')?.values;
  const signature = new Writer().text('ssh-ed25519').string(randomBytes(64)).done();
  const checked = await attempt(peer, link.CheckKey, { ...known, connection, signature } as never);
  const opened = await attempt(peer, link.SessionOpen, { connection });
  const verdict = (checked.reply as { is: number } | undefined)?.is;
  report({ attack: 'forge', signed: signed.outcome, verdict, opened: opened.outcome });
}

runHostileWorker((captive, fresh, ordinal) => {
  if (ordinal === 1) {
    return false;
  }
  void forge(captive, fresh);
  return true;
});
