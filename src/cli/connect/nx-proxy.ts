/**
 * The local end of a desktop of NX: Debian's nxproxy, which connects to a private Unix socket and draws
 * on the X display here. Runs in: user.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, constants, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { ClientFailure } from '../../ssh/client/failure.ts';
import { connectionOf, type RunningViewer, socketPlace } from './viewer.ts';

const program = 'nxproxy';

/** What the server said of the desktop. */
export interface NxSession {
  /** 32 hex digits, of this viewer alone. */
  readonly cookie: string;
  readonly display: number;
}

/** Throws ClientFailure `desktop` that says what to do without one. */
export async function findNxProxy(environment: NodeJS.ProcessEnv): Promise<string> {
  if (!environment.DISPLAY) {
    throw new ClientFailure(
      'desktop',
      'there is no X display here to show a desktop on (DISPLAY is not set)',
    );
  }
  for (const folder of (environment.PATH ?? '').split(delimiter)) {
    const path = join(folder, program);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (folder !== '' && isThere) return path;
  }
  throw new ClientFailure(
    'desktop',
    "no nxproxy found in PATH: install it (Debian's package nxproxy), or leave --protocol nx away for RFB",
  );
}

/** The socket, the cookie and the log are in a folder of mode 0700, which goes with the program. */
export async function startNxProxy(
  path: string,
  { cookie, display }: NxSession,
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<RunningViewer> {
  const folder = await mkdtemp(join(socketPlace(environment.XDG_RUNTIME_DIR), 'sshdesk-'));
  const server = createServer({ pauseOnConnect: true });
  const remove = () => rm(folder, { recursive: true, force: true });
  let child: ChildProcess | null = null;
  try {
    await chmod(folder, 0o700);
    if (/[,=:\s]/.test(folder)) {
      throw new ClientFailure(
        'desktop',
        `${folder}: nxproxy cannot have its files in such a folder`,
      );
    }
    const root = join(folder, 'root');
    const socketPath = join(folder, 'nx');
    const options = join(folder, 'options');
    await mkdir(root, { mode: 0o700 });
    server.maxConnections = 1;
    server.listen(socketPath);
    await once(server, 'listening', { signal });
    const words = [
      ...['nx/nx', 'session=session', `cookie=${cookie}`, `root=${root}`, 'id=sshdesk'],
      ...['shmem=1', 'shpix=1', `connect=unix:${socketPath}:${display}`],
    ];
    await writeFile(options, `${words.join(',')}\n`, { mode: 0o600 });
    child = spawn(path, ['-S', `nx/nx,options=${options}:${display}`], {
      stdio: 'ignore',
      env: { ...environment, NX_ROOT: root },
    });
    const ended = endOf(child, remove);
    const socket = await connectionOf(server, ended, signal);
    const running = child;
    return { socket, ended, stop: () => void running.kill('SIGTERM') };
  } catch (error) {
    child?.kill('SIGTERM');
    await remove();
    throw error;
  } finally {
    server.close();
  }
}

function endOf(child: ChildProcess, remove: () => Promise<void>): Promise<string | null> {
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signalName) => {
      const how = signalName === null ? `exit status ${code}` : signalName;
      const why = code === 0 ? null : `nxproxy ended with ${how}`;
      void remove().then(
        () => resolve(why),
        (error: Error) => resolve(error.message),
      );
    });
  });
}
