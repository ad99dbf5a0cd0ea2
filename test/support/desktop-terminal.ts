/**
 * A real xterm as the session of every desktop, in which a test has commands run: with the
 * environment, the terminal and the user that a person in the desktop would have. Runs in: test, in
 * the lab.
 */
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { eventually } from './child.ts';
import type { LabUser } from './lab.ts';
import type { TestServer } from './server.ts';
import type { ClientOptions } from './stock-client.ts';
import { greetRfb, openSubsystem, type Talk } from './desktop-session.ts';

const script = '/tmp/desktop-terminal';

/** For `startDesktopServer`. */
export const terminalSession = `xterm -e /bin/sh ${script}`;

/** Reads the names of commands from a pipe of the user's, and runs each. */
const loop = `cd "$HOME/terminal" || exit
exec 3<>orders
touch ready
while read -r name <&3; do
  (sh "./$name.sh" >"$name.out" 2>&1 </dev/null 3<&-; echo $? >"$name.new"; mv "$name.new" "$name.status") &
done
`;

export interface TerminalOutcome {
  readonly status: number;
  /** stdout and stderr, as they came. */
  readonly text: string;
}

/** What `ssh-add -l` says where nobody has brought an agent. */
export const refusedByAgent: TerminalOutcome = {
  status: 1,
  text: 'error fetching identities: agent refused operation\n',
};

/** The terminal of the one desktop that `user` has. */
export class DesktopTerminal {
  readonly #folder: string;
  readonly #user: LabUser;
  #last = 0;

  constructor(user: LabUser) {
    this.#user = user;
    this.#folder = path.join(user.home, 'terminal');
    writeFileSync(script, loop, { mode: 0o755 });
    this.prepare();
  }

  /** Before a desktop is started. */
  prepare(): void {
    rmSync(this.#folder, { recursive: true, force: true });
    mkdirSync(this.#folder, { mode: 0o700 });
    execFileSync('mkfifo', ['-m', '600', path.join(this.#folder, 'orders')]);
    for (const name of [this.#folder, path.join(this.#folder, 'orders')]) {
      chownSync(name, this.#user.uid, this.#user.gid);
    }
  }

  /** The name of a command that runs from here on. */
  async start(command: string): Promise<string> {
    await eventually('the terminal', () => existsSync(path.join(this.#folder, 'ready')), 20_000);
    const name = `command-${++this.#last}`;
    const file = path.join(this.#folder, `${name}.sh`);
    writeFileSync(`${file}.new`, `${command}\n`, { mode: 0o644 });
    renameSync(`${file}.new`, file);
    writeFileSync(path.join(this.#folder, 'orders'), `${name}\n`);
    return name;
  }

  hasEnded(name: string): boolean {
    return existsSync(path.join(this.#folder, `${name}.status`));
  }

  /** Of a command, so far. */
  text(name: string): string {
    return readFileSync(path.join(this.#folder, `${name}.out`), 'utf8');
  }

  async outcome(name: string, timeoutMs = 20_000): Promise<TerminalOutcome> {
    await eventually(`the end of ${name}`, () => this.hasEnded(name), timeoutMs);
    const status = readFileSync(path.join(this.#folder, `${name}.status`), 'utf8');
    return { status: Number(status), text: this.text(name) };
  }

  async run(command: string): Promise<TerminalOutcome> {
    return this.outcome(await this.start(command));
  }
}

/** Somebody looks at his desktop through `ssh -s HOST rfb`, until he goes. */
export class Onlooker implements AsyncDisposable {
  readonly #talk: Talk;

  private constructor(talk: Talk) {
    this.#talk = talk;
  }

  static async come(server: TestServer, options: ClientOptions): Promise<Onlooker> {
    const talk = openSubsystem(server, 'rfb', options);
    try {
      await greetRfb(talk);
    } catch (error) {
      talk.child.kill('SIGKILL');
      throw new Error(`no picture: ${talk.stderr()}`, { cause: error });
    }
    return new Onlooker(talk);
  }

  /** The client ends; that the server knows is seen in what it does. */
  async go(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#talk.child.kill(signal);
    await this.#talk.status;
  }

  get hasEnded(): Promise<number | null> {
    return this.#talk.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.go('SIGKILL');
  }
}
