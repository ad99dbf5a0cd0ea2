/** What processes hold of memory, from /proc: to see that a flood leaves nothing. Runs in: test. */
import { setTimeout as delay } from 'node:timers/promises';
import { type ProcessEntry, readProcFile, type TestServer } from './server.ts';

/** Resident bytes that nobody shares (smaps_rollup); 0 when the process has ended. */
export function privateBytes(pid: number): number {
  const text = readProcFile(pid, 'smaps_rollup');
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return field('Private_Clean') + field('Private_Dirty');
}

/** Resident bytes, as VmRSS. */
export function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readProcFile(pid, 'status'))?.[1] ?? 0;
  return Number(kilobytes) * 1024;
}

/** Workers and monitor: what must not grow by what a peer does. */
export function servingProcesses(server: TestServer): readonly ProcessEntry[] {
  return server.processes().filter(({ title }) => /^sshdesk: (monitor|worker)/.test(title));
}

/** The largest growth of one of the processes over `base`, in bytes; waits for it to fall. */
export class MemoryWatch {
  readonly #server: TestServer;
  readonly #base: ReadonlyMap<number, number>;
  #peakBytes = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(server: TestServer) {
    this.#server = server;
    this.#base = new Map(servingProcesses(server).map(({ pid }) => [pid, residentBytes(pid)]));
    this.#timer = setInterval(() => this.#look(), 25);
  }

  #look(): void {
    for (const [pid, before] of this.#base) {
      this.#peakBytes = Math.max(this.#peakBytes, residentBytes(pid) - before);
    }
  }

  /** The most that one of them has grown by since the start, floods included. */
  get peakBytes(): number {
    this.#look();
    return this.#peakBytes;
  }

  /** True once none is more than `mostBytes` above its start; false after `timeoutMs`. */
  async isFlat(mostBytes: number, timeoutMs = 5_000): Promise<boolean> {
    const until = Date.now() + timeoutMs;
    for (;;) {
      const growth = [...this.#base].map(([pid, before]) => residentBytes(pid) - before);
      if (Math.max(...growth) <= mostBytes) {
        return true;
      }
      if (Date.now() > until) {
        return false;
      }
      await delay(100);
    }
  }

  /** None of them was replaced in the meantime. */
  get areAllAlive(): boolean {
    const now = new Set(servingProcesses(this.#server).map(({ pid }) => pid));
    const isOurs = this.#server.kind === 'sshdesk';
    return (!isOurs || this.#base.size > 0) && [...this.#base.keys()].every((pid) => now.has(pid));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
