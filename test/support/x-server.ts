/**
 * X servers for tests: Xvnc with RFB on a Unix socket, Xvfb as the screen of a viewer. Free display
 * numbers are taken by the servers themselves (-displayfd).
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

export interface XServerOptions {
  readonly geometry?: string;
}

export class XServer implements AsyncDisposable {
  readonly display: string;
  /** DISPLAY and XAUTHORITY for its clients, added to the environment of the test. */
  readonly environment: NodeJS.ProcessEnv;
  /** Of Xvnc; the empty string for Xvfb. */
  readonly rfbSocket: string;
  readonly folder: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, display: string, folder: string, rfbSocket: string) {
    this.#child = child;
    this.display = display;
    this.folder = folder;
    this.rfbSocket = rfbSocket;
    const XAUTHORITY = join(folder, 'Xauthority');
    this.environment = { ...process.env, DISPLAY: display, XAUTHORITY };
  }

  static async startXvnc({ geometry = '800x600' }: XServerOptions = {}): Promise<XServer> {
    const folder = await serverFolder();
    const socket = join(folder, 'rfb.sock');
    const args = `-geometry ${geometry} -depth 24 -rfbport -1 -rfbunixpath ${socket} -rfbunixmode 0600 -SecurityTypes None -nolisten tcp -AlwaysShared -noreset`;
    return XServer.#start('Xvnc', args.split(' '), folder, socket);
  }

  static async startXvfb({ geometry = '1024x768' }: XServerOptions = {}): Promise<XServer> {
    const folder = await serverFolder();
    const args = `-screen 0 ${geometry}x24 -nolisten tcp -noreset`;
    return XServer.#start('Xvfb', args.split(' '), folder, '');
  }

  static async #start(
    program: string,
    args: readonly string[],
    folder: string,
    rfbSocket: string,
  ): Promise<XServer> {
    const authority = join(folder, 'Xauthority');
    const child = spawn(program, ['-displayfd', '3', '-auth', authority, ...args], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const numbers = child.stdio[3] as Readable;
    try {
      const [line] = (await once(numbers, 'data', { signal: AbortSignal.timeout(15_000) })) as [
        Buffer,
      ];
      return new XServer(child, `:${line.toString('latin1').trim()}`, folder, rfbSocket);
    } catch (error) {
      child.kill('SIGKILL');
      await rm(folder, { recursive: true, force: true });
      throw new Error(`${program} does not start`, { cause: error });
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const closed = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      const stopped = await Promise.race([closed.then(() => true), delay(3000, false)]);
      if (!stopped) this.#child.kill('SIGKILL');
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A folder with a cookie that is good for any display number. */
async function serverFolder(): Promise<string> {
  await mkdir('/tmp/.X11-unix', { mode: 0o1777 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  if (process.getuid?.() === 0) await chmod('/tmp/.X11-unix', 0o1777);
  const folder = await mkdtemp(join(tmpdir(), 'sshdesk-x-'));
  const name = Buffer.from('MIT-MAGIC-COOKIE-1');
  const field = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const none = Buffer.alloc(0);
  await writeFile(
    join(folder, 'Xauthority'),
    Buffer.concat([
      Buffer.of(0xff, 0xff),
      field(none),
      field(none),
      field(name),
      field(randomBytes(16)),
    ]),
    { mode: 0o600 },
  );
  return folder;
}
