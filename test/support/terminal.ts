/**
 * A program in a terminal of its own (Debian's `script`), typed into and read from by a test; the
 * size can be changed under it as a window manager does. Runs in: test.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
  readonly widthPixels?: number;
  readonly heightPixels?: number;
}

export interface Terminal {
  /** Everything that was shown so far, CR LF as LF, without escape sequences. */
  shown(): string;
  type(text: string): void;
  /** Waits until what was shown after `from` matches. */
  shows(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>;
  resize(size: TerminalSize): void;
  /** Pulls the plug: the program gets SIGKILL. */
  kill(): void;
  /** Exit status of the program. */
  readonly ended: Promise<number | null>;
}

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

function pack(size: TerminalSize): string {
  return [size.rows, size.columns, size.widthPixels ?? 0, size.heightPixels ?? 0].join(' ');
}

/** `stty` holds arguments of stty(1), applied before the program starts. */
export function openTerminal(
  file: string,
  args: readonly string[],
  size: TerminalSize,
  stty: readonly string[] = [],
): Terminal {
  const pidFile = `/tmp/terminal-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const setSize = `perl -e 'ioctl(STDIN, 0x5414, pack("S4", @ARGV)) or die $!' ${pack(size)}`;
  const setModes = stty.length === 0 ? ':' : `stty ${stty.map(quote).join(' ')}`;
  const command = `${setSize} && ${setModes} && echo $$ > ${pidFile} && exec ${[file, ...args].map(quote).join(' ')}`;
  const child: ChildProcessWithoutNullStreams = spawn(
    'script',
    ['-q', '-e', '-f', '-c', command, '/dev/null'],
    { env: { PATH: '/usr/bin:/bin', HOME: '/root', TERM: 'xterm', SHELL: '/bin/sh' } },
  );
  let output = '';
  child.stdout.setEncoding('latin1');
  child.stdout.on('data', (chunk: string) => {
    output += chunk;
  });
  // Typed at after its end: the outcome tells.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status));
  });
  // Colours, titles and bracketed paste are the shell's business.
  const shown = () =>
    output
      // biome-ignore lint/suspicious/noControlCharactersInRegex: it is control characters that go
      .replaceAll(/\x1b\[[?\d;]*[a-zA-Z]|\x1b\][^\x07]*\x07/g, '')
      .replaceAll('\r\n', '\n')
      .replaceAll('\r', '');
  const pid = (): number => Number(readFileSync(pidFile, 'utf8'));
  return {
    shown,
    type: (text) => void child.stdin.write(text),
    async shows(pattern, timeoutMs = 8_000) {
      const until = Date.now() + timeoutMs;
      for (;;) {
        const match = shown().match(pattern);
        if (match !== null) {
          return match;
        }
        if (Date.now() > until) {
          throw new Error(`${pattern} was not shown:\n${shown()}`);
        }
        await delay(20);
      }
    },
    resize(next) {
      const tty = readlinkSync(`/proc/${pid()}/fd/0`);
      execFileSync('perl', [
        '-e',
        'open(T, "+<", shift) or die $!; ioctl(T, 0x5414, pack("S4", @ARGV)) or die $!',
        ...[tty, ...pack(next).split(' ')],
      ]);
    },
    kill() {
      if (existsSync(pidFile)) {
        try {
          process.kill(pid(), 'SIGKILL');
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ESRCH') {
            throw error; // else it has ended by itself
          }
        }
      } else {
        child.kill('SIGKILL');
      }
    },
    ended,
  };
}
