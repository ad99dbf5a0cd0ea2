/** What is said of each line of a configuration, and that the lines said to win are those that do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigLine } from '../../../../src/policy/config-line.ts';
import { dumpConfig } from '../../../../src/policy/dump.ts';
import { type Explanation, explainLines, isUsable } from '../../../../src/policy/explain.ts';
import { ConfigFailure } from '../../../../src/policy/failure.ts';
import { type LoadedServer, loadConfig, serverGrammar } from '../../../../src/policy/load.ts';
import { type MatchSubject, unknownSubject } from '../../../../src/policy/match.ts';
import { memorySource } from '../../../support/config-files.ts';
import { keywordSamples } from '../../../support/keyword-samples.ts';

const file = '/etc/ssh/sshd_config';
const alice: MatchSubject = { ...unknownSubject, user: 'alice', remoteAddress: '10.1.2.3' };

interface Read {
  readonly lines: readonly ConfigLine[];
  readonly loaded: LoadedServer | undefined;
}

async function read(
  text: string,
  files: Readonly<Record<string, string>> = {},
  commandLine: readonly string[] = ['MaxAuthTries=1'],
): Promise<Read> {
  const lines: ConfigLine[] = [];
  const source = memorySource({ [file]: text, ...files });
  const loaded = await loadConfig({
    file,
    commandLine,
    source,
    onLine: (line) => lines.push(line),
  }).catch((error: unknown) => {
    assert.ok(error instanceof ConfigFailure, String(error));
    return undefined;
  });
  return { lines, loaded };
}

function explained(lines: readonly ConfigLine[], subject: MatchSubject | undefined): Explanation {
  return explainLines(lines, serverGrammar, memorySource({}), subject);
}

const text = [
  'MaxAuthTries 2',
  'Include more',
  'PermitTTY yes',
  'PermitTunnel yes',
  'Foo bar',
  'UseLogin no',
  'ModuliFile /m',
  'Ciphers aes128-ctr,aes128-cbc',
  'SetEnv A=1',
  'SetEnv A=2',
  'SetEnv A=3 B=4',
  'StreamLocalBindMask 22',
  'StreamLocalBindMask 77',
  'Match User alice',
  'X11Forwarding yes',
  'Match User bob',
  'X11Forwarding no',
  'Match all',
  'MaxSessions 5',
].join('\n');
const more = { '/etc/ssh/more': 'PermitTTY no\nMatch Address 10.0.0.0/8\nMaxSessions 3\n' };

const said = ({ lines }: Explanation): readonly string[] =>
  lines.map(
    ({ file: path, line, keyword, verdict, note }) =>
      `${path.replace('/etc/ssh/', '')}:${line} ${keyword}: ${verdict}${note === '' ? '' : ` (${note})`}`,
  );

test('every line has a verdict: for a connection', async () => {
  const { lines } = await read(text, more);
  const explanation = explained(lines, alice);
  assert.deepEqual(said(explanation), [
    'command-line:1 MaxAuthTries: honoured',
    'sshd_config:1 MaxAuthTries: overridden (by command-line:1)',
    'sshd_config:2 Include: include',
    'more:1 PermitTTY: honoured',
    'more:2 Match: match (applies)',
    'more:3 MaxSessions: honoured',
    'sshd_config:3 PermitTTY: overridden (by /etc/ssh/more:1)',
    'sshd_config:4 PermitTunnel: not supported ("yes" is not supported. Tunnel devices are not given. Say "no", or leave the line out)',
    'sshd_config:5 Foo: wrong (Bad configuration option)',
    'sshd_config:6 UseLogin: deprecated (ignored, as in sshd)',
    'sshd_config:7 ModuliFile: no effect (Not read: no key exchange takes its group from a file.)',
    'sshd_config:8 Ciphers: stricter (not implemented and left out: aes128-cbc)',
    'sshd_config:9 SetEnv: honoured',
    'sshd_config:10 SetEnv: overridden (by /etc/ssh/sshd_config:9)',
    'sshd_config:11 SetEnv: honoured',
    'sshd_config:12 StreamLocalBindMask: overridden (by /etc/ssh/sshd_config:13)',
    'sshd_config:13 StreamLocalBindMask: honoured',
    'sshd_config:14 Match: match (applies)',
    'sshd_config:15 X11Forwarding: honoured',
    'sshd_config:16 Match: match (does not apply)',
    'sshd_config:17 X11Forwarding: not matched (Match of /etc/ssh/sshd_config:16)',
    'sshd_config:18 Match: match (applies)',
    'sshd_config:19 MaxSessions: overridden (by /etc/ssh/more:3)',
  ]);
  assert.equal(isUsable(explanation), false);
});

test('without a connection, what stands in a block holds for who fits', async () => {
  const { lines } = await read(text, more);
  const lineOf = (where: string) =>
    said(explained(lines, undefined)).find((one) => one.startsWith(where));
  assert.equal(lineOf('more:3'), 'more:3 MaxSessions: if matched (Match of /etc/ssh/more:2)');
  assert.equal(lineOf('sshd_config:19'), 'sshd_config:19 MaxSessions: honoured');
});

test('a good configuration is usable, and its winners are named in the order of the table', async () => {
  const { lines } = await read('PermitTTY no\nPort 22\nPort 23\n');
  const explanation = explained(lines, undefined);
  assert.equal(isUsable(explanation), true);
  assert.deepEqual(explanation.winners, [
    { keyword: 'Port', from: [`${file}:2`, `${file}:3`] },
    { keyword: 'MaxAuthTries', from: ['command-line:1'] },
    { keyword: 'PermitTTY', from: [`${file}:1`] },
  ]);
});

/** The same numbers at every run. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

test('a file of nothing but the winning lines says the same, for files made at random', async () => {
  const leftAlone = ['HostDSAKey', 'AuthorizedKeysCommand', 'AuthorizedPrincipalsCommand'];
  const all = Object.entries(keywordSamples).flatMap(([name, { good }]) =>
    leftAlone.includes(name) ? [] : good.map((value) => `${name} ${value}`),
  );
  const good: string[] = [];
  const goodInMatch: string[] = [];
  for (const line of all) {
    if ((await read(line)).loaded !== undefined) {
      good.push(line);
    }
    if ((await read(`Match User alice\n${line}`)).loaded !== undefined) {
      goodInMatch.push(line);
    }
  }
  assert.ok(good.length > 200 && goodInMatch.length > 100);
  let blocksThatApplied = 0;
  for (let seed = 1; seed <= 150; seed++) {
    const throwDice = dice(seed);
    const pick = <T>(list: readonly T[]): T => list[throwDice(list.length)] as T;
    const some = (list: readonly string[], most: number) =>
      Array.from({ length: 1 + throwDice(most) }, () => pick(list));
    const criteria = ['User alice', 'User bob', 'all', 'Address 10.0.0.0/8', 'User *,!alice'];
    const blocks = Array.from({ length: throwDice(5) }, () => [
      `Match ${pick(criteria)}`,
      ...some(goodInMatch, 6),
    ]);
    const whole = [...some(good, 25), ...blocks.flat()];
    const { lines, loaded } = await read(whole.join('\n'), {}, []);
    if (loaded === undefined) {
      continue; // methods that AuthenticationMethods asks for are off
    }
    const { winners } = explained(lines, alice);
    const from = new Set(winners.flatMap((winner) => winner.from));
    blocksThatApplied += lines.filter(
      ({ kind, block }) => kind === 'match' && block !== undefined,
    ).length;
    // RekeyLimit: a line that says nothing of the time leaves it to a later one.
    const rekeys = whole.filter((line) => line.startsWith('RekeyLimit')).length;
    const winning = lines
      .filter(({ file: path, line }) => path === file && from.has(`${file}:${line}`))
      .map(({ keyword, rest }) => `${keyword} ${rest}`);
    const flat = await read(winning.join('\n'), {}, []);
    if (flat.loaded === undefined && winning.some((line) => line.startsWith('AuthenticationM'))) {
      continue; // the blocks have left no method on, which is only told at a login
    }
    assert.ok(flat.loaded !== undefined, winning.join('\n'));
    const dump = ({ configFor }: LoadedServer) =>
      dumpConfig(configFor(alice)).filter((line) => rekeys < 2 || !line.startsWith('rekeylimit'));
    const [one, other] = [dump(flat.loaded), dump(loaded)];
    assert.deepEqual(
      one.filter((line) => !other.includes(line)),
      other.filter((line) => !one.includes(line)),
      `seed ${seed}\n${whole.join('\n')}`,
    );
  }
  assert.ok(blocksThatApplied > 100);
});
