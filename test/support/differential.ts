/**
 * A table of what is allowed and refused: each row is an account, what the configuration says of it
 * and what a client asks; Debian's sshd and sshdesk run the same configuration, and each row has to
 * come to the same with both. A difference that is meant stands in its row, with the reason.
 * Runs in: test, in the lab.
 *
 * A row's steps, one string each (`$U` is its account, `$PLAIN`, `$KEY2`, `$CA` lines of keys, `$PORT` a port of its own, `$HOME`, `$ECHO` and
 * `$OTHER` ports of services that say back what they hear, `$SOCKET` a Unix socket of one, `$EXTRA` a
 * second port of the server):
 *
 *   none | password WORD | kbd WORD,WORD | key [NAME] | ask [NAME] | cert NAME   authentication
 *   exec COMMAND | tty COMMAND | shell INPUT | subsystem NAME | sessions N       sessions
 *   env NAME=VALUE COMMAND | agent | x11
 *   open HOST PORT | socket PATH | listen HOST PORT | listen-socket PATH         forwarding
 */
import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { blobOf } from './certificates.ts';
import * as ask from './channel-steps.ts';
import { eventually } from './child.ts';
import { type Account, Accounts } from './differential-accounts.ts';
import { FactorClient, replyOf } from './factors.ts';
import { type LabOptions, run } from './lab.ts';
import { makeRawKey, payload, type RawKey, type RawOptions, str, yes } from './raw-ssh.ts';
import { freePort, type ServerKind, startServer, type TestServer } from './server.ts';
import { type Service, startService } from './tunnel.ts';

export interface Row extends Account {
  readonly name: string;
  /** Lines in a block `Match User $U`. */
  readonly set?: readonly string[];
  /** Blocks of their own, each with its criteria first. */
  readonly blocks?: readonly (readonly [criteria: string, ...lines: string[]])[];
  readonly steps: readonly string[];
  /** In what each step comes to, joined with ` | `: so that two servers that are wrong alike fail. */
  readonly is: string | RegExp;
  /** The name to log in by, in place of the account's. */
  readonly as?: string;
  readonly from?: Pick<RawOptions, 'host' | 'localAddress'>;
  /** By the port `$EXTRA`. */
  readonly isExtraPort?: boolean;
  /** Certificates over the plain key by their names: options of `ssh-keygen -s`. */
  readonly certificates?: Readonly<Record<string, readonly string[]>>;
  /** What sshdesk does otherwise, on purpose. `is` is then what sshd does. */
  readonly differs?: { readonly is: string | RegExp; readonly because: string };
}

export interface Table {
  readonly name: string;
  /** For both servers, in front of the rows' blocks. */
  readonly config: readonly string[];
  readonly rows: readonly Row[];
  /** Once, before the servers start. */
  readonly prepare?: () => void;
}

/** What both logs have to say alike of a row. */
const told =
  /not allowed because|refused: bad|not a regular file|ROOT LOGIN|^Account.*expired|Access denied/;
const authentication = /^(none|password|kbd|key|ask|cert)\b/;
const authorityFile = '/etc/ssh/differential-ca';
const echoSocket = '/tmp/differential.sock';
/** Rows at a time: sshd spends most of a login waiting for the processor. */
const lanes = 4;

