/**
 * The real monitor and zygote, from the checkout or a weakened copy, with workers that were taken
 * over. Runs in: test, in the lab.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from './lab.ts';
import { freePort } from './server.ts';

export interface HostileServer {
  readonly port: number;
  readonly hostKeyFile: string;
  /** What the worker has reported so far. */
  reports(): readonly Readonly<Record<string, unknown>>[];
  reported(
    has: (report: Readonly<Record<string, unknown>>) => boolean,
  ): Promise<Readonly<Record<string, unknown>>>;
  log(): string;
  logged(pattern: RegExp): Promise<void>;
  /** Open descriptors of the monitor. */
  descriptors(): number;
  stop(): Promise<void>;
}

function jsonOf(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined; // a line of the monitor's log
  }
}

/** `config`: lines behind the usual ones. */
export async function startHostile(
  root: string,
  program: string,
  config: readonly string[] = [],
): Promise<HostileServer> {
  const folder = mkdtempSync('/tmp/hostile-');
  const port = await freePort();
  const hostKeyFile = path.join(folder, 'host');
  run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', hostKeyFile]);
  const configFile = path.join(folder, 'sshd_config');
  writeFileSync(
    configFile,
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${hostKeyFile}`,
      'UsePAM yes',
      'PidFile none',
      'LogLevel DEBUG1',
      'MaxStartups 500',
      'PerSourcePenalties no',
      ...config,
      '',
    ].join('\n'),
  );
  const script = path.join(folder, 'main.ts');
  const serve = JSON.stringify(path.join(root, 'src/cli/serve/serve.ts'));
  const workerProgram = JSON.stringify(path.join(root, 'test/system/hostile', program));
  writeFileSync(
    script,
    `import { serve } from ${serve};
process.exit(await serve(['-D', '-e', '-f', ${JSON.stringify(configFile)}], {
  workerProgram: ${workerProgram},
  onReady: () => console.error('{"ready":true}'),
}));
`,
  );
  const child: ChildProcess = spawn(process.execPath, ['--no-warnings', script], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
  });
  const reports = () =>
    text.split('\n').flatMap((line) => {
      const found = jsonOf(line);
      return found === undefined ? [] : [found];
    });
  const reported: HostileServer['reported'] = async (has) => {
    for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 50) {
      const found = reports().find(has);
      if (found !== undefined) {
        return found;
      }
      await delay(50);
    }
    throw new Error(`no such report within 20 s; so far:\n${text}`);
  };
  const server: HostileServer = {
    port,
    hostKeyFile,
    reports,
    reported,
    log: () => text,
    logged: async (pattern) => {
      for (let waitedMs = 0; !pattern.test(text); waitedMs += 50) {
        if (waitedMs > 20_000) {
          throw new Error(`not logged within 20 s: ${pattern}; so far:\n${text}`);
        }
        await delay(50);
      }
    },
    descriptors: () => readdirSync(`/proc/${child.pid}/fd`).length,
    stop: async () => {
      if (child.exitCode === null) {
        child.kill('SIGINT');
        await once(child, 'exit');
      }
    },
  };
  await reported((report) => report['ready'] === true).catch(async (error: unknown) => {
    await server.stop();
    throw error;
  });
  return server;
}
