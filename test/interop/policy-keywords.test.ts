/**
 * Every keyword of the table, in a file and in a Match block, against Debian's sshd: the same verdict
 * of `-t`, and of files made at random the same lines of `-T` and `-T -C`. Runs in: test.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { accountOf } from '../../src/cli/serve/account.ts';
import { systemSource } from '../../src/policy/config-source.ts';
import { subjectOf } from '../../src/policy/connection-spec.ts';
import { dumpConfig } from '../../src/policy/dump.ts';
import { ConfigFailure } from '../../src/policy/failure.ts';
import { type LoadedServer, loadConfig } from '../../src/policy/load.ts';
import { deprecatedKeywords, meaninglessKeywords } from '../../src/policy/other-keywords.ts';
import { serverKeywords } from '../../src/policy/server-keywords.ts';
import { keywordSamples, type KeywordSamples } from '../support/keyword-samples.ts';

const sshd = '/usr/sbin/sshd';
const skip = existsSync(sshd) ? false : `${sshd} is not installed`;
const run = promisify(execFile);
let folder = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'policy-keywords-'));
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, 'key')]);
});
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

const names = [
  ...serverKeywords.flatMap((row) => [row.name, ...row.aliases]),
  ...deprecatedKeywords,
  ...meaninglessKeywords,
];

function samplesOf(name: string): KeywordSamples {
  const samples = keywordSamples[name];
  assert.ok(samples !== undefined, `no samples of ${name}: test/support/keyword-samples.ts`);
  return samples;
}

function write(name: string, lines: readonly string[]): string {
  const path = join(folder, name);
  writeFileSync(path, `HostKey ${folder}/key\n${lines.join('\n').replaceAll('FOLDER', folder)}\n`);
  return path;
}

interface Verdict {
  readonly isTaken: boolean;
  readonly text: string;
}

async function theirs(path: string): Promise<Verdict> {
  return run(sshd, ['-t', '-f', path], { timeout: 20_000 }).then(
    () => ({ isTaken: true, text: '' }),
    ({ stderr }: { stderr: string }) => ({ isTaken: false, text: stderr }),
  );
}

async function load(path: string): Promise<LoadedServer> {
  return loadConfig({ file: path, commandLine: [], source: systemSource() });
}

async function ours(path: string): Promise<Verdict> {
  return load(path).then(
    () => ({ isTaken: true, text: '' }),
    (error: unknown) => {
      assert.ok(error instanceof ConfigFailure, String(error));
      return { isTaken: false, text: error.message };
    },
  );
}

test('every keyword of the table has samples and a line in the reference, and no other has', () => {
  const reference = readFileSync(
    new URL('../../docs/reference/config.md', import.meta.url),
    'utf8',
  );
  for (const name of names) {
    samplesOf(name);
    assert.match(reference, new RegExp(`\\b${name}\\b`), name);
  }
});

/** What such a row refuses beyond sshd is refused loudly: what it would turn on is not there. */
const refusing = new Set(
  serverKeywords
    .filter(({ effect }) => effect === 'fixed')
    .flatMap((row) => [row.name, ...row.aliases]),
);

/** What is wrong with the verdict; undefined: nothing. */
async function compare(
  name: string,
  value: string,
  isInMatch: boolean,
): Promise<string | undefined> {
  const { isNewer = false, isNewerInMatch = false } = samplesOf(name);
  const line = `${name} ${value}`;
  const path = write('one', isInMatch ? ['Match User alice', line] : [line]);
  const mine = await ours(path);
  const yours = await theirs(path);
  if (isNewer) {
    const isGood = samplesOf(name).good.includes(value);
    return !yours.isTaken && (isInMatch || mine.isTaken === isGood)
      ? undefined
      : `${line}: ${mine.text} / ${yours.text}`;
  }
  if (isInMatch && isNewerInMatch) {
    return yours.isTaken ? `${line}: taken by sshd` : undefined;
  }
  if (refusing.has(name) && yours.isTaken && /" is not supported\. .+ Say "/.test(mine.text)) {
    return undefined;
  }
  return mine.isTaken === yours.isTaken ? undefined : `${line}: ${mine.text} / ${yours.text}`;
}

test('-t judges every keyword as sshd does, in the file', { skip, timeout: 240_000 }, async () => {
  const differences: (string | undefined)[] = [];
  for (const name of names) {
    const { good, wrong } = samplesOf(name);
    for (const value of [...good, ...wrong]) {
      differences.push(await compare(name, value, false));
    }
  }
  assert.ok(differences.length > 300);
  assert.deepEqual(
    differences.filter((text) => text !== undefined),
    [],
  );
});

test('-t judges every keyword as sshd does, in a block', { skip, timeout: 240_000 }, async () => {
  const differences: (string | undefined)[] = [];
  for (const name of names) {
    const { good, wrong } = samplesOf(name);
    for (const value of [...good.slice(0, 2), ...wrong.slice(0, 1)]) {
      differences.push(await compare(name, value, true));
    }
  }
  assert.ok(differences.length > 200);
  assert.deepEqual(
    differences.filter((text) => text !== undefined),
    [],
  );
});

