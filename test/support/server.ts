/**
 * Starts the server under test, sshdesk or Debian's sshd, on the same configuration, and tells what
 * it has left behind. SSHDESK_TEST_SERVER=sshd makes Debian's the one under test: what a test
 * expects of a drop-in is first seen there. Runs in: test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { checkout, type LabUser, run } from './lab.ts';
import { RawSsh } from './raw-ssh.ts';

export type ServerKind = 'sshdesk' | 'sshd';

export const serverKind: ServerKind =
  process.env.SSHDESK_TEST_SERVER === 'sshd' ? 'sshd' : 'sshdesk';

export interface ServerOptions {
  /** Lines of sshd_config behind Port, ListenAddress, HostKey, PidFile; the first value wins. */
  readonly config?: readonly string[];
  readonly flags?: readonly string[];
  /** No -e: `log()` stays empty, see `SyslogReader`. */
  readonly logsToSyslog?: boolean;
  /** Lines of sshdesk_config. */
  readonly desktopConfig?: readonly string[];
  readonly kind?: ServerKind;
  /** Default: ed25519 and ecdsa. */
  readonly hostKeys?: readonly ('ed25519' | 'ecdsa' | 'rsa')[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Words before the command, such as `unshare` with its options; `pid` is then its own. */
  readonly wrapper?: readonly string[];
  /** Where the program lies: a copy that `weaken` made. Default: this checkout. */
  readonly root?: string;
}

export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly uid: number;
  readonly title: string;
}

/** What a server holds at one moment; two of them are compared to find a leak. */
export interface Holdings {
  readonly processes: readonly ProcessEntry[];
  /** `title` → number of open descriptors, summed over the processes of that title. */
  readonly descriptors: Readonly<Record<string, number>>;
  /** Files and sockets below /run/sshdesk and /tmp (names only). */
  readonly files: readonly string[];
}

export interface TestServer {
  readonly kind: ServerKind;
  readonly port: number;
  readonly pid: number;
  /** Its folder: sshd_config, host keys, log. */
  readonly folder: string;
  readonly configFile: string;
  readonly knownHosts: string;
  log(): string;
  /** Waits until the log matches; the match. */
  logged(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>;
  processes(): readonly ProcessEntry[];
  holdings(): Holdings;
  /** `holdings` once they no longer change: the base of a comparison. */
  settled(): Promise<Holdings>;
  /** Waits until nothing is held beyond `base`; what is, as lines (empty: nothing). */
  leftovers(base: Holdings, timeoutMs?: number): Promise<readonly string[]>;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Options of a daemon that `user` runs, without root. Root has made its files a moment before: the
 * folder below the lab's /tmp, and nothing else, becomes the user's. The test runs in the checkout.
 */
export function rootless(user: LabUser): Pick<ServerOptions, 'wrapper' | 'environment'> {
  const handOver = [
    'for word; do case $word in /tmp/server-*/sshd_config)',
    `chown -hR ${user.uid}:${user.gid} "\${word%/sshd_config}" || exit 1 ;;`,
    'esac; done; exec "$@"',
  ].join(' ');
  return {
    wrapper: [
      ...['bash', '-c', handOver, 'bash'],
      ...['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--init-groups'],
    ],
    environment: { HOME: user.home, USER: user.name },
  };
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') {
    throw new Error('no port');
  }
  return address.port;
}

function isListening(port: number): boolean {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  return ['/proc/net/tcp', '/proc/net/tcp6'].some(
    (file) =>
      existsSync(file) &&
      readFileSync(file, 'utf8')
        .split('\n')
        .some((line) => line.includes(wanted) && /^\s*\d+: \S+ \S+ 0A /.test(line)),
  );
}

/** Every process of the machine (inside the lab: of the lab); those that end meanwhile are left out. */
export function allProcesses(): readonly ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) {
      continue;
    }
    const entry = readProcess(Number(name));
    if (entry !== undefined) {
      entries.push(entry);
    }
  }
  return entries;
}

function readProcess(pid: number): ProcessEntry | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    if (/^State:\s+[ZX]/m.test(status)) {
      return undefined;
    }
    const field = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? -1);
    const title = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
    return {
      pid,
      parent: field('PPid'),
      uid: field('Uid'),
      title: title === '' ? (/^Name:\s+(.*)$/m.exec(status)?.[1] ?? '') : title,
    };
  } catch (error) {
    // Ended between readdir and here.
    if (isGone(error)) {
      return undefined;
    }
    throw error;
  }
}

