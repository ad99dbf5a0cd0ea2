/**
 * SSH clients that this project did not write, one row each, and the stage on which each of them is
 * tried: accounts, keys, a password, a large file and a server with sshd's own defaults. The reference
 * page of clients is made of the rows and of what their test files say. Runs in: test, in the lab.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect as connectTcp, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inLab, type LabOptions, type LabUser, makeKey, makeUser, type TestKey } from './lab.ts';
import { missingClient } from './missing-client.ts';
import { freePort, startServer, type TestServer } from './server.ts';
import { type ClientOutcome, outcomeOf } from './stock-client.ts';

export interface ForeignClient {
  readonly title: string;
  /** Debian package. */
  readonly package: string;
  /** There when the package is (a glob). */
  readonly file: string;
  /** Upstream version in Debian 12, with which the tests were run. */
  readonly version: string;
  /** Lines of sshd_config without which it has no algorithm in common with the server, and why. */
  readonly needs?: { readonly lines: readonly string[]; readonly why: string };
}

/** By the name of the test file in test/interop/clients. */
export const foreignClients = {
  openssh: {
    title: 'OpenSSH: ssh, scp, sftp',
    package: 'openssh-client',
    file: '/usr/bin/ssh',
    version: '9.2p1',
  },
  dropbear: {
    title: 'Dropbear: dbclient',
    package: 'dropbear-bin',
    file: '/usr/bin/dbclient',
    version: '2022.83',
  },
  putty: {
    title: 'PuTTY: plink, psftp, pscp',
    package: 'putty-tools',
    file: '/usr/bin/plink',
    version: '0.78',
  },
  paramiko: {
    title: 'Paramiko',
    package: 'python3-paramiko',
    file: '/usr/lib/python3/dist-packages/paramiko',
    version: '2.12.0',
  },
  asyncssh: {
    title: 'AsyncSSH',
    package: 'python3-asyncssh',
    file: '/usr/lib/python3/dist-packages/asyncssh',
    version: '2.10.1',
  },
  libssh: {
    title: 'libssh',
    package: 'libssh-4',
    file: '/usr/lib/*/libssh.so.4',
    version: '0.10.6',
  },
  curl: {
    title: 'libssh2: curl',
    package: 'curl',
    file: '/usr/bin/curl',
    version: '7.88.1',
    needs: {
      lines: ['MACs +hmac-sha2-256,hmac-sha2-512'],
      why: 'libssh2 before 1.11 knows neither encrypt-then-MAC nor AES-GCM',
    },
  },
  sshfs: { title: 'sshfs', package: 'sshfs', file: '/usr/bin/sshfs', version: '3.7.3' },
  rsync: { title: 'rsync', package: 'rsync', file: '/usr/bin/rsync', version: '3.5.0' },
  git: { title: 'git', package: 'git', file: '/usr/bin/git', version: '2.39.5' },
  ansible: {
    title: 'Ansible',
    package: 'ansible-core',
    file: '/usr/bin/ansible',
    version: '2.14.18',
  },
  lftp: { title: 'lftp', package: 'lftp', file: '/usr/bin/lftp', version: '4.9.2' },
  mosh: { title: 'Mosh', package: 'mosh', file: '/usr/bin/mosh', version: '1.4.0' },
} as const satisfies Record<string, ForeignClient>;

export type ForeignClientName = keyof typeof foreignClients;

/** `inLab`, and skipped with the package's name where the client is not installed. */
export function inLabWith(moduleUrl: string, name: ForeignClientName): LabOptions {
  // Python's clients carry 9 MiB many times over; on a busy machine that takes its time.
  const options = inLab(moduleUrl, 280_000);
  const client: ForeignClient = foreignClients[name];
  if (options.skip === false && globSync(client.file).length === 0) {
    return {
      ...options,
      skip: `${missingClient}${client.file}, Debian package ${client.package} (./setup --test)`,
    };
  }
  return options;
}

/** A test of one ability, named as in the table of docs/reference/clients.md. */
export function can(ability: string, sentence: string, body: () => Promise<void>): void {
  test(`${ability}: ${sentence}`, { timeout: 60_000 }, body);
}