/** One file's table; its rows are tests. */
export function differential(lab: LabOptions, table: Table): void {
  const keys: Record<string, RawKey> = { plain: makeRawKey(), other: makeRawKey() };
  const services: Service[] = [];
  let servers: readonly TestServer[] = [];
  const extraPorts: Record<string, number> = {};
  const { rows } = table;
  let authority = '';

  const fill = (text: string, index: number): string =>
    text
      .replaceAll('$HOME', `/home/${nameOf(index)}`)
      .replaceAll('$U', nameOf(index))
      .replaceAll('$PORT', String(21_000 + index))
      .replaceAll('$ECHO', String(services[0]?.port))
      .replaceAll('$OTHER', String(services[1]?.port))
      .replaceAll('$SOCKET', echoSocket)
      .replaceAll('$PLAIN', keys['plain']?.line ?? '')
      .replaceAll('$CA', authority)
      .replaceAll('$KEY2', keys['other']?.line ?? '');

  const blocksOf = (row: Row, index: number): readonly string[] =>
    [...(row.set === undefined ? [] : [['User $U', ...row.set]]), ...(row.blocks ?? [])].flatMap(
      ([criteria = '', ...lines]) =>
        [`Match ${criteria}`, ...lines].map((line) => fill(line, index)),
    );
  const start = async (kind: ServerKind): Promise<TestServer> => {
    const extra = await freePort();
    const lines = [
      ...[`Port ${extra}`, 'ListenAddress 127.0.0.2', 'ListenAddress ::1'],
      ...['MaxStartups 500', 'LogLevel VERBOSE'],
      ...table.config.map((line) => fill(line, 0)),
      ...rows.flatMap(blocksOf),
    ];
    const config = lines.map((line) => line.replaceAll('$EXTRA', String(extra)));
    const server = await startServer({ config, kind, hostKeys: ['ed25519'] });
    extraPorts[kind] = extra;
    return server;
  };

  before(async () => {
    services.push(await startService(), await startService());
    rmSync(echoSocket, { force: true });
    services.push(await startService({ path: echoSocket }));
    chmodSync(echoSocket, 0o777);
    run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', authorityFile]);
    authority = readFileSync(`${authorityFile}.pub`, 'utf8').trim();
    mkdirSync('/tmp/rows');
    chmodSync('/tmp/rows', 0o777);
    new Accounts().make(
      rows.map((row, index) => [
        nameOf(index),
        {
          ...row,
          groups: (row.groups ?? []).map((group) => fill(group, index)),
          keys: (row.keys ?? ['$PLAIN']).map((line) => fill(line, index)),
        },
      ]),
    );
    table.prepare?.();
    makeCertificates(rows, fill, keys['plain'] as RawKey);
    servers = [await start('sshdesk'), await start('sshd')];
  });
  after(async () => {
    await Promise.all([
      ...servers.map((server) => server.stop()),
      ...services.map((service) => service[Symbol.asyncDispose]()),
    ]);
  });

  describe(table.name, { ...lab, concurrency: lanes }, () => {
    for (const [index, row] of rows.entries()) {
      test(row.name, async () => {
        const [ours, theirs] = servers as [TestServer, TestServer];
        const visit = (server: TestServer): Promise<string> => {
          const port = row.isExtraPort === true ? extraPorts[server.kind] : undefined;
          return visited(port ?? server.port, row, index, fill, keys);
        };
        const wanted = await visit(theirs);
        const got = await visit(ours);
        const tell = (server: TestServer): string =>
          server
            .log()
            .split('\n')
            .filter((line) => line.includes(nameOf(index)))
            .join('\n');
        assertIs(wanted, row.is, () => `sshd does not do what the row says:\n${tell(theirs)}`);
        if (row.differs === undefined) {
          const told = () => `sshdesk:\n${tell(ours)}\nsshd:\n${tell(theirs)}`;
          assertIs(got, wanted, () => `sshdesk does not do what sshd does\n${told()}`);
          await sameWords(ours, theirs, nameOf(index));
        } else {
          const { is, because } = row.differs;
          assert.notEqual(got, wanted, `no difference, though: ${because}`);
          assertIs(got, is, () => `sshdesk does not do what the row says:\n${tell(ours)}`);
        }
      });
    }
  });
}

const nameOf = (index: number): string => `row${String(index).padStart(3, '0')}`;

function assertIs(got: string, wanted: string | RegExp, why: () => string): void {
  if (typeof wanted === 'string' ? got !== wanted : !wanted.test(got)) {
    assert.fail(`${why()}\n  wanted ${wanted}\n  got    ${got}`);
  }
}

function makeCertificates(
  rows: readonly Row[],
  fill: (text: string, index: number) => string,
  key: RawKey,
): void {
  for (const [index, { certificates = {} }] of rows.entries()) {
    for (const [name, options] of Object.entries(certificates)) {
      const file = `/tmp/rows/${nameOf(index)}-${name}`;
      writeFileSync(`${file}.pub`, `${key.line}\n`);
      run('ssh-keygen', [
        ...['-q', '-s', authorityFile, '-I', 'an id'],
        ...options.map((option) => fill(option, index)),
        `${file}.pub`,
      ]);
    }
  }
}

