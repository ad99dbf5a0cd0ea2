/**
 * The NX-style dialogue in front of a desktop: lines in, lines out, strictly in order, each reply in
 * one write, and at last the raw bytes behind `bye`. Knows nothing of SSH; the phase it begins in is
 * handed in, so that a login can stand in front of it. Runs in: worker.
 */
import { StringDecoder } from 'node:string_decoder';
import type { Command, CommandContext, Phase, Reply } from './command.ts';
import type { Desktop, DisplayContext, LoginContext, Viewer } from './desktops.ts';
import { inputLimits } from './input-limits.ts';
import { echoOf, maxReplyLineCharacters, printable } from './shown-text.ts';
import { maskSecrets, parseParameters } from './parameters.ts';
import { answerOf, withoutReturn } from './questions.ts';

export type DialogueEnd =
  | { readonly is: 'closed'; readonly status: number }
  /** `unread`: what came behind `bye` and its line end. */
  | { readonly is: 'tunnel'; readonly viewer: Viewer; readonly unread: Buffer };

export interface DialogueHost extends DisplayContext, Partial<Pick<LoginContext, 'login'>> {
  /** Returns false when no more should be written until `drained` was called. */
  write(bytes: Buffer): boolean;
  /** Input may go on; called after every `receive` that returned false, unless it has ended. */
  ready(): void;
  /** Once; nothing is written afterwards. */
  ended(end: DialogueEnd): void;
}

/** Clients read the three numbers and stop at the first blank; they refuse 4 and above. */
export const dialogueVersion = '3.5.0-1 - OSS';
const lineFeed = 0x0a;
const commandPrompt = 'NX> 105 ';
const parametersPrompt = 'NX> 106 Parameters: ';
/** As those for a user and a password: a client knows by the code what its terminal may show. */
const answerPrompts = { shown: 'NX> 101 Answer: ', hidden: 'NX> 102 Answer: ' };
interface Session {
  readonly desktop: Desktop;
  readonly viewer: Viewer;
}

export class Dialogue {
  readonly #host: DialogueHost;
  readonly #commands: ReadonlyMap<string, Command>;
  #phase: Phase;
  #session: Session | undefined;
  /** The command that waits for its line of parameters. */
  #asking: Command | undefined;
  /** The next line is for the command that runs; undefined: there will be none. */
  #answered:
    | { readonly take: (line: Buffer | undefined) => void; readonly isEscaped: boolean }
    | undefined;
  #hasPasswordMode = false;
  #input: Buffer = Buffer.alloc(0);
  /** Up to here there is no line end in it. */
  #scanned = 0;
  #inputBytes = 0;
  #lines = 0;
  #isBusy = false;
  #isBlocked = false;
  #isInputOver = false;
  #hasEnded = false;

  constructor(host: DialogueHost, commands: readonly Command[], phase: Phase) {
    this.#host = host;
    this.#commands = new Map(commands.map((command) => [command.verb, command]));
    this.#phase = phase;
  }

  /** The greeting; for a user who is known already the welcome too. */
  start(): void {
    const welcome = this.#phase === 'login' ? [] : [this.#welcome];
    this.#write([`HELLO NXSERVER - Version ${dialogueVersion}`, ...welcome], commandPrompt);
  }

