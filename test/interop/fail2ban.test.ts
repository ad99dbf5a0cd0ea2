/**
 * fail2ban's own filter for sshd, as Debian ships it, on our log and on sshd's after the same
 * attempts: it finds the same. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inLab } from '../support/lab.ts';
import { attempts, makeLogStage } from '../support/log-attempts.ts';
import { type ServerKind, startServer } from '../support/server.ts';
import { SyslogReader } from '../support/syslog.ts';

const lab = inLab(import.meta.url, 280_000);
const program = '/usr/bin/fail2ban-regex';
const skip = existsSync(program) ? lab.skip : 'fail2ban is not installed (./setup --test)';

/** Where the connection ends earlier here, or tells more (docs/reference/log.md). */
const left = new Set([
  'a name of 5000 letters',
  'another service',
  'a message before its time',
  'PAM refuses the account after a conversation',
  'too many conversations',
]);

const modes = ['normal', 'ddos', 'extra', 'aggressive'] as const;

interface Found {
  readonly matched: number;
  /** How often each expression of the filter matched, by its number. */
  readonly hits: readonly string[];
}

function found(file: string, mode: string): Found {
  const text = execFileSync(program, [file, `sshd[mode=${mode}]`], { encoding: 'utf8' });
  const section = /^Failregex: (\d+) total\n([\s\S]*?)\n\n/m.exec(text);
  assert.ok(section !== null, text);
  const hits = (section[2] as string)
    .split('\n')
    .flatMap((line) => /\d+\) \[\d+\]/.exec(line) ?? []);
  return { matched: Number(section[1]), hits };
}

describe('fail2ban’s filter for sshd', { ...lab, skip }, () => {
  const files: Record<ServerKind, string> = { sshdesk: '/tmp/ours.log', sshd: '/tmp/theirs.log' };

  before(async () => {
    const stage = makeLogStage();
    await using reader = await SyslogReader.start();
    for (const kind of ['sshdesk', 'sshd'] as const) {
      const from = reader.lines.length;
      const { config } = stage;
      const server = await startServer({ kind, config, logsToSyslog: true });
      for (const [name, attempt] of Object.entries(attempts)) {
        if (!left.has(name)) {
          await attempt(server, stage).catch(() => undefined);
        }
      }
      for (let count = -1; count !== reader.lines.length; await delay(500)) {
        count = reader.lines.length;
      }
      await server.stop();
      const lines = reader.lines.slice(from).filter(({ tag }) => tag === 'sshd');
      writeFileSync(files[kind], lines.map(({ whole }) => `${whole}\n`).join(''));
    }
  });

  for (const mode of modes) {
    test(`mode ${mode}: the same number of hits of the same expressions`, () => {
      const ours = found(files.sshdesk, mode);
      assert.deepEqual(ours, found(files.sshd, mode));
      assert.ok(ours.matched > 20, `${ours.matched} hits`);
    });
  }

  test('every connection has a number of its own, or a login would wash off what another did', () => {
    const lines = readFileSync(files.sshdesk, 'utf8').split('\n').filter(Boolean);
    const numberOf = (line: string): string => /sshd\[(\d+)\]/.exec(line)?.[1] ?? '';
    const begun = lines.filter((line) => line.includes(']: Connection from ')).map(numberOf);
    assert.equal(new Set(begun).size, begun.length);
    assert.ok(begun.length > 80, `${begun.length} connections`);
    const ofPam = lines.filter((line) => line.includes(': pam_unix('));
    assert.ok(ofPam.length > 20, `${ofPam.length} lines of PAM`);
    const strangers = lines.filter((line) => !begun.includes(numberOf(line)));
    // What is said of no connection.
    assert.ok(strangers.length < 5, strangers.join('\n'));
    assert.deepEqual(
      ofPam.filter((line) => !begun.includes(numberOf(line))),
      [],
    );
  });
});
