/**
 * A viewer of NX: Debian's nxproxy on an X server of the test's, its bytes carried through the dialogue's
 * channel of a stock `ssh`. The test carries them: while it stands still, the viewer does. Runs in:
 * test, in the lab.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openSubsystem, type Talk } from './desktop-session.ts';
import type { TestServer } from './server.ts';
import type { ClientOptions } from './stock-client.ts';
import type { XServer } from './x-server.ts';

/** What the server said of the session: lines by code. */
export type Said = ReadonlyMap<number, string>;

export class NxDialogue {
  readonly talk: Talk;

  private constructor(talk: Talk) {
    this.talk = talk;
  }

  static async open(server: TestServer, options: ClientOptions): Promise<NxDialogue> {
    return NxDialogue.over(openSubsystem(server, 'display', options));
  }

  /** On a channel that is there already, up to its first prompt. */
  static async over(talk: Talk): Promise<NxDialogue> {
    await talk.incoming.takeTo('NX> 105 ');
    return new NxDialogue(talk);
  }

  async command(line: string): Promise<string> {
    this.talk.child.stdin.write(`${line}\n`);
    return await this.talk.incoming.takeTo('NX> 105 ');
  }

  /** Throws what was answered instead. */
  async session(line: string): Promise<Said> {
    const text = await this.command(line);
    if (!text.includes('NX> 710 ')) {
      throw new Error(text);
    }
    return new Map(
      [...text.matchAll(/^NX> (\d+) [^:\n]*: (.*)$/gm)].map(([, code, value]) => [
        Number(code),
        value ?? '',
      ]),
    );
  }

  /** `bye`, and the proxy on this screen. */
  async view(said: Said, screen: XServer): Promise<NxViewer> {
    this.talk.child.stdin.write('bye\n');
    await this.talk.incoming.takeTo('NX> 999 Bye.\n');
    return await NxViewer.start(this.talk, said, screen);
  }
}

export class NxViewer implements AsyncDisposable {
  readonly proxy: ChildProcess;
  readonly #folder: string;
  readonly #talk: Talk;

  private constructor(proxy: ChildProcess, folder: string, talk: Talk) {
    this.proxy = proxy;
    this.#folder = folder;
    this.#talk = talk;
  }

  static async start(talk: Talk, said: Said, screen: XServer): Promise<NxViewer> {
    const folder = mkdtempSync(path.join(tmpdir(), 'nx-viewer-'));
    const socket = path.join(folder, 'proxy.sock');
    const display = said.get(705);
    mkdirSync(path.join(folder, 'root'));
    writeFileSync(
      path.join(folder, 'options'),
      `nx/nx,session=session,cookie=${said.get(701)},root=${folder}/root,id=test,shmem=1,shpix=1,connect=unix:${socket}:${display}\n`,
      { mode: 0o600 },
    );
    const server = createServer({ pauseOnConnect: true });
    server.listen(socket);
    await once(server, 'listening');
    const proxy = spawn('nxproxy', ['-S', `nx/nx,options=${folder}/options:${display}`], {
      env: { ...screen.environment, HOME: folder, NX_ROOT: `${folder}/root` },
      stdio: 'ignore',
    });
    const [connection] = (await once(server, 'connection', {
      signal: AbortSignal.timeout(15_000),
    })) as [Socket];
    server.close();
    connection.on('error', () => undefined);
    connection.write(talk.incoming.held);
    talk.child.stdout.removeAllListeners('data');
    talk.child.stdout.pipe(connection);
    connection.pipe(talk.child.stdin);
    return new NxViewer(proxy, folder, talk);
  }

  /** What it says of itself. */
  log(): string {
    const root = path.join(this.#folder, 'root');
    return readdirSync(root)
      .filter((name) => name.startsWith('S-'))
      .map((name) => path.join(root, name, 'session'))
      .map((file) => readFileSync(file, 'utf8'))
      .join('');
  }

  /** The proxy has ended, by whatever. */
  async gone(): Promise<void> {
    if (this.proxy.exitCode === null && this.proxy.signalCode === null) {
      await once(this.proxy, 'exit', { signal: AbortSignal.timeout(15_000) });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.proxy.kill('SIGTERM');
    this.#talk.child.kill('SIGTERM');
    await this.#talk.status;
    await this.gone();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
