/**
 * sshdesk and Debian's sshd on one configuration, asked the same by stock ssh: whether a key gets in,
 * what its command prints, and what the log says of keys. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { eventually } from './child.ts';
import type { TestKey } from './lab.ts';
import { startServer, type TestServer } from './server.ts';
import { ssh } from './stock-client.ts';

const told =
  /publickey|ertificate|revoked|key options|authorized principal|orced command|permitted|refusing|pubkey|public key/;

/** The lines of one login that speak of keys, without what differs from one to the next. */
function linesOf(log: string): readonly string[] {
  return log
    .split(/\r?\n/)
    .filter((line) => told.test(line))
    .map((line) => line.replace(/port \d+/, 'port N').replace(/^error: /, ''));
}

export interface KeyLogin {
  /** `no terminal`: in, but ssh gave up for want of one. undefined: refused. */
  readonly printed: string | undefined;
  readonly lines: readonly string[];
}

export interface KeyLoginOptions {
  readonly args?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** `echo ran` as alice. */
export async function keyLogin(
  server: TestServer,
  key: TestKey,
  { args = [], environment = {} }: KeyLoginOptions = {},
): Promise<KeyLogin> {
  const from = server.log().length;
  const used = { key, environment, args: [...args, '-o', 'BatchMode=yes'] };
  const outcome = await ssh(server, used, 'echo ran');
  // A client that leaves with something unread resets its connection.
  const over = /Connection (?:closed|reset) by|Disconnected from/;
  await eventually('the login is over in the log', () => over.test(server.log().slice(from)));
  const log = server.log().slice(from);
  const failed = log.includes('Accepted publickey') ? 'no terminal' : undefined;
  return { printed: outcome.status === 0 ? outcome.text : failed, lines: linesOf(log) };
}

export class BothServers implements AsyncDisposable {
  readonly ours: TestServer;
  readonly theirs: TestServer;

  private constructor(ours: TestServer, theirs: TestServer) {
    this.ours = ours;
    this.theirs = theirs;
  }

  static async start(config: readonly string[]): Promise<BothServers> {
    const ours = await startServer({ kind: 'sshdesk', config });
    try {
      return new BothServers(ours, await startServer({ kind: 'sshd', config }));
    } catch (error) {
      await ours.stop();
      throw error;
    }
  }

  /** What each says. */
  async each(
    key: TestKey,
    options?: KeyLoginOptions,
  ): Promise<{ readonly ours: KeyLogin; readonly theirs: KeyLogin }> {
    const [ours, theirs] = await Promise.all([
      keyLogin(this.ours, key, options),
      keyLogin(this.theirs, key, options),
    ]);
    return { ours, theirs };
  }

  /** What both say: it has to be the same. */
  async login(key: TestKey, options?: KeyLoginOptions): Promise<KeyLogin> {
    const { ours, theirs } = await this.each(key, options);
    assert.deepEqual(ours, theirs);
    return ours;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ours.stop();
    await this.theirs.stop();
  }
}