/** A file of /proc/PID; empty when the process has ended. */
export function readProcFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch (error) {
    if (isGone(error)) {
      return '';
    }
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** `root` and everything below it. */
export function processTree(root: number): readonly ProcessEntry[] {
  const all = allProcesses();
  const tree = all.filter((entry) => entry.pid === root);
  for (let at = 0; at < tree.length; at++) {
    const parent = tree[at] as ProcessEntry;
    tree.push(...all.filter((entry) => entry.parent === parent.pid));
  }
  return tree;
}

export function openDescriptors(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [`${fd} ${readlinkSync(`/proc/${pid}/fd/${fd}`)}`];
      } catch (error) {
        if (isGone(error)) {
          return [];
        }
        throw error;
      }
    });
  } catch (error) {
    if (isGone(error)) {
      return [];
    }
    throw error;
  }
}

function listFiles(folder: string): readonly string[] {
  if (!existsSync(folder)) {
    return [];
  }
  return readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) =>
    path.join(entry.parentPath, entry.name),
  );
}

/** A title without what differs between two of the same kind: numbers and users of leaders. */
function titleKind(entry: ProcessEntry): string {
  return entry.title.replace(/\d+/g, 'N').slice(0, 80);
}

export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const kind = options.kind ?? serverKind;
  const folder = mkdtempSync('/tmp/server-');
  const port = await freePort();
  const configFile = path.join(folder, 'sshd_config');
  const logFile = path.join(folder, 'log');
  const knownHosts = path.join(folder, 'known_hosts');
  const hostKeyFiles = (options.hostKeys ?? ['ed25519', 'ecdsa']).map((type) => {
    const file = path.join(folder, `host_${type}`);
    run('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', '', '-f', file]);
    return file;
  });
  writeFileSync(
    knownHosts,
    hostKeyFiles
      .map((file) => `[127.0.0.1]:${port} ${readFileSync(`${file}.pub`, 'utf8')}`)
      .join(''),
  );
  const config = options.config ?? [];
  const blocks = config.findIndex((line) => /^Match\b/i.test(line));
  const blocksAt = blocks < 0 ? config.length : blocks;
  writeFileSync(
    configFile,
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      ...hostKeyFiles.map((file) => `HostKey ${file}`),
      `PidFile ${path.join(folder, 'pid')}`,
      ...config.slice(0, blocksAt),
      // Tests fail logins on purpose, all from one address; those about penalties say `yes`.
      ...(kind === 'sshdesk' ? ['PerSourcePenalties no'] : []),
      ...config.slice(blocksAt),
      '',
    ].join('\n'),
  );
  mkdirSync('/run/sshd', { recursive: true });
  const where = options.logsToSyslog === true ? [] : ['-e'];
  const flags = ['-D', ...where, '-f', configFile, ...(options.flags ?? [])];
  if (options.desktopConfig !== undefined && kind === 'sshdesk') {
    const file = path.join(folder, 'sshdesk_config');
    writeFileSync(file, `${options.desktopConfig.join('\n')}\n`);
    flags.push('--desktop-config', file);
  }
  const log = openSync(logFile, 'a', 0o600);
  const program = kind === 'sshd' ? ['/usr/sbin/sshd'] : programOf(options.root, folder);
  const [file = '', ...words] = [...(options.wrapper ?? []), ...program, ...flags];
  let child: ChildProcess;
  try {
    child = spawn(file, words, { stdio: ['ignore', log, log], env: environment(options) });
  } finally {
    closeSync(log);
  }
  const readLog = () => readFileSync(logFile, 'utf8').replaceAll('\r\n', '\n');
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  const stop = async (): Promise<void> => {
    const before = child.pid === undefined ? [] : processTree(child.pid);
    if (!isOver) {
      child.kill('SIGTERM');
      await Promise.race([ended, delay(300)]);
    }
    if (!isOver) {
      // The second one ends live logins too; sshd ends with the first.
      child.kill('SIGTERM');
      await Promise.race([ended, delay(3_000)]);
    }
    if (!isOver) {
      child.kill('SIGKILL');
      await ended;
    }
    // sshd leaves its sessions alone; they are ours to end.
    for (const entry of before) {
      if (readProcess(entry.pid)?.title === entry.title) {
        try {
          process.kill(entry.pid, 'SIGKILL');
        } catch (error) {
          if (!isGone(error)) {
            throw error;
          }
        }
      }
    }
    rmSync(folder, { recursive: true, force: true });
  };
  const deadline = Date.now() + 15_000;
  while (!isListening(port)) {
    if (isOver || Date.now() > deadline) {
      const text = readLog();
      await stop();
      throw new Error(`${kind} did not start (exit ${child.exitCode}):\n${text}`);
    }
    await delay(15);
  }
  const pid = child.pid as number;
  let isWarm = false;
  if (kind === 'sshdesk') {
    // The control socket comes a moment later; the first daemon of the lab has it.
    for (let tries = 0; tries < 100 && !existsSync('/run/sshdesk/control.sock'); tries++) {
      await delay(20);
    }
  }

  const holdings = (): Holdings => {
    const processes = processTree(pid);
    const descriptors: Record<string, number> = {};
    for (const entry of processes) {
      const title = titleKind(entry);
      descriptors[title] = (descriptors[title] ?? 0) + openDescriptors(entry.pid).length;
    }
    return {
      processes,
      descriptors,
      files: [...listFiles('/run/sshdesk'), ...readdirSync('/tmp')],
    };
  };
  const beyond = (base: Holdings): readonly string[] => {
    const now = holdings();
    const lines: string[] = [];
    const known = new Set(base.processes.map((entry) => entry.pid));
    for (const entry of now.processes) {
      if (!known.has(entry.pid)) {
        lines.push(`process ${entry.pid} ${entry.title}`);
      }
    }
    for (const [title, count] of Object.entries(now.descriptors)) {
      const was = base.descriptors[title];
      if (was !== undefined && count > was) {
        lines.push(`descriptors of ${title}: ${was} → ${count}`);
      }
    }
    const files = new Set(base.files);
    lines.push(...now.files.filter((file) => !files.has(file)).map((file) => `file ${file}`));
    return lines;
  };

  return {
    kind,
    port,
    pid,
    folder,
    configFile,
    knownHosts,
    log: readLog,
    async logged(pattern, timeoutMs = 5_000) {
      const until = Date.now() + timeoutMs;
      for (;;) {
        const match = readLog().match(pattern);
        if (match !== null) {
          return match;
        }
        if (Date.now() > until) {
          throw new Error(`${pattern} is not in the log:\n${readLog()}`);
        }
        await delay(20);
      }
    },
    processes: () => processTree(pid),
    holdings,
    async settled() {
      const until = Date.now() + 20_000;
      if (kind === 'sshdesk' && !isWarm) {
        // libuv opens a descriptor in reserve with a worker's first connections, and keeps it.
        const clients = await Promise.all(
          Array.from({ length: 6 }, async () => await RawSsh.shaken(port)),
        );
        for (const client of clients) {
          client.close();
        }
        isWarm = true;
      }
      let last = holdings();
      let since = Date.now();
      while (Date.now() - since < 400) {
        await delay(40);
        const now = holdings();
        if (JSON.stringify(now) !== JSON.stringify(last)) {
          last = now;
          since = Date.now();
        }
        if (Date.now() > until) {
          throw new Error('the server does not come to rest');
        }
      }
      return last;
    },
    async leftovers(base, timeoutMs = 5_000) {
      const until = Date.now() + timeoutMs;
      for (;;) {
        const lines = beyond(base);
        if (lines.length === 0 || Date.now() > until) {
          return lines;
        }
        await delay(50);
      }
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** A copy has no launcher and no command line of its own: its `serve` is called. */
function programOf(root: string | undefined, folder: string): readonly string[] {
  if (root === undefined) {
    return [path.join(checkout, 'sshdesk'), 'serve'];
  }
  const script = path.join(folder, 'main.ts');
  const serve = JSON.stringify(path.join(root, 'src/cli/serve/serve.ts'));
  writeFileSync(
    script,
    `import { serve } from ${serve};\nprocess.exit(await serve(process.argv.slice(2)));\n`,
  );
  return [process.execPath, '--no-warnings', script];
}

/** What a daemon's environment is when init starts it, and nothing of the test's own. */
function environment(options: ServerOptions): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    LANG: 'C.UTF-8',
    ...options.environment,
  };
}
