/**
 * Programs that a test starts: bounded in time, ended by their pid, with what they said.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs until it is stopped; `await using` ends it. */
export class Child implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly finished: Promise<Finished>;
  stdout = '';
  stderr = '';

  constructor(command: string, args: readonly string[], options: SpawnOptions = {}) {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    this.process = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    // A child that ends early makes its stdin fail; its exit says what happened.
    child.stdin?.on('error', () => undefined);
    this.finished = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
    this.finished.catch(() => undefined);
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  get hasExited(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.hasExited || !this.process.pid) return;
    this.process.kill(signal);
    const stopped = await Promise.race([this.finished.then(() => true), delay(3000, false)]);
    if (!stopped) {
      this.process.kill('SIGKILL');
      await this.finished;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export interface RunOptions extends SpawnOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** Runs to the end; killed, and an error, when that takes too long. */
export async function run(
  command: string,
  args: readonly string[],
  { input = '', timeoutMs = 20_000, ...options }: RunOptions = {},
): Promise<Finished> {
  const child = new Child(command, args, options);
  child.process.stdin?.end(input);
  const timer = setTimeout(() => child.process.kill('SIGKILL'), timeoutMs);
  try {
    const finished = await child.finished;
    if (finished.signal === 'SIGKILL') {
      throw new Error(
        `${command} ${args.join(' ')}: killed after ${timeoutMs} ms\n${finished.stderr}`,
      );
    }
    return finished;
  } finally {
    clearTimeout(timer);
  }
}

/** Runs to the end with exit code 0, and gives its stdout. */
export async function output(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const finished = await run(command, args, options);
  if (finished.code !== 0) {
    throw new Error(`${command} ${args.join(' ')}: exit ${finished.code}\n${finished.stderr}`);
  }
  return finished.stdout;
}

/** Polls until `probe` gives a value that is not empty; an error naming `what` when it never does. */
export async function eventually<Value>(
  what: string,
  probe: () => Promise<Value | null | undefined | false> | Value | null | undefined | false,
  timeoutMs = 10_000,
): Promise<Value> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== null && value !== undefined && value !== false && value !== '') return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await delay(25);
  }
}
