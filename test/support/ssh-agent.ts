/** Debian's ssh-agent with keys in it, for a stock client to forward. Runs in: test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { eventually, output } from './child.ts';

export class SshAgent implements AsyncDisposable {
  readonly folder: string;
  readonly #child: ChildProcess;

  private constructor(folder: string, child: ChildProcess) {
    this.folder = folder;
    this.#child = child;
  }

  get socket(): string {
    return path.join(this.folder, 'agent');
  }

  get environment(): Readonly<Record<string, string>> {
    return { SSH_AUTH_SOCK: this.socket };
  }

  /** `options` of ssh-agent(1); `environment`: what its libraries want besides. */
  static async start(
    options: readonly string[] = [],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<SshAgent> {
    const folder = mkdtempSync('/tmp/own-agent-');
    const child = spawn('ssh-agent', ['-D', ...options, '-a', path.join(folder, 'agent')], {
      env: { ...process.env, ...environment },
      stdio: 'ignore',
    });
    const agent = new SshAgent(folder, child);
    await eventually('ssh-agent listens', () => agent.#answers());
    return agent;
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.socket);
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
  }

  async add(file: string, ...options: readonly string[]): Promise<void> {
    const env = { ...process.env, ...this.environment };
    await output('ssh-add', ['-q', ...options, file], { env });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGTERM');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
