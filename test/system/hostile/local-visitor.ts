/**
 * A user of the machine who speaks to the daemon's local socket himself, by his own rules. Says what
 * came of it as JSON. Runs in: test, as an ordinary user.
 */
import { closeSync, openSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { SeqpacketLink } from '../../../src/base/link.native.ts';
import {
  Acceptor,
  closeDescriptor,
  connectSeqpacket,
  duplicate,
  listenSeqpacket,
} from '../../../src/base/socket.native.ts';
import {
  DesktopAttach,
  DesktopDetach,
  DesktopFind,
  DesktopList,
  DesktopTerminate,
} from '../../../src/broker/link.ts';
import { DesktopHello, DesktopHelloLocal, DesktopKeep } from '../../../src/broker/remote.ts';
import { peerOn } from '../../../src/process/peer-on.ts';
import { CallFailure, type Peer } from '../../../src/ssh/wire/peer.ts';
import { Log } from '../../../src/audit/log.ts';
import { userInfo } from 'node:os';

const path = '/run/sshdesk/local.sock';
const log = new Log({ write: () => {} }, 'QUIET');
const from = { connection: 1, session: 1 };
const open = (): Peer => peerOn(connectSeqpacket(path), log);
const hello = (peer: Peer, user: string) =>
  peer.call(DesktopHelloLocal, { user, from: '192.0.2.1\nroot' });

/** The refusal in words; `ended` where the link ended with it. */
async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'allowed';
  } catch (error) {
    return error instanceof CallFailure ? error.text : 'ended';
  }
}

async function pretend(other: string, id: string): Promise<object> {
  const { username } = userInfo();
  const told = {
    asBob: await refusal(hello(open(), other)),
    asRoot: await refusal(hello(open(), 'root')),
    asNobody: await refusal(hello(open(), 'no\u0001body')),
    withoutHello: await refusal(open().call(DesktopList, from)),
  };
  const peer = open();
  await hello(peer, username);
  const twice = await refusal(hello(peer, other));
  const { values } = await peer.call(DesktopList, from);
  return {
    ...told,
    twice,
    foundByName: await refusal(peer.call(DesktopFind, { ...from, which: 'his', create: 0 })),
    attached: await refusal(
      peer.call(DesktopAttach, { ...from, id, protocol: 'rfb', parameters: [] }),
    ),
    kept: await refusal(peer.call(DesktopKeep, { id })),
    terminated: await refusal(peer.call(DesktopTerminate, { ...from, id })),
    listed: values.desktops.length,
    // What monitors say to one another means nothing here.
    asMonitor: await refusal(peer.call(DesktopHello, { user: other, uid: 0 })),
  };
}

/** 64 links, each with one kind of nonsense, until the other end has had enough. */
async function garbage(): Promise<object> {
  const { username } = userInfo();
  let ended = 0;
  for (let round = 0; round < 64; round++) {
    const link = new SeqpacketLink(connectSeqpacket(path));
    const over = new Promise<void>((resolve) => {
      link.onEnd = () => resolve();
    });
    link.onFrame = (_frame, descriptors) => descriptors.forEach(closeDescriptor);
    if (round % 4 === 0) {
      const peer = peerOn(connectSeqpacket(path), log);
      await hello(peer, username);
      for (let count = 0; count < 1_000; count++) {
        peer.notify(DesktopDetach, { connection: count, viewer: count });
      }
      peer.close();
    }
    const file = openSync('/dev/null', 'r');
    link.send(
      Buffer.concat([
        Buffer.from([[89, 87, 0, 255][round % 4] ?? 0, 0, 0, 0, 1]),
        randomBytes(round * 16),
      ]),
      Array.from({ length: round % 16 }, () => duplicate(file)),
    );
    closeSync(file);
    await over;
    ended++;
  }
  return { ended };
}

async function flood(count: number): Promise<object> {
  const { username } = userInfo();
  const said = await Promise.all(
    Array.from({ length: count }, async () => refusal(hello(open(), username))),
  );
  const admitted = said.filter((text) => text === 'allowed').length;
  return { admitted, turnedAway: said.filter((text) => text === 'ended').length };
}

/**
 * The kernel's word is about whoever connected, which is over by now: a shell's child, waited for
 * before this program took the shell's place.
 */
async function inherited(descriptor: number): Promise<object> {
  return { said: await refusal(hello(peerOn(descriptor, log), userInfo().username)) };
}

/** Below so many processes of its own. */
async function below(): Promise<object> {
  return { said: await refusal(hello(open(), userInfo().username)) };
}

/** Listens in the daemon's place and says what it hears. */
function impersonate(place: string): void {
  const acceptor = new Acceptor(listenSeqpacket(place), ({ descriptor }) => {
    const link = new SeqpacketLink(descriptor);
    link.onFrame = (frame) => process.stdout.write(`frame ${frame.toString('hex')}\n`);
  });
  acceptor.onTrouble = (error) => process.stderr.write(`${error.message}\n`);
  process.stdout.write('listening\n');
}

const [what = '', ...words] = process.argv.slice(2);
if (what === 'impersonate') {
  impersonate(words[0] ?? '');
} else if (what === 'flood') {
  process.stdout.write(`${JSON.stringify(await flood(Number(words[0])))}\n`);
  setInterval(() => {}, 1_000);
} else {
  const [other = '', id = ''] = words;
  const attacks: Record<string, () => Promise<object>> = {
    pretend: () => pretend(other, id),
    garbage,
    inherited: () => inherited(Number(other)),
    below,
  };
  const told = (await attacks[what]?.()) ?? {};
  process.stdout.write(`${JSON.stringify(told)}\n`, () => process.exit(0));
}
