/** The machine's log as its daemon would read it: datagrams on /dev/log (RFC 3164). Runs in: test, in the lab. */
import { lstatSync, mkdirSync, readlinkSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Child, eventually, output } from './child.ts';

export interface SyslogLine {
  readonly facility: number;
  readonly severity: number;
  readonly tag: string;
  readonly number: number | undefined;
  readonly text: string;
  /** As it came, without priority. */
  readonly whole: string;
}

/** Where syslog(3) sends; a link of the host's leads into a folder of the lab's own. */
export function syslogSocket(): string {
  const wellKnown = '/dev/log';
  const isLink = lstatSync(wellKnown, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  const socket = isLink ? path.resolve('/dev', readlinkSync(wellKnown)) : wellKnown;
  mkdirSync(path.dirname(socket), { recursive: true });
  return socket;
}

// Node has no datagram sockets of this kind. `silent`: bound, never read.
const program = `use Socket; socket(S, PF_UNIX, SOCK_DGRAM, 0) or die; unlink $ARGV[0];
bind(S, pack_sockaddr_un($ARGV[0])) or die $!; chmod 0666, $ARGV[0]; $| = 1; print "ready\\n";
sleep 600 if $ARGV[1]; while (defined recv(S, my $line, 65536, 0)) { $line =~ s/\\0//g; print "$line\\n"; }`;

function parse(line: string): SyslogLine {
  const [, priority, stamp, tag = '', number, text = ''] =
    /^<(\d+)>(\w{3} [ \d]\d \d\d:\d\d:\d\d) ([^[:]+)(?:\[(\d+)\])?: (.*)$/.exec(line) ?? [];
  if (priority === undefined) {
    throw new Error(`no line of syslog: ${line}`);
  }
  return {
    facility: Number(priority) >> 3,
    severity: Number(priority) & 7,
    tag,
    number: number === undefined ? undefined : Number(number),
    text,
    whole: `${stamp} host ${tag}${number === undefined ? '' : `[${number}]`}: ${text}`,
  };
}

export class SyslogReader implements AsyncDisposable {
  readonly #child: Child;
  readonly #socket: string;
  #marks = 0;

  private constructor(child: Child, socket: string) {
    this.#child = child;
    this.#socket = socket;
  }

  /** `readsNothing`: the socket is there, and soon full. */
  static async start({ readsNothing = false } = {}): Promise<SyslogReader> {
    const socket = syslogSocket();
    const child = new Child('perl', ['-e', program, socket, readsNothing ? '1' : '']);
    await eventually('the log is read', () => child.stdout.includes('ready\n'));
    return new SyslogReader(child, socket);
  }

  get lines(): readonly SyslogLine[] {
    const whole = this.#child.stdout.slice('ready\n'.length);
    return whole
      .slice(0, whole.lastIndexOf('\n') + 1)
      .split('\n')
      .filter(Boolean)
      .map(parse);
  }

  /** As it came. */
  get stdout(): string {
    return this.#child.stdout;
  }

  /** All that was sent before has been read. */
  async caughtUp(): Promise<void> {
    const mark = `mark-${this.#marks++}`;
    await output('logger', ['-t', 'reader', mark]);
    await eventually('the log is read up to here', () => this.#child.stdout.includes(`${mark}\n`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop();
    rmSync(this.#socket, { force: true });
  }
}