export interface ProgramOptions {
  readonly input?: string | Buffer;
  readonly environment?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

export function startProgram(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): ChildProcessWithoutNullStreams {
  return spawn(file, args, {
    stdio: 'pipe',
    cwd: options.cwd ?? '/tmp',
    env: {
      PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
      HOME: '/root',
      LANG: 'C.UTF-8',
      TERM: 'xterm',
      ...options.environment,
    },
  });
}

/** Runs a client to its end, bounded in time. */
export async function program(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ClientOutcome> {
  return await outcomeOf(startProgram(file, args, options), { timeoutMs: 40_000, ...options });
}

/** Debian's Python, whatever stands first in PATH: its packages are the clients. */
export async function python(
  script: string,
  args: readonly (string | number)[],
  options: ProgramOptions = {},
): Promise<ClientOutcome> {
  return await program(
    '/usr/bin/python3',
    ['-W', 'ignore', '-c', script, ...args.map(String)],
    options,
  );
}

/** A client that holds a tunnel open, ended by its pid when the test is over. */
export class Holding implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<void>;
  #said = '';

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#said += text;
      });
    }
    child.stdin.on('error', () => undefined);
    this.#ended = new Promise((resolve) => {
      child.once('close', () => resolve());
      child.once('error', () => resolve());
    });
  }

  get said(): string {
    return this.#said;
  }

  /** Waits until something listens on `port` of the loopback. */
  async listening(port: number, timeoutMs = 15_000): Promise<void> {
    const until = Date.now() + timeoutMs;
    const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
    for (;;) {
      const isThere = ['/proc/net/tcp', '/proc/net/tcp6'].some((file) =>
        readFileSync(file, 'utf8')
          .split('\n')
          .some((line) => /^\s*\d+: \S+ \S+ 0A /.test(line) && line.includes(wanted)),
      );
      if (isThere) {
        return;
      }
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(
          `ended (${this.#child.exitCode}) before port ${port} was there: ${this.#said}`,
        );
      }
      if (Date.now() > until) {
        throw new Error(`nothing listens on ${port}: ${this.#said}`);
      }
      await delay(25);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    this.#child.kill('SIGTERM');
    const isOver = await Promise.race([this.#ended.then(() => true), delay(3_000, false)]);
    if (!isOver) {
      this.#child.kill('SIGKILL');
      await this.#ended;
    }
  }
}

/** What stands at the far end of a tunnel: gives every byte back. */
export class EchoTarget implements AsyncDisposable {
  readonly port: number;
  readonly #server: ReturnType<typeof createServer>;
  readonly #sockets = new Set<Socket>();

  private constructor(port: number) {
    this.port = port;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.add(socket);
      // A client that leaves early is seen at its own end.
      socket.on('error', () => socket.destroy());
      socket.once('close', () => this.#sockets.delete(socket));
      socket.pipe(socket);
    });
  }

  static async start(): Promise<EchoTarget> {
    const target = new EchoTarget(await freePort());
    await new Promise<void>((resolve, reject) => {
      target.#server.once('error', reject);
      target.#server.listen(target.port, '127.0.0.1', resolve);
    });
    return target;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Sends `content` to a port, ends its half, and gives all that comes back until the other end. */
export async function throughPort(port: number, content: Buffer): Promise<Buffer> {
  const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  const timer = setTimeout(() => socket.destroy(new Error('the tunnel stands still')), 40_000);
  try {
    const chunks: Buffer[] = [];
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.once('end', resolve);
      socket.end(content);
    });
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/** An ssh-agent with one key in it. */
export class TestAgent implements AsyncDisposable {
  readonly socket: string;
  readonly #child: ChildProcessWithoutNullStreams;

  private constructor(socket: string) {
    this.socket = socket;
    this.#child = startProgram('ssh-agent', ['-D', '-a', socket]);
  }

  static async start(key: TestKey): Promise<TestAgent> {
    const agent = new TestAgent(`/tmp/agent-${process.pid}-${await freePort()}`);
    for (let tries = 0; ; tries++) {
      const added = await program('ssh-add', ['-q', key.file], {
        environment: { SSH_AUTH_SOCK: agent.socket },
      });
      if (added.status === 0) {
        return agent;
      }
      if (tries === 100) {
        throw new Error(`ssh-add: ${added.stderr}`);
      }
      await delay(30);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGTERM');
    await ended;
    rmSync(this.socket, { force: true });
  }
}

/** Of alice. Never on a command line: clients read it from where they are told to. */
export const password = 'correct horse 7';
/** 9 MiB and an odd rest. */
const largeBytes = 9 * 1024 * 1024 + 17;
export const largeFile = '/tmp/large';
export const passwordFile = '/tmp/password';

/** Accounts, keys and the server under test. */
export class Stage implements AsyncDisposable {
  readonly server: TestServer;
  readonly alice: LabUser;
  readonly ed25519: TestKey;
  readonly rsa: TestKey;
  readonly large: Buffer;
  readonly #config: readonly string[];
  #onlyDialogue: TestServer | undefined;
  #rekeying: TestServer | undefined;

  private constructor(
    server: TestServer,
    alice: LabUser,
    keys: { ed25519: TestKey; rsa: TestKey },
    large: Buffer,
    config: readonly string[],
  ) {
    this.server = server;
    this.alice = alice;
    this.ed25519 = keys.ed25519;
    this.rsa = keys.rsa;
    this.large = large;
    this.#config = config;
  }

  static async make(config: readonly string[] = []): Promise<Stage> {
    const keys = { ed25519: makeKey('ed25519'), rsa: makeKey('rsa', 3072) };
    const alice = makeUser('alice', {
      password,
      authorizedKeys: [keys.ed25519.line, keys.rsa.line],
    });
    const large = randomBytes(largeBytes);
    writeFileSync(largeFile, large);
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    return new Stage(await startServer(settings(config)), alice, keys, large, config);
  }

  get port(): number {
    return this.server.port;
  }

  /** A second server, which takes keys and keyboard-interactive, no `password`. */
  async onlyDialogue(): Promise<TestServer> {
    this.#onlyDialogue ??= await startServer(
      settings([...this.#config, 'PasswordAuthentication no']),
    );
    return this.#onlyDialogue;
  }

  /** A server that wants new keys every three megabytes. */
  async rekeying(): Promise<TestServer> {
    this.#rekeying ??= await startServer(settings([...this.#config, 'RekeyLimit 2M']));
    return this.#rekeying;
  }

  /** Puts a file of alice's where the server will read it. */
  offer(name: string, content: string | Buffer): string {
    const file = `${this.alice.home}/${name}`;
    writeFileSync(file, content);
    chownSync(file, this.alice.uid, this.alice.gid);
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    await this.#onlyDialogue?.stop();
    await this.#rekeying?.stop();
  }
}

function settings(config: readonly string[]) {
  return {
    hostKeys: ['ed25519', 'ecdsa', 'rsa'],
    config: [
      ...config,
      'UsePAM yes',
      'KbdInteractiveAuthentication yes',
      'Subsystem sftp /usr/lib/openssh/sftp-server',
      'PrintMotd no',
      'PrintLastLog no',
    ],
  } as const;
}
