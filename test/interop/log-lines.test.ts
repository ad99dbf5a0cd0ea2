/** The log, line by line beside Debian's sshd: the same attempts on both, read where syslog reads. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/child.ts';
import { inLab } from '../support/lab.ts';
import { type Attempt, attempts, type LogStage, makeLogStage } from '../support/log-attempts.ts';
import { commonLines, normalised } from '../support/log-differences.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SyslogReader } from '../support/syslog.ts';

const lab = inLab(import.meta.url, 280_000);
/** Ours, so that the two can be told apart. */
const ourTag = 'sshdesk-test';

type Kind = 'sshd' | 'sshdesk';

/** Two servers with one configuration and the log of both. */
class Pair implements AsyncDisposable {
  readonly #reader: SyslogReader;
  readonly servers: Readonly<Record<Kind, TestServer>>;
  /** Lines of each that were compared. */
  readonly #compared = { sshd: 0, sshdesk: 0 };
  /** Processes of each with no connection. */
  #atRest = { sshd: 0, sshdesk: 0 };

  private constructor(reader: SyslogReader, sshdesk: TestServer, sshd: TestServer) {
    this.#reader = reader;
    this.servers = { sshd, sshdesk };
  }

  static async start(reader: SyslogReader, config: readonly string[]): Promise<Pair> {
    const options = { config, logsToSyslog: true, desktopConfig: [`LogTag ${ourTag}`] };
    const ours = await startServer({ ...options, kind: 'sshdesk' });
    const pair = new Pair(reader, ours, await startServer({ ...options, kind: 'sshd' }));
    for (const kind of ['sshd', 'sshdesk'] as const) {
      const isUp = (): boolean =>
        pair.#lines(kind).some((line) => line.includes('Server listening'));
      await eventually(`${kind} listens`, isUp);
    }
    pair.#skip();
    pair.#atRest = { sshd: pair.servers.sshd.processes().length, sshdesk: ours.processes().length };
    return pair;
  }

  /** All lines of one, PAM modules' too, each with facility and severity. */
  #lines(kind: Kind): readonly string[] {
    const tag = kind === 'sshd' ? 'sshd' : ourTag;
    return this.#reader.lines
      .filter((line) => line.tag === tag)
      .map(({ facility, severity, text }) => `${facility}.${severity} ${normalised(text)}`);
  }

  #skip(): void {
    this.#compared.sshd = this.#lines('sshd').length;
    this.#compared.sshdesk = this.#lines('sshdesk').length;
  }

  /** What one has said since the last comparison, as far as both must say it. */
  #news(name: string, kind: Kind): readonly string[] {
    return this.#lines(kind)
      .slice(this.#compared[kind])
      .map((line) => {
        const [, head = '', text = ''] = /^(\d+\.\d )(.*)$/.exec(line) ?? [];
        return commonLines(name, kind, [text]).map((kept) => `${head}${kept}`);
      })
      .flat();
  }

  async compare(name: string, attempt: Attempt, stage: LogStage): Promise<void> {
    await Promise.all([
      attempt(this.servers.sshdesk, stage).catch(() => undefined),
      attempt(this.servers.sshd, stage).catch(() => undefined),
    ]);
    // Whoever still serves it has more to say, which would be taken for the next attempt's.
    const isOver = (): boolean =>
      (['sshd', 'sshdesk'] as const).every(
        (kind) => this.servers[kind].processes().length <= this.#atRest[kind],
      );
    await eventually('nobody serves it any more', isOver, 15_000);
    await this.#reader.caughtUp();
    const isSame = (): boolean => {
      const [ours, theirs] = [this.#news(name, 'sshdesk'), this.#news(name, 'sshd')];
      return ours.length > 0 && ours.join('\n') === theirs.join('\n');
    };
    // Lines of the end may be on their way; those of a later attempt would show what came too late.
    await eventually('the same lines', isSame, 4000).catch(() => undefined);
    const [ours, theirs] = [this.#news(name, 'sshdesk'), this.#news(name, 'sshd')];
    this.#skip();
    assert.deepEqual(ours, theirs);
    assert.ok(ours.length > 0, 'no lines at all');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.servers.sshdesk.stop();
    await this.servers.sshd.stop();
  }
}

describe('the log beside sshd’s', lab, () => {
  let stage: LogStage;
  let reader: SyslogReader;
  before(async () => {
    stage = makeLogStage();
    reader = await SyslogReader.start();
  });
  after(async () => await reader?.[Symbol.asyncDispose]());

  describe('line by line at VERBOSE', () => {
    let pair: Pair;
    before(async () => {
      pair = await Pair.start(reader, stage.config);
    });
    after(async () => await pair?.[Symbol.asyncDispose]());
    for (const [name, attempt] of Object.entries(attempts)) {
      test(name, async () => await pair.compare(name, attempt, stage));
    }
  });
});
