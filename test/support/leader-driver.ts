/**
 * A zygote and its leaders under a test's hand, over the links that the monitor uses.
 * Runs in: test, mostly as root in the lab.
 */
import { once } from 'node:events';
import { closeSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LeaderClient, SpawnOrder } from '../../pam/leader-client.ts';
import { stdio } from '../../pam/leader-protocol.ts';
import { Zygote } from '../../src/process/zygote.ts';
import { checkout } from './lab.ts';

export const leaderExecutable =
  process.env.SSHDESK_LEADER ?? path.join(checkout, 'build/Release/sshdesk-leader');

export interface Exit {
  readonly status: number;
  readonly signal: number;
}

function fault(error: unknown, name: string): never {
  throw new Error(`fault in ${name}`, { cause: error });
}

/** A zygote and whatever was forked from it; `close` ends them, whatever state a test left. */
export class ZygoteDriver {
  readonly zygote: Zygote;
  readonly #leaders: DrivenLeader[] = [];

  constructor(executable = leaderExecutable) {
    this.zygote = new Zygote(executable, undefined, fault);
  }

  async fork(): Promise<DrivenLeader> {
    const leader = new DrivenLeader(await this.zygote.forkLeader('sshdesk: leader', fault));
    this.#leaders.push(leader);
    return leader;
  }

  close(): void {
    for (const { client } of this.#leaders) {
      client.drop();
    }
    this.zygote.close();
  }
}

/** A leader that remembers what it was told of its own accord. */
export class DrivenLeader {
  readonly client: LeaderClient;
  readonly gone: Promise<void>;
  readonly desktopEnded: Promise<{ readonly reason: string; readonly tail: string }>;
  readonly #exits = new Map<number, PromiseWithResolvers<Exit>>();

  constructor(client: LeaderClient) {
    this.client = client;
    const gone = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<{ reason: string; tail: string }>();
    this.gone = gone.promise;
    this.desktopEnded = ended.promise;
    client.onGone = () => gone.resolve();
    client.onDesktopEnded = (reason, tail) => ended.resolve({ reason, tail });
    client.onExited = ({ handle, status, signal }) =>
      this.#exit(handle).resolve({ status, signal });
  }

  #exit(handle: number): PromiseWithResolvers<Exit> {
    let exit = this.#exits.get(handle);
    if (exit === undefined) {
      exit = Promise.withResolvers<Exit>();
      this.#exits.set(handle, exit);
    }
    return exit;
  }

  exit(handle: number): Promise<Exit> {
    return this.#exit(handle).promise;
  }

  /** Login without PAM, established. */
  async enter(user: string, service = '', kind = 0): Promise<void> {
    await begin(this.client, user, service, kind);
    await this.client.establish(kind === 1 ? ':7' : 'ssh');
  }

  /** Runs a command with pipes until its outputs end. */
  async run(command: string, change: Partial<SpawnOrder> = {}): Promise<Exit & Outputs> {
    const spawned = await this.client.spawn(order(command, change));
    const [input, output, errors] = spawned.descriptors as [number, number, number];
    closeSync(input);
    const [stdout, stderr] = await Promise.all([readAll(output), readAll(errors)]);
    return { ...(await this.exit(spawned.handle)), stdout, stderr };
  }
}

export interface Outputs {
  readonly stdout: string;
  readonly stderr: string;
}

export function begin(client: LeaderClient, user: string, service = '', kind = 0, tty = 'ssh') {
  const rhost = '192.0.2.7';
  const connection = '192.0.2.7 4711 192.0.2.1 22';
  return client.begin({ kind, user, service, rhost, tty, connection, loggedAs: 'sshd[1]' });
}

export function order(command: string, change: Partial<SpawnOrder> = {}): SpawnOrder {
  return {
    file: '/bin/sh',
    arguments: ['sh', '-c', command].map((word) => Buffer.from(word)) as never,
    environment: ['PATH=/usr/bin:/bin'].map((entry) => Buffer.from(entry)) as never,
    directory: '/',
    stdio: stdio.pipes,
    columns: 80,
    rows: 24,
    widthPixels: 0,
    heightPixels: 0,
    modes: Buffer.alloc(0),
    reportDescriptor: false,
    essential: false,
    stderrText: Buffer.alloc(0),
    ...change,
  };
}

/** Owns `descriptor`, the read end of a pipe. */
export async function readAll(descriptor: number): Promise<string> {
  const socket = new Socket({ fd: descriptor, readable: true, writable: false });
  socket.setEncoding('utf8');
  let text = '';
  socket.on('data', (chunk: string) => {
    text += chunk;
  });
  await once(socket, 'close');
  return text;
}

/** A field of /proc/PID/status; undefined: there is no such process (a zombie counts as none). */
export function statusOf(pid: number, field: string): string | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    if (/^State:\s+Z/m.test(status)) {
      return undefined;
    }
    return new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(status)?.[1]?.trim().replace(/\s+/g, ' ');
  } catch {
    // The process has ended: that is the answer.
    return undefined;
  }
}

export function isAlive(pid: number): boolean {
  return statusOf(pid, 'Name') !== undefined;
}

/** Waits until `condition` holds; fails after `limitMs`. */
export async function until(condition: () => boolean, what: string, limitMs = 5000): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > deadline) {
      throw new Error(`not within ${limitMs} ms: ${what}`);
    }
    await delay(10);
  }
}
