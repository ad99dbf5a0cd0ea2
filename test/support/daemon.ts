/**
 * A folder with configuration and host key, and `sshdesk serve` started in it with any flags, for
 * tests of the daemon itself. Nothing is added to the flags. Runs in: test, in the lab.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Child, eventually, type Finished, run as runToEnd } from './child.ts';
import { checkout, run } from './lab.ts';
import { freePort, type ProcessEntry, processTree } from './server.ts';

const launcher = path.join(checkout, 'sshdesk');

export interface GroundOptions {
  /** Lines behind Port, ListenAddress, HostKey, PidFile. */
  readonly config?: readonly string[];
  /** Default: a daemon's under init. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Where the programs run; default: the folder. */
  readonly launcher?: string;
}

const systemEnvironment = { PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' };

export class Ground implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly #options: GroundOptions;
  readonly #children: Child[] = [];

  private constructor(folder: string, port: number, options: GroundOptions) {
    this.folder = folder;
    this.port = port;
    this.#options = options;
  }

  static async make(options: GroundOptions = {}): Promise<Ground> {
    const ground = new Ground(mkdtempSync('/tmp/ground-'), await freePort(), options);
    const hostKey = ground.file('host_key');
    run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', hostKey]);
    ground.knows(ground.port);
    ground.configure(options.config ?? []);
    return ground;
  }

  file(name: string): string {
    return path.join(this.folder, name);
  }
  get configFile(): string {
    return this.file('sshd_config');
  }
  get hostKey(): string {
    return this.file('host_key');
  }
  get knownHosts(): string {
    return this.file('known_hosts');
  }
  get pidFile(): string {
    return this.file('pid');
  }

  /** A line of known_hosts for another port or address. */
  knows(port: number, key = this.hostKey): void {
    const line = readFileSync(`${key}.pub`, 'utf8');
    writeFileSync(this.knownHosts, `[127.0.0.1]:${port} ${line}[::1]:${port} ${line}`, {
      flag: 'a',
    });
  }

  configure(lines: readonly string[], { bare = false } = {}): void {
    const first = [
      `Port ${this.port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${this.hostKey}`,
      `PidFile ${this.pidFile}`,
    ];
    // Tests fail logins on purpose, all from one address.
    const last = bare ? [] : ['PerSourcePenalties no'];
    writeFileSync(this.configFile, `${[...(bare ? [] : first), ...lines, ...last].join('\n')}\n`);
  }

  /** Starts `sshdesk serve ARGS`; it is ended with the ground. */
  serve(...args: readonly string[]): Child {
    const child = new Child(this.#options.launcher ?? launcher, ['serve', ...args], {
      cwd: this.folder,
      env: { ...systemEnvironment, ...this.#options.environment },
    });
    this.#children.push(child);
    return child;
  }

  /** `-D -e -f` and more, once it listens. */
  async daemon(...more: readonly string[]): Promise<Child> {
    const child = this.serve('-D', '-e', '-f', this.configFile, ...more);
    await listening(child);
    return child;
  }

  /** What all that was started here has said. */
  said(): string {
    return this.#children.map((child) => child.stdout + child.stderr).join('\n');
  }

  /** Runs to its end. */
  async ended(...args: readonly string[]): Promise<Finished> {
    return runToEnd(this.#options.launcher ?? launcher, ['serve', ...args], {
      cwd: this.folder,
      env: { ...systemEnvironment, ...this.#options.environment },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      await endTree(child);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The workers are ready: the monitor has its title and its signals from then on. */
export async function listening(child: Child): Promise<void> {
  await eventually('the daemon listens', () => {
    if (child.hasExited) {
      throw new Error(`it ended (${child.process.exitCode}):\n${child.stdout}${child.stderr}`);
    }
    return (
      child.stderr.includes('Server listening on') &&
      processTree(child.pid).filter(({ title }) => /^sshdesk: worker \d/.test(title)).length > 0
    );
  });
}

/** The child and everything below it, by pid: SIGTERM twice, then SIGKILL. */
export async function endTree(child: Child): Promise<void> {
  const below = child.hasExited ? [] : processTree(child.pid);
  if (!child.hasExited) {
    child.process.kill('SIGTERM');
    await Promise.race([child.finished, new Promise((resolve) => setTimeout(resolve, 300))]);
  }
  await child.stop();
  await end(below);
}

/** Ends what is still the process that was seen. */
export async function end(seen: readonly ProcessEntry[]): Promise<void> {
  for (const { pid, title } of seen) {
    if (processTree(pid)[0]?.title === title) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') {
          throw error;
        }
      }
    }
  }
}