/** What the logs say of a row's account, once they say it alike. */
async function sameWords(ours: TestServer, theirs: TestServer, user: string): Promise<void> {
  const words = (server: TestServer): string =>
    server
      .log()
      .split('\n')
      .filter((line) => line.includes(user) && told.test(line))
      .map((line) => line.replace(/port \d+/g, 'port N').replace(/ \[preauth\]$/, ''))
      .join('\n');
  await eventually('the same words in both logs', () => words(ours) === words(theirs), 2_000).catch(
    () => assert.equal(words(ours), words(theirs)),
  );
}

async function visited(
  port: number,
  row: Row,
  index: number,
  fill: (text: string, index: number) => string,
  keys: Readonly<Record<string, RawKey>>,
): Promise<string> {
  const said: string[] = [];
  using client = await FactorClient.open(port, row.as ?? nameOf(index), row.from);
  for (const step of row.steps) {
    if (!authentication.test(step) && !said.some((reply) => reply.endsWith('accepted'))) {
      break;
    }
    try {
      said.push(await take(client, fill(step, index), index, keys));
    } catch (error) {
      said.push((error as Error).message);
    }
    if (/^(closed|disconnected)/.test(said.at(-1) ?? '')) {
      break;
    }
  }
  return said
    .join(' | ')
    .replaceAll(String(port), 'PORT')
    .replaceAll(/\/dev\/pts\/\d+/g, '/dev/pts/N');
}

async function take(
  client: FactorClient,
  step: string,
  index: number,
  keys: Readonly<Record<string, RawKey>>,
): Promise<string> {
  const [verb = '', ...words] = step.split(' ');
  const rest = words.join(' ');
  const { raw } = client;
  const key = keys[rest === '' ? 'plain' : rest] as RawKey;
  const host = words[0] ?? '';
  const port = Number(words[1]);
  switch (verb) {
    case 'none':
      return client.none();
    case 'password':
      return client.password(rest);
    case 'kbd': {
      const { reply, shown } = await client.keyboard(rest.split(','));
      return [...shown, reply].join(' ');
    }
    case 'key':
      return client.sign(key);
    case 'ask':
      return client.query(key);
    case 'cert':
      return certificate(client, `/tmp/rows/${nameOf(index)}-${rest}-cert.pub`, keys);
    case 'exec':
      return ask.session(raw, [], { kind: 'exec', what: rest });
    case 'tty':
      return ask.session(raw, [ask.terminal], { kind: 'exec', what: rest });
    case 'shell':
      return ask.session(raw, [], { kind: 'shell', input: `${rest}\n` });
    case 'subsystem':
      return ask.session(raw, [], { kind: 'subsystem', what: rest });
    case 'sessions':
      return ask.sessions(raw, Number(rest));
    case 'env': {
      const [name = '', value = ''] = host.split('=');
      const what = words.slice(1).join(' ');
      return ask.session(raw, [ask.environment(name, value)], { kind: 'exec', what });
    }
    case 'agent': {
      const what = 'test -S "$SSH_AUTH_SOCK" && echo agent || echo none';
      return ask.session(raw, [ask.agent], { kind: 'exec', what });
    }
    case 'x11': {
      // What xauth says on stderr is xauth's.
      const what = 'echo "${DISPLAY:+display}"';
      const end = await ask.session(raw, [ask.x11], { kind: 'exec', what });
      return end.split(' / ', 1)[0] as string;
    }
    case 'open':
      return ask.direct(raw, host, port);
    case 'socket':
      return ask.directSocket(raw, rest);
    case 'listen':
      return ask.listen(raw, host === '-' ? '' : host, port);
    case 'listen-socket':
      return ask.listenSocket(raw, rest);
    default:
      throw new Error(`no such step: ${step}`);
  }
}

async function certificate(
  client: FactorClient,
  file: string,
  keys: Readonly<Record<string, RawKey>>,
): Promise<string> {
  const { raw, user } = client;
  const request = payload(
    50,
    ...[str(user), str('ssh-connection'), str('publickey'), yes],
    ...[str('ssh-ed25519-cert-v01@openssh.com'), str(blobOf(run('cat', [file])))],
  );
  const data = Buffer.concat([str(raw.sessionId as Buffer), request]);
  const signature = sign(null, data, (keys['plain'] as RawKey).privateKey);
  raw.send(Buffer.concat([request, str(Buffer.concat([str('ssh-ed25519'), str(signature)]))]));
  for (;;) {
    const bytes = await raw.next(20_000);
    if (bytes?.[0] !== 53) {
      return replyOf(bytes);
    }
  }
}
