/**
 * Asks the monitor for everything that the link declares, with values of all kinds, on connections
 * that honest code has logged in. The number of the connection is the seed. Runs in: worker.
 */
import * as broker from '../../../src/broker/link.ts';
import * as link from '../../../src/monitor/link.ts';
import type { Call, Notice } from '../../../src/ssh/wire/call.ts';
import * as field from '../../../src/ssh/wire/field.ts';
import { attempt, type Captive, report, runHostileWorker } from './hostile-worker.ts';

type AnyCall = Call<field.AnyFields, field.AnyFields>;
type AnyNotice = Notice<field.AnyFields>;
const isObject = (one: unknown): one is object => typeof one === 'object' && one !== null;
const declared: readonly unknown[] = [...Object.values(link), ...Object.values(broker)];
const calls = declared.filter((one): one is AnyCall => isObject(one) && 'request' in one);
/** Those that a worker sends; the others are the monitor's. */
const notices: readonly AnyNotice[] = [link.SessionClose, link.Log] as never;
/** Those whose refusal does not end the connection at once: more of it is seen. */
const inSession = calls.filter(({ name }) =>
  /^(session|direct|tcpip|stream|agent|x11|prove)/.test(name),
);

class Dice {
  #state: number;
  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761) >>> 0 || 1;
  }
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

const numbers = [0, 1, 2, 3, 4, 22, 80, 5900, 0x7fff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff];
const texts = [
  ...['', 'shell', 'exec', 'subsystem', 'sftp', 'rfb', 'display', 'TERM', 'KILL', 'x', '127.0.0.1'],
  ...['/tmp/x', '../..', '/', 'rfb.sshdesk', 'none', 'ssh-ed25519', '%n%s', '\u0000', '\n', '🦀'],
  ...['0'.repeat(32), 'a'.repeat(4096), '*', '::1', 'localhost', 'true', 'exit 0', 'unix-desktop'],
];

function valueOf(kind: unknown, dice: Dice): unknown {
  switch (kind) {
    case field.byte:
      return dice.below(256);
    case field.bool:
      return dice.below(2) === 1;
    case field.uint32:
      return dice.of(numbers);
    case field.uint64:
      return BigInt(dice.of(numbers));
    case field.text:
      return dice.of(texts);
    case field.string:
      return dice.below(20) === 0 ? Buffer.alloc(60_000, 7) : Buffer.from(dice.of(texts));
    case field.nameList:
      return ['a'];
    default:
      return []; // a list
  }
}

function valuesOf(fields: field.AnyFields, connection: number, dice: Dice): object {
  const values = Object.entries(fields).map(([name, kind]) => [
    name,
    name === 'connection'
      ? connection
      : name === 'session'
        ? dice.below(3) + 1
        : valueOf(kind, dice),
  ]);
  return Object.fromEntries(values) as object;
}

async function ask({ peer, recorded }: Captive, connection: number): Promise<void> {
  const isLoggedIn = () =>
    recorded.some(
      ({ name, values }) => name === 'check-key' && values['connection'] === connection,
    );
  for (let waitedMs = 0; !isLoggedIn() && waitedMs < 8_000; waitedMs += 50) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  const dice = new Dice(connection);
  for (let session = 1; session <= 3; session++) {
    await attempt(peer, link.SessionOpen, { connection });
  }
  let answered = 0;
  let asked = 0;
  for (; asked < 60; asked++) {
    const call = dice.below(40) === 0 ? dice.of(calls) : dice.of(inSession);
    if (dice.below(25) === 0) {
      const notice = dice.of(notices);
      peer.notify(notice, valuesOf(notice.fields, connection, dice) as never);
    }
    const { outcome } = await attempt(
      peer,
      call,
      valuesOf(call.request, connection, dice) as never,
    );
    if (outcome === 'no such connection') {
      break;
    }
    answered += outcome === 'answered' ? 1 : 0;
  }
  report({ attack: 'random-values', connection, asked, answered });
}

runHostileWorker((captive, { connection }) => {
  void ask(captive, connection);
  return false;
});