/** The same numbers at every run (xorshift32). */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** What we have in common: no line of these keywords unless the file has one. */
const ownDefaults = ['kexalgorithms', 'ciphers', 'macs', 'hostkeyalgorithms', 'ipqos'];
/** Their values are for one place, or are said otherwise by choice (docs/reference/config.md). */
const leftAlone = new Set([
  ...['HostKey', 'HostDSAKey', 'HostCertificate', 'ListenAddress', 'Include', 'Match'],
  ...[
    'MaxStartups',
    'PerSourceMaxStartups',
    'PerSourceNetBlockSize',
    'Subsystem',
    'AuthorizedKeysCommand',
    'AuthorizedPrincipalsCommand',
  ],
  ...[
    'AuthenticationMethods',
    'LogVerbose',
    'ChannelTimeout',

    ...meaninglessKeywords,
  ],
]);
const criteria = [
  'User root',
  'User r*,!root,daemon',
  'User !root,*',
  'Group root,!daemon',
  'Group daemon',
  'Group *',
  'Address 10.0.0.0/8',
  'Address !10.1.0.0/16,10.*',
  'Address 2001:db8::/32 User *',
  'Host *.example.org',
  'LocalAddress 127.0.0.0/8,::1',
  'LocalPort 22 User *',
  'User root Address 192.0.2.?',
  'RDomain blue,!red',
  'all',
];
const subjects = [
  'user=root,host=a.example.org,addr=10.1.2.3,laddr=127.0.0.1,lport=22',
  'user=daemon,host=10.2.2.3,addr=10.2.2.3,laddr=::1,lport=2222',
  'user=nobody-at-all,host=h,addr=192.0.2.7,laddr=10.0.0.1,lport=22,rdomain=blue',
  'user=root,host=H.EXAMPLE.ORG,addr=2001:db8::9,laddr=::1,lport=22',
  'user=bin,host=x,addr=192.0.2.44,laddr=127.0.0.1,lport=22,rdomain=red',
];

type Choice = readonly [name: string, value: string];

/** Every line is one that both take, in the file and (`isInMatch`) in a block. */
async function choices(isInMatch: boolean): Promise<readonly Choice[]> {
  const all = names
    .filter((name) => !leftAlone.has(name) && samplesOf(name).isNewer !== true)
    .flatMap((name) => samplesOf(name).good.map((value): Choice => [name, value]));
  const taken: Choice[] = [];
  for (const [name, value] of all) {
    const line = `${name} ${value}`;
    const path = write('choice', isInMatch ? ['Match User alice', line] : [line]);
    // The test above has compared the verdicts.
    if ((await ours(path)).isTaken) {
      taken.push([name, value]);
    }
  }
  return taken;
}

function common(lines: readonly string[], said: ReadonlySet<string>): readonly string[] {
  const known = new Set(
    serverKeywords
      .filter(({ name }) => samplesOf(name).isNewer !== true)
      .map(({ name }) => name.toLowerCase()),
  );
  return lines.filter((line) => {
    const name = line.split(' ')[0] ?? '';
    return known.has(name) && (!ownDefaults.includes(name) || said.has(name));
  });
}

const fileCount = 150;

test('-T and -T -C print what sshd prints, for files made at random', {
  skip,
  timeout: 300_000,
}, async () => {
  const [global, inMatch] = [await choices(false), await choices(true)];
  assert.ok(global.length > 200, `${global.length} lines`);
  assert.ok(inMatch.length > 120, `${inMatch.length} lines for blocks`);
  const differences: unknown[] = [];
  let compared = 0;
  for (let seed = 1; seed <= fileCount; seed++) {
    const throwDice = dice(seed * 2_654_435);
    const pick = <T>(list: readonly T[]): T => list[throwDice(list.length)] as T;
    const some = (list: readonly Choice[], most: number): readonly Choice[] =>
      Array.from({ length: 1 + throwDice(most) }, () => pick(list));
    const text = (list: readonly Choice[]): string[] =>
      list.map(([name, value]) => `${name} ${value}`);
    const outside = some(global, 20);
    const blocks = Array.from({ length: throwDice(6) }, () => {
      const criterion = pick(criteria);
      return [`Match ${criterion}`, ...text(some(inMatch, 6))];
    });
    const lines = [...text(outside), ...blocks.flat()];
    const path = write('random', lines);
    const said = new Set(lines.map((line) => (line.split(' ')[0] ?? '').toLowerCase()));
    const { configFor } = await load(path);
    for (const subject of [pick(subjects), pick(subjects)]) {
      const { stdout } = await run(sshd, ['-T', '-f', path, '-C', subject], { timeout: 20_000 });
      const mine = common(dumpConfig(configFor(subjectOf([subject], accountOf))), said);
      const yours = common(stdout.trimEnd().split('\n'), said);
      compared += yours.length;
      if (mine.join('\n') !== yours.join('\n')) {
        differences.push({
          seed,
          subject,
          ours: mine.filter((line) => !yours.includes(line)),
          theirs: yours.filter((line) => !mine.includes(line)),
        });
      }
    }
  }
  assert.deepEqual(differences, []);
  assert.ok(compared > 20_000, `${compared} lines were compared`);
});
