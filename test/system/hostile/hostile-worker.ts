/**
 * A worker that was taken over: put together and confined like the real one, but every call it makes
 * to the monitor is recorded, and then it does what it likes. It reports on stderr, one JSON line
 * each. Runs in: worker, under the real monitor and zygote.
 */
import { writeSync } from 'node:fs';
import { SeqpacketLink } from '../../../src/base/link.native.ts';
import { closeDescriptor } from '../../../src/base/socket.native.ts';
import * as link from '../../../src/monitor/link.ts';
import { confine } from '../../../src/process/worker-confinement.ts';
import { WorkerConnections } from '../../../src/process/worker-connections.ts';
import type { Call, Notice } from '../../../src/ssh/wire/call.ts';
import type { AnyFields, Values } from '../../../src/ssh/wire/field.ts';
import { checkEngineShape } from '../../../src/ssh/transport/ssh2-shape.ts';
import { type Answer, CallFailure, type CallOptions, Peer } from '../../../src/ssh/wire/peer.ts';

const linkDescriptor = 3;

export interface Recorded {
  readonly name: string;
  readonly values: Readonly<Record<string, unknown>>;
}

export interface Captive {
  readonly peer: Peer;
  /** Every call of the honest code so far, oldest first. */
  readonly recorded: readonly Recorded[];
  /** What the honest code is answered, before it sees it. */
  onAnswer: (name: string, descriptors: readonly number[], connection: unknown) => void;
  /** What the honest code says of its own accord. */
  onNotify: (name: string) => void;
}

export type NewConnection = Values<(typeof link.Connection)['fields']>;

export function report(what: object): void {
  writeSync(2, `${JSON.stringify(what)}\n`);
}

/** `answered`, or the text of the refusal. */
export async function attempt<Q extends AnyFields, R extends AnyFields>(
  peer: Peer,
  request: Call<Q, R>,
  values: Values<Q>,
  descriptors: readonly number[] = [],
): Promise<{
  readonly outcome: string;
  readonly reply?: Values<R>;
  readonly descriptors: readonly number[];
}> {
  try {
    const answer = await peer.call(request, values, descriptors, { timeoutMs: 5000 });
    return { outcome: 'answered', reply: answer.values, descriptors: answer.descriptors };
  } catch (error) {
    return { outcome: error instanceof CallFailure ? error.text : String(error), descriptors: [] };
  }
}

class RecordingPeer extends Peer {
  readonly recorded: Recorded[] = [];
  onAnswer: Captive['onAnswer'] = () => {};
  onNotify: Captive['onNotify'] = () => {};

  override call<Q extends AnyFields, R extends AnyFields>(
    to: Call<Q, R>,
    values: Values<Q>,
    descriptors?: readonly number[],
    options?: CallOptions,
  ): Promise<Answer<R>> {
    // Buffers are views into what comes and goes; a copy lasts.
    const kept = Object.fromEntries(
      Object.entries(values).map(([name, value]) => [
        name,
        Buffer.isBuffer(value) ? Buffer.from(value) : value,
      ]),
    );
    this.recorded.push({ name: to.name, values: kept });
    return super.call(to, values, descriptors, options).then((answer) => {
      this.onAnswer(to.name, answer.descriptors, kept['connection']);
      return answer;
    });
  }

  override notify<F extends AnyFields>(
    to: Notice<F>,
    values: Values<F>,
    descriptors?: readonly number[],
  ): void {
    this.onNotify(to.name);
    super.notify(to, values, descriptors);
  }
}

/** `onConnection` sees a connection first; true: it is the attacker's, honest code never sees it. */
export function runHostileWorker(
  onConnection: (captive: Captive, connection: NewConnection, ordinal: number) => boolean,
  onReady: (captive: Captive) => void = () => {},
): void {
  checkEngineShape();
  const peer = new RecordingPeer(new SeqpacketLink(linkDescriptor), {
    closeDescriptor,
    onFault: (error, name) => report({ fault: name, error: String(error) }),
  });
  peer.onEnd = () => process.exit(0);
  const captive: Captive = {
    peer,
    recorded: peer.recorded,
    set onAnswer(listener: Captive['onAnswer']) {
      peer.onAnswer = listener;
    },
    set onNotify(listener: Captive['onNotify']) {
      peer.onNotify = listener;
    },
  };
  peer.onNotice(link.Settings, ({ json }) => {
    const settings = JSON.parse(json.toString('utf8')) as link.WorkerSettings;
    const honest = new WorkerConnections(peer, settings);
    const skipped = confine(settings.confinement);
    peer.notify(link.Ready, { skipped });
    honest.begin();
    let ordinal = 0;
    peer.onNotice(link.Connection, (values, descriptors) => {
      if (!onConnection(captive, values, ++ordinal)) {
        honest.open(values, descriptors);
      }
    });
    onReady(captive);
  });
}
