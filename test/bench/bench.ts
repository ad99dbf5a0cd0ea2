/**
 * What every figure needs: both servers on one configuration, one user and key, alternated samples,
 * rows with medians. Runs in: test, in the lab.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeKey, makeUser, type TestKey } from '../support/lab.ts';
import {
  processTree,
  readProcFile,
  type ServerKind,
  serverKind,
  startServer,
  type TestServer,
} from '../support/server.ts';
import { sshArguments } from '../support/stock-client.ts';

/** One figure: a file of figures/ and a row of the table in run.ts. */
export type Figure = { readonly name: string } & (
  | {
      readonly startsServers: false;
      run(bench: Bench, ours: TestServer, sshd: TestServer): Promise<void>;
    }
  | { readonly startsServers: true; run(bench: Bench): Promise<void> }
);

interface Row {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  readonly sshd: number | undefined;
  /** ours / sshd, or for `less is better` the same; `wanted` says which way. */
  readonly ratio: number | undefined;
  readonly wanted: string;
  readonly samples: Readonly<Record<string, readonly number[]>>;
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

/** Between two samples: their mean. */
export function quantile(samples: readonly number[], part: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const low = sorted[Math.floor(at)] as number;
  return low + ((sorted[Math.ceil(at)] as number) - low) * (at - Math.floor(at));
}

export function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status) => resolve(status));
  });
}

export function pssKilobytes(server: TestServer): number {
  return processTree(server.pid)
    .map(({ pid }) => Number(/^Pss:\s+(\d+)/m.exec(readProcFile(pid, 'smaps_rollup'))?.[1] ?? 0))
    .reduce((sum, value) => sum + value, 0);
}

// PasswordAuthentication and the rest as Debian's file has them.
const config = [
  'UsePAM yes',
  'KbdInteractiveAuthentication no',
  'MaxStartups 500',
  'X11Forwarding yes',
  'PrintMotd no',
  'AcceptEnv LANG LC_*',
  'Subsystem sftp /usr/lib/openssh/sftp-server',
  'LogLevel VERBOSE',
];

export class Bench {
  readonly pairs: number;
  /** Connections of the figure `idle`. */
  readonly logins: number;
  /** Connections of the figure `tunnels`. */
  readonly tunnels: number;
  readonly key: TestKey = makeKey('ed25519');
  readonly user = 'bench';
  readonly #rows: Row[] = [];
  readonly #began = Date.now();
  readonly #nullFile = openSync('/dev/null', 'w');

  constructor(pairs: number, logins: number, tunnels: number) {
    this.pairs = pairs;
    this.logins = logins;
    this.tunnels = tunnels;
    makeUser(this.user, { authorizedKeys: [this.key.line] });
  }

  /** `more`: lines behind those of every figure. */
  start(
    kind: ServerKind,
    flags: readonly string[] = [],
    more: readonly string[] = [],
  ): Promise<TestServer> {
    return startServer({ kind, config: [...config, ...more], hostKeys: ['ed25519'], flags });
  }

  /** `sample` of both, alternated, `pairs` times; whoever begins changes. */
  async alternate(
    ours: TestServer,
    sshd: TestServer,
    sample: (server: TestServer) => Promise<number>,
  ): Promise<readonly [number[], number[]]> {
    const results: [number[], number[]] = [[], []];
    for (let round = 0; round < this.pairs; round++) {
      const order = round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const);
      for (const which of order) {
        results[which].push(await sample(which === 0 ? ours : sshd));
      }
    }
    return results;
  }

  /** One ssh, its output thrown away or its input a file; seconds. */
  async timed(
    server: TestServer,
    args: readonly string[],
    command: string,
    inputFile?: string,
  ): Promise<number> {
    const input = openSync(inputFile ?? '/dev/null', 'r');
    const began = performance.now();
    const options = { key: this.key, user: this.user, args };
    const child = spawn('ssh', sshArguments(server, options, command), {
      stdio: [input, this.#nullFile, 'inherit'],
    });
    closeSync(input);
    const status = await ended(child);
    if (status !== 0) {
      throw new Error(
        `${server.kind}: ssh ${command} ended with ${status}\n${server.log().slice(-3000)}`,
      );
    }
    return (performance.now() - began) / 1000;
  }

  printHead(): void {
    console.log(
      `${'median'.padEnd(40)} ${'unit'.padEnd(6)} ${serverKind.padStart(10)} ${'sshd'.padStart(10)} ${'ratio'.padStart(10)}  wanted   (${this.pairs} pairs)`,
    );
  }

  record(
    name: string,
    unit: string,
    wanted: string,
    ours: readonly number[],
    sshd: readonly number[] | undefined,
  ): void {
    const row: Row = {
      name,
      unit,
      ours: median(ours),
      sshd: sshd === undefined ? undefined : median(sshd),
      ratio: sshd === undefined ? undefined : median(ours) / median(sshd),
      wanted,
      samples: { ours, ...(sshd === undefined ? {} : { sshd }) },
    };
    this.#rows.push(row);
    this.#writeResults();
    const number = (value: number | undefined) =>
      (value === undefined ? '-' : value.toFixed(value < 10 ? 2 : 1)).padStart(10);
    console.log(
      `${name.padEnd(40)} ${unit.padEnd(6)} ${number(row.ours)} ${number(row.sshd)} ${number(row.ratio)}  ${wanted}`,
    );
  }

  /** After each row, so that a run that breaks off keeps what it has. */
  #writeResults(): void {
    const kernel = readFileSync('/proc/version', 'latin1').split(' ').slice(0, 3).join(' ');
    const results = {
      at: new Date().toISOString(),
      kernel,
      node: process.version,
      server: serverKind,
      pairs: this.pairs,
      seconds: Math.round((Date.now() - this.#began) / 1000),
      rows: this.#rows,
    };
    writeFileSync(
      path.join(import.meta.dirname, 'results.json'),
      `${JSON.stringify(results, null, 2)}\n`,
    );
  }
}
