/**
 * Debian's sshd on a loopback port, for root, with keys of its own and the subsystems that a test
 * wants. Nothing of the machine's configuration is read or changed.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, eventually, output } from './child.ts';

export interface DebianSshdOptions {
  readonly subsystems?: Readonly<Record<string, string>>;
  readonly config?: readonly string[];
  /** Types of host keys, such as ed25519. */
  readonly hostKeys?: readonly string[];
}

export class DebianSshd implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly #child: Child;

  private constructor(folder: string, port: number, child: Child) {
    this.folder = folder;
    this.port = port;
    this.#child = child;
  }

  /** A private key that may log in as root. */
  get userKey(): string {
    return join(this.folder, 'id_user');
  }

  hostKey(type: string): string {
    return join(this.folder, `host_${type}`);
  }

  get log(): string {
    return this.#child.stderr;
  }

  static async start(options: DebianSshdOptions = {}): Promise<DebianSshd> {
    const { subsystems = {}, config = [], hostKeys = ['ed25519'] } = options;
    const folder = await mkdtemp(join(tmpdir(), 'sshdesk-sshd-'));
    await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
    for (const type of hostKeys) await makeKey(join(folder, `host_${type}`), type);
    await makeKey(join(folder, 'id_user'), 'ed25519');
    const authorized = join(folder, 'authorized_keys');
    await writeFile(authorized, await readFile(join(folder, 'id_user.pub')));
    const port = await freePort();
    const lines = [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      ...hostKeys.map((type) => `HostKey ${join(folder, `host_${type}`)}`),
      `AuthorizedKeysFile ${authorized}`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      `PidFile ${join(folder, 'pid')}`,
      ...config,
      ...Object.entries(subsystems).map(([name, command]) => `Subsystem ${name} ${command}`),
    ];
    const path = join(folder, 'sshd_config');
    await writeFile(path, `${lines.join('\n')}\n`);
    const child = new Child('/usr/sbin/sshd', ['-D', '-e', '-f', path]);
    await eventually('sshd listens', () => {
      if (child.hasExited) throw new Error(`sshd: ${child.stderr}`);
      return child.stderr.includes('Server listening');
    });
    return new DebianSshd(folder, port, child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Makes a key pair with ssh-keygen. */
export async function makeKey(path: string, type: string, passphrase = ''): Promise<void> {
  await output('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', 'test', '-f', path]);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