  get #welcome(): string {
    const { hostName, desktops } = this.#host;
    return `NX> 103 Welcome to: ${printable(hostName)} user: ${printable(desktops.user)}`;
  }

  /** Returns false while a command runs or replies wait: no more is to be given until `ready`. */
  receive(bytes: Buffer): boolean {
    if (this.#hasEnded) {
      return true;
    }
    this.#inputBytes += bytes.length;
    this.#take(bytes);
    this.#advance();
    return this.#hasEnded || this.#mayGoOn;
  }

  /** What is joined is erased: there may be an answer in it. */
  #take(bytes: Buffer): void {
    const before = this.#input;
    if (before.length === 0) {
      this.#input = bytes;
      return;
    }
    this.#input = Buffer.concat([before, bytes]);
    before.fill(0);
    bytes.fill(0);
  }

  /** What was written has gone. */
  drained(): void {
    this.#isBlocked = false;
    this.#advance();
    if (this.#mayGoOn) {
      this.#host.ready();
    }
  }

  get #mayGoOn(): boolean {
    const isWanted = !this.#isBusy || this.#answered !== undefined;
    return isWanted && !this.#isBlocked && !this.#hasEnded;
  }

  /** The client sends no more: what came is answered, then it is over as with `quit`. */
  endInput(): void {
    this.#isInputOver = true;
    this.#advance();
  }

  /** The channel is gone. */
  abandon(): void {
    this.#finish({ is: 'closed', status: 1 });
  }

  #advance(): void {
    while (this.#mayGoOn) {
      const { maxLineBytes, maxLines, maxInputBytes } = inputLimits[this.#phase];
      const end = this.#input.indexOf(lineFeed, this.#scanned);
      if (end < 0) {
        this.#scanned = this.#input.length;
        if (this.#input.length > maxLineBytes) {
          this.#overflow('the line is too long');
        } else if (this.#isInputOver) {
          this.#finish({ is: 'closed', status: 0 });
        }
        return;
      }
      const line = this.#input.subarray(0, end);
      this.#input = this.#input.subarray(end + 1);
      this.#scanned = 0;
      this.#lines++;
      if (line.length > maxLineBytes) {
        this.#overflow('the line is too long');
      } else if (this.#lines > maxLines || this.#inputBytes > maxInputBytes) {
        this.#overflow('too much input');
      } else {
        this.#line(line);
      }
    }
  }

  #overflow(why: string): void {
    this.#write([`NX> 500 ERROR: ${why}.`, 'NX> 999 Bye.'], '');
    this.#finish({ is: 'closed', status: 1 });
  }

  /** A question of the command that runs. */
  #ask(
    lines: readonly string[],
    promptText: string,
    isEscaped: boolean,
  ): Promise<Buffer | undefined> {
    const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
    if (this.#hasEnded) {
      resolve(undefined);
      return promise;
    }
    this.#write(lines, promptText);
    this.#answered = { take: resolve, isEscaped };
    this.#advance();
    if (this.#mayGoOn) {
      this.#host.ready();
    }
    return promise;
  }

  #line(bytes: Buffer): void {
    const answered = this.#answered;
    if (answered !== undefined) {
      this.#answered = undefined;
      answered.take(answered.isEscaped ? answerOf(bytes) : withoutReturn(bytes));
      return;
    }
    const text = new StringDecoder('utf8').end(bytes).replace(/\r+$/, '');
    const asking = this.#asking;
    if (asking !== undefined) {
      this.#asking = undefined;
      this.#run(asking, text, echoOf(text), '');
      return;
    }
    const [, verb = '', rest = ''] = /^\s*(\S*)\s*(.*)$/s.exec(text) ?? [];
    const echo = echoOf(text);
    if (verb === '') {
      this.#write([''], commandPrompt);
      return;
    }
    const command = this.#lookUp(verb);
    if (typeof command === 'string') {
      this.#write([echo, command], commandPrompt);
    } else if (command.takesParameters && rest === '') {
      this.#asking = command;
      this.#write([echo], parametersPrompt);
    } else {
      this.#run(command, command.takesParameters ? rest : '', echo, rest);
    }
  }

  /** The command, or the line that says why not. */
  #lookUp(verb: string): Command | string {
    const shown = printable(verb).slice(0, 64);
    const wanted = verb.toLowerCase();
    const command = this.#commands.get(wanted);
    const isBeforeLogin = this.#phase === 'login';
    if (command?.phases.includes(this.#phase)) {
      return command;
    }
    if (command === undefined) {
      return `NX> 503 Error: undefined command: '${shown}'`;
    }
    const when = isBeforeLogin ? 'before to login' : 'after login';
    return `NX> 554 Error: the command '${shown}' cannot be called ${when}`;
  }

  #run(command: Command, text: string, echo: string, rest: string): void {
    const parameters = parseParameters(text);
    if (parameters === undefined) {
      const shown = printable(maskSecrets(text)).slice(0, maxReplyLineCharacters);
      const error = `NX> 597 Error: Parsing parameters: string "${shown}" has invalid format`;
      this.#write([echo, error], commandPrompt);
      return;
    }
    const line = { shown: echo };
    const context = this.#context(line, rest);
    // Before it runs: what it asks for is answered by the next line, which may be there already.
    this.#isBusy = true;
    const reply = command.run(context, parameters);
    if (!(reply instanceof Promise)) {
      this.#isBusy = false;
      this.#answer(line.shown, reply);
      return;
    }
    reply.then(
      (answer) => this.#resume(() => this.#answer(line.shown, answer)),
      (error: unknown) => {
        this.#resume(() => {
          this.#write([line.shown, 'NX> 595 ERROR: A fatal error occurred in NX Server.'], '');
          this.#finish({ is: 'closed', status: 1 });
        });
        this.#host.fault(error);
      },
    );
  }

  /** `line`: where the client's terminal is; nothing, behind an answer. */
  #context(line: { shown: string }, rest: string): CommandContext {
    const host = this.#host;
    const take = (instead?: string): string => {
      const first = instead ?? line.shown;
      line.shown = '';
      return first;
    };
    return {
      get desktops() {
        return host.desktops;
      },
      hostName: host.hostName,
      defaultProtocol: host.defaultProtocol,
      version: dialogueVersion,
      rest,
      hasPasswordMode: this.#hasPasswordMode,
      setPasswordMode: () => {
        this.#hasPasswordMode = true;
      },
      setSession: (desktop, viewer) => this.#setSession(desktop, viewer),
      ask: (lines, isShown) =>
        this.#ask([take(), ...lines], isShown ? answerPrompts.shown : answerPrompts.hidden, true),
      askLogin: ({ promptText, echo }) => this.#ask([take(echo)], promptText, false),
      login: (user, password) => this.#login(user, password),
    };
  }

  /** The welcome, once the user is known; undefined: no. */
  async #login(user: Buffer, password: Buffer): Promise<string | undefined> {
    const isKnown = (await this.#host.login?.(user, password)) ?? false;
    if (!isKnown || this.#hasEnded) {
      return undefined;
    }
    this.#phase = 'ready';
    this.#lines = 0;
    this.#inputBytes = this.#input.length;
    return this.#welcome;
  }

  #resume(answer: () => void): void {
    this.#isBusy = false;
    if (this.#hasEnded) {
      this.#dropSession();
      return;
    }
    answer();
    this.#advance();
    if (this.#mayGoOn) {
      this.#host.ready();
    }
  }

  #setSession(desktop: Desktop, viewer: Viewer): void {
    this.#dropSession();
    this.#session = { desktop, viewer };
    this.#phase = 'session';
    viewer.onEnd = () => {
      if (this.#session?.viewer === viewer && !this.#hasEnded) {
        this.#dropSession();
      }
    };
    viewer.stream.on('error', () => {
      // Told by the end of the stream, whoever has it then.
    });
  }

  #dropSession(): void {
    const session = this.#session;
    this.#session = undefined;
    if (this.#phase === 'session') {
      this.#phase = 'ready';
    }
    session?.viewer.stream.destroy();
  }

  #answer(line: string, { lines, then, echo = line }: Reply): void {
    this.#write([echo, ...lines.map(printable)], then === 'prompt' ? commandPrompt : '');
    if (then === 'tunnel' && this.#session !== undefined) {
      const { viewer } = this.#session;
      this.#session = undefined;
      const unread = this.#input;
      this.#input = Buffer.alloc(0);
      this.#hasEnded = true;
      this.#host.ended({ is: 'tunnel', viewer, unread });
    } else if (then !== 'prompt') {
      this.#finish({ is: 'closed', status: 0 });
    }
  }

  #write(lines: readonly string[], promptText: string): void {
    const text = lines.map((line) => `${line.slice(0, 2 * maxReplyLineCharacters)}\n`).join('');
    this.#isBlocked = !this.#host.write(Buffer.from(text + promptText)) || this.#isBlocked;
  }

  #finish(end: DialogueEnd): void {
    if (!this.#hasEnded) {
      this.#hasEnded = true;
      this.#input.fill(0); // a password may be among what is not read any more
      this.#input = Buffer.alloc(0);
      this.#answered?.take(undefined);
      this.#answered = undefined;
      this.#dropSession();
      this.#host.ended(end);
    }
  }
}
