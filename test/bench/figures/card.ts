/**
 * What a card adds to a login: by `sshdesk connect` with a card, less by the same with a key of the same
 * kind in a file, less what the card itself took to sign; the same of ssh -I. The card is SoftHSM
 * behind a reader with a pad on which a person of no delay types. Runs in: test, in the lab.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { Card, type FaultyCard, noCard } from '../../support/card.ts';
import { authorize, checkout, findUser, makeKey } from '../../support/lab.ts';
import { serverKind, type TestServer } from '../../support/server.ts';
import { type Bench, ended, type Figure } from '../bench.ts';

export const card: Figure = { name: 'card', startsServers: true, run: benchCard };

const padFlag = '100';
const logins = 8;

interface Ways {
  readonly card: readonly string[];
  readonly file: readonly string[];
}

/** Milliseconds from the start of a client to the first that it prints of what it logged in for. */
async function timed(words: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const [file = '', ...args] = words;
  const began = performance.now();
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: environment });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const printed = new Promise<number>((resolve) => {
    child.stdout.once('data', () => resolve(performance.now() - began));
  });
  const status = await ended(child);
  if (status !== 0) throw new Error(`${words.join(' ')} ended with ${status}: ${said}`);
  return printed;
}

function connectWays({ user }: Bench, server: TestServer, reader: FaultyCard, file: string): Ways {
  const common = [
    ...[path.join(checkout, 'sshdesk'), 'connect', '-F', 'none', '--list', '--json'],
    ...['-o', `UserKnownHostsFile=${server.knownHosts}`, '-o', 'IdentityAgent=none'],
  ];
  const to = `${user}@127.0.0.1:${server.port}`;
  return {
    card: [...common, '-o', 'IdentityFile=none', '--pkcs11', reader.module, to],
    file: [...common, '-i', file, to],
  };
}

function sshWays({ user }: Bench, server: TestServer, reader: FaultyCard, file: string): Ways {
  const common = ['ssh', '-F', 'none', '-o', `UserKnownHostsFile=${server.knownHosts}`];
  const to = ['-p', String(server.port), `${user}@127.0.0.1`, 'echo done'];
  return {
    card: [...common, '-o', 'IdentityFile=none', '-I', reader.module, ...to],
    file: [...common, '-o', 'IdentitiesOnly=yes', '-i', file, ...to],
  };
}

/**
 * What the card adds: the least of some logins with it less the least of as many without, for what
 * else the machine does is in all of them, and is many times as much.
 */
async function added(ways: Ways, reader: FaultyCard, pairs: number): Promise<readonly number[]> {
  const environment = { ...process.env, ...reader.environment };
  const samples: number[] = [];
  for (let round = 0; round < pairs; round += 1) {
    const byCard: number[] = [];
    const byFile: number[] = [];
    for (let login = 0; login < logins; login += 1) {
      const took = await timed(ways.card, environment);
      const note = reader.calls().findLast((call) => call.startsWith('microseconds '));
      byCard.push(took - Number(note?.split(' ')[1]) / 1000);
      byFile.push(await timed(ways.file, environment));
    }
    samples.push(Math.min(...byCard) - Math.min(...byFile));
  }
  return samples;
}

async function benchCard(bench: Bench): Promise<void> {
  const missing = noCard();
  if (missing !== undefined) throw new Error(missing);
  const token = new Card();
  token.makeKey('EC:prime256v1', '01');
  const key = makeKey('ecdsa');
  const lines = token.keys();
  authorize(findUser(bench.user), [...lines, key.line, bench.key.line]);
  const reader = token.faulty({ CARD_FLAGS: padFlag, CARD_PIN: token.pin });
  const server = await bench.start(serverKind);
  try {
    const ours = await added(connectWays(bench, server, reader, key.file), reader, bench.pairs);
    const ssh = await added(sshWays(bench, server, reader, key.file), reader, bench.pairs);
    bench.record('card login, beyond its signature', 'ms', '≤ 20', ours, ssh);
  } finally {
    await server.stop();
    authorize(findUser(bench.user), [bench.key.line]);
  }
}
