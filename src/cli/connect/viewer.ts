/**
 * A local viewer on a private Unix socket: found in PATH, started, waited for. Runs in: user.
 */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, constants, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { ClientFailure } from '../../ssh/client/failure.ts';

export interface Viewer {
  readonly path: string;
  readonly version: readonly [number, number];
}

const candidates = ['vncviewer', 'xtigervncviewer'];
/** The first TigerVNC that opens a Unix socket. */
const oldestVersion: readonly [number, number] = [1, 11];
const probeTimeoutMs = 5000;
const connectTimeoutMs = 30 * 1000;
const maxLogChars = 4096;
/** 107 bytes, less a folder and a title in it. */
const maxPlaceBytes = 58;

/** Throws ClientFailure `desktop` that says what to do without one. */
export async function findViewer(environment: NodeJS.ProcessEnv): Promise<Viewer> {
  if (!environment.DISPLAY) {
    throw new ClientFailure(
      'desktop',
      'there is no X display here to show a desktop on (DISPLAY is not set); use --web, --listen PORT or --screenshot FILE.png',
    );
  }
  let unfit = '';
  for (const path of await executables(environment.PATH ?? '')) {
    const version = await versionOf(path);
    if (version && isAtLeast(version, oldestVersion)) return { path, version };
    unfit = ` (${path} takes no private socket: it is not TigerVNC ${oldestVersion.join('.')} or later)`;
  }
  throw new ClientFailure(
    'desktop',
    `no viewer found in PATH${unfit}; use --web to see it in the browser, install tigervnc-viewer, or use --listen PORT with another viewer`,
  );
}

async function executables(searchPath: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of candidates) {
    for (const folder of searchPath.split(delimiter)) {
      const path = join(folder, name);
      if (folder !== '' && (await isExecutable(path))) found.push(path);
    }
  }
  return found;
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function isAtLeast(version: readonly [number, number], wanted: readonly [number, number]): boolean {
  return version[0] > wanted[0] || (version[0] === wanted[0] && version[1] >= wanted[1]);
}

/** It prints its name and version whatever else it thinks of the argument. */
function versionOf(path: string): Promise<[number, number] | null> {
  return new Promise((resolve) => {
    const options = { timeout: probeTimeoutMs, maxBuffer: 1024 * 1024 };
    execFile(path, ['--version'], options, (_error, stdout, stderr) => {
      const match = /TigerVNC\b[^\n]*\bv?(\d+)\.(\d+)/.exec(stdout + stderr);
      resolve(match ? [Number(match[1]), Number(match[2])] : null);
    });
  });
}

/** A viewer that has connected to its socket. */
export interface RunningViewer {
  readonly socket: Socket;
  /** Its end: null when all was well, else what it said. */
  readonly ended: Promise<string | null>;
  stop(): void;
}

/** The socket is in a folder of mode 0700 and takes one connection; both are gone afterwards. */
export async function startViewer(
  viewer: Viewer,
  title: string,
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<RunningViewer> {
  const folder = await mkdtemp(join(socketPlace(environment.XDG_RUNTIME_DIR), 'sshdesk-'));
  const server = createServer({ pauseOnConnect: true });
  let child: ChildProcess | null = null;
  try {
    await chmod(folder, 0o700);
    const path = join(folder, title.replace(/[^A-Za-z0-9_.@-]/g, '_').slice(0, 32) || 'desktop');
    server.maxConnections = 1;
    server.listen(path);
    await once(server, 'listening', { signal });
    await chmod(path, 0o600);
    child = spawn(viewer.path, viewerArguments(viewer, path), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: environment,
    });
    const ended = endOf(child);
    const socket = await connectionOf(server, ended, signal);
    const running = child;
    return { socket, ended, stop: () => void running.kill('SIGTERM') };
  } catch (error) {
    child?.kill('SIGTERM');
    throw error;
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** A folder under which a path fits into a socket's address. */
export function socketPlace(runtimeDirectory: string | undefined): string {
  const isFit = runtimeDirectory && Buffer.byteLength(runtimeDirectory) <= maxPlaceBytes;
  return isFit ? runtimeDirectory : tmpdir();
}

/** From 1.12 on a lost connection would otherwise leave a dialogue that outlives it. */
function viewerArguments(viewer: Viewer, socketPath: string): string[] {
  const quiet = ['-AlertOnFatalError=0', '-ReconnectOnError=0'];
  return ['-Shared=1', ...(isAtLeast(viewer.version, [1, 12]) ? quiet : []), socketPath];
}

function endOf(child: ChildProcess): Promise<string | null> {
  let log = '';
  child.stderr?.setEncoding('utf8');
  child.stderr?.on('data', (text: string) => {
    log = (log + text).slice(-maxLogChars);
  });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signalName) => {
      const how = signalName === null ? `exit status ${code}` : signalName;
      resolve(code === 0 ? null : `the viewer ended with ${how}\n${log.trim()}`);
    });
  });
}

export async function connectionOf(
  server: ReturnType<typeof createServer>,
  ended: Promise<string | null>,
  signal: AbortSignal,
): Promise<Socket> {
  const waited = AbortSignal.timeout(connectTimeoutMs);
  const gone = ended.then((why): never => {
    throw new ClientFailure('desktop', why ?? 'the viewer ended before it connected');
  });
  const connected = once(server, 'connection', { signal: AbortSignal.any([signal, waited]) });
  try {
    const [socket] = (await Promise.race([connected, gone])) as [Socket];
    return socket;
  } catch (error) {
    signal.throwIfAborted();
    if (waited.aborted) throw new ClientFailure('desktop', 'the viewer does not connect');
    throw error;
  }
}
