/**
 * Host keys in a token: stock ssh against a daemon whose only key is in SoftHSM; a token that goes away
 * and comes back; what -t says. Runs in: test, in the lab, with SoftHSM.
 */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { Card, noCard } from '../support/card.ts';
import { eventually, output, run } from '../support/child.ts';
import {
  authorize,
  checkout,
  inLab,
  type LabUser,
  makeKey,
  makeUser,
  type TestKey,
} from '../support/lab.ts';
import {
  allProcesses,
  readProcFile,
  rootless,
  type ServerOptions,
  startServer,
  type TestServer,
} from '../support/server.ts';
import { type ClientOutcome, ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const missing = noCard();

describe('a host key in a token', {
  ...lab,
  skip: lab.skip === false ? (missing ?? false) : lab.skip,
}, () => {
  let card: Card;
  let hsm: LabUser;
  let key: TestKey;
  let pinFile = '';
  const nonRsa = ['-o', 'HostKeyAlgorithms=ecdsa-sha2-nistp256,ecdsa-sha2-nistp384'];

  before(async () => {
    card = new Card();
    card.makeKey('rsa:2048', '01');
    card.makeKey('EC:prime256v1', '02');
    card.makeKey('EC:prime256v1', '03');
    hsm = makeUser('hsm');
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
    await output('chown', ['-R', `${hsm.uid}:${hsm.gid}`, card.folder]);
    chmodSync(card.folder, 0o755);
    const folder = mkdtempSync('/tmp/pin-');
    pinFile = path.join(folder, 'hsm.pin');
    writeFileSync(pinFile, `${card.pin}\n`, { mode: 0o600 });
  });

  const uri = (id: string, query = `pin-source=file:${pinFile}`): string =>
    `pkcs11:token=card;id=${id}?module-path=${card.module}&${query}`;
  const environment = (more: Readonly<Record<string, string>> = {}) => ({
    SOFTHSM2_CONF: path.join(card.folder, 'softhsm2.conf'),
    ...more,
  });
  const start = async (ids: readonly string[], options: Partial<ServerOptions> = {}) => {
    const server = await startServer({
      hostKeys: [],
      config: [
        ...ids.map((id) => `HostKey ${uri(id)}`),
        ...['HostKeyAlgorithms +ecdsa-sha2-nistp256', 'LogLevel VERBOSE'],
      ],
      desktopConfig: ['HostKeyModuleUser hsm'],
      environment: environment(),
      ...options,
    });
    const lines = card.keys().map((line) => `[127.0.0.1]:${server.port} ${line}\n`);
    appendFileSync(server.knownHosts, lines.join(''));
    return server;
  };
  const login = (server: TestServer, args: readonly string[] = []): Promise<ClientOutcome> =>
    ssh(server, { user: 'alice', key, args }, 'id -un');
  const isIn = (server: TestServer, { status, text, stderr }: ClientOutcome): void =>
    assert.deepEqual([status, text], [0, 'alice\n'], `${stderr}\n${server.log()}`);
  const modules = () => allProcesses().filter(({ title }) => title === 'sshdesk: card');
  /** `-t`: its status and what it says. */
  const checked = async (
    lines: readonly string[],
    more: Readonly<Record<string, string>> = {},
    desktop = ['HostKeyModuleUser hsm'],
  ) => {
    const folder = mkdtempSync('/tmp/check-');
    const [config, own] = [path.join(folder, 'sshd_config'), path.join(folder, 'sshdesk_config')];
    writeFileSync(config, `Port 2222\n${lines.join('\n')}\n`);
    writeFileSync(own, `${desktop.join('\n')}\n`);
    const { code, stderr, stdout } = await run(
      path.join(checkout, 'sshdesk'),
      ['serve', '-t', '-f', config, '--desktop-config', own],
      { env: { PATH: process.env.PATH, ...environment(more) } },
    );
    return { status: code, text: `${stdout}${stderr}`, config };
  };

  test('logins with RSA and ECDSA, many at once; the module is in a process of its own', async () => {
    await using server = await start(['%01', '%02']);
    isIn(server, await login(server));
    isIn(server, await login(server, nonRsa));
    const all = await Promise.all(Array.from({ length: 6 }, () => login(server)));
    for (const outcome of all) isIn(server, outcome);
    const running = modules();
    assert.deepEqual(
      running.map(({ uid }) => uid),
      [hsm.uid, hsm.uid],
    );
    for (const { pid } of running) {
      assert.match(readProcFile(pid, 'maps'), /libsofthsm2/);
    }
    for (const { pid, title } of server.processes()) {
      const has = readProcFile(pid, 'maps').includes('libsofthsm2');
      assert.ok(!has || title === 'sshdesk: card', title);
    }
  });

  test('nothing of it is left when the daemon has ended', async () => {
    const server = await start(['%01']);
    isIn(server, await login(server));
    await server.stop();
    await eventually('no module', () => modules().length === 0);
  });

  test('a token that goes away: one line in the log; back again without a restart', async () => {
    await using server = await start(['%01']);
    isIn(server, await login(server));
    const tokens = path.join(card.folder, 'tokens');
    renameSync(tokens, `${tokens}.away`);
    mkdirSync(tokens);
    chownSync(tokens, hsm.uid, hsm.gid);
    try {
      for (let count = 0; count < 3; count++) {
        assert.equal((await login(server)).status, 255);
      }
      await server.logged(
        /HostKey pkcs11:token=card;id=%01: .* has no such token.*: logins that need it fail until it is back/,
      );
      assert.equal(server.log().match(/logins that need it fail/g)?.length, 1, server.log());
      assert.doesNotMatch(server.log(), /sign-exchange/);
      // A reload just then does not make the host another one.
      process.kill(server.pid, 'SIGHUP');
      await server.logged(/sshd_config:\d+: HostKey \S+: .*: the key that it was is still offered/);
    } finally {
      await output('rm', ['-rf', tokens]);
      renameSync(`${tokens}.away`, tokens);
    }
    await eventually('a login', async () => (await login(server)).status === 0);
    await server.logged(/HostKey pkcs11:token=card;id=%01: it is back/);
    isIn(server, await login(server));
  });

  test('a module’s process that dies is started anew, and nobody notices', async () => {
    await using server = await start(['%01']);
    for (const { pid } of modules()) process.kill(pid, 'SIGKILL');
    isIn(server, await login(server));
    assert.doesNotMatch(server.log(), /logins that need it fail/);
  });

  test('a token that hangs keeps nobody waiting who does not need it', async () => {
    await using server = await start(['%01'], { hostKeys: ['ed25519'] });
    const [module] = modules();
    assert.ok(module !== undefined);
    process.kill(module.pid, 'SIGSTOP');
    const slow = login(server, ['-o', 'HostKeyAlgorithms=rsa-sha2-512']);
    await server.logged(/Connection from/);
    isIn(server, await login(server, ['-o', 'HostKeyAlgorithms=ssh-ed25519']));
    process.kill(module.pid, 'SIGKILL');
    isIn(server, await slow);
  });

  test('without root: the module runs as whom the daemon is', async () => {
    const ownPin = path.join(path.dirname(pinFile), 'own.pin');
    writeFileSync(ownPin, card.pin, { mode: 0o600 });
    chownSync(ownPin, hsm.uid, hsm.gid);
    chmodSync(path.dirname(ownPin), 0o755);
    authorize(hsm, [key.line]);
    const own = rootless(hsm);
    await using server = await startServer({
      ...own,
      hostKeys: [],
      config: [`HostKey ${uri('%01', `pin-source=file:${ownPin}`)}`],
      environment: environment(own.environment),
    });
    const lines = card.keys().map((line) => `[127.0.0.1]:${server.port} ${line}\n`);
    appendFileSync(server.knownHosts, lines.join(''));
    const { status, text, stderr } = await ssh(server, { user: 'hsm', key }, 'id -un');
    assert.deepEqual([status, text], [0, 'hsm\n'], `${stderr}\n${server.log()}`);
    assert.deepEqual(
      modules().map(({ uid }) => uid),
      [hsm.uid],
    );
  });

  test('SIGHUP takes another key of the token, and leaves no module behind', async () => {
    await using server = await start(['%01']);
    isIn(server, await login(server));
    const text = `HostKey ${uri('%02')}`;
    await output('sed', ['-i', `s|^HostKey .*|${text.replace(/&/g, '\\&')}|`, server.configFile]);
    process.kill(server.pid, 'SIGHUP');
    await eventually('a login', async () => (await login(server, nonRsa)).status === 0);
    await eventually('one module', () => modules().length === 1);
  });

  test('SIGHUP that cannot be carried out leaves no module behind either', async () => {
    const [folder, gone] = [mkdtempSync('/tmp/log-'), `${mkdtempSync('/tmp/gone-')}/log`];
    await using server = await start(['%01'], { flags: ['-E', path.join(folder, 'log')] });
    isIn(server, await login(server));
    const text = `HostKey ${uri('%02')}`;
    await output('sed', ['-i', `s|^HostKey .*|${text.replace(/&/g, '\\&')}|`, server.configFile]);
    // The log cannot be opened anew; the one that is open goes on.
    renameSync(folder, gone);
    process.kill(server.pid, 'SIGHUP');
    await eventually('the refusal', () =>
      /log.*ENOENT|ENOENT.*log/.test(readFileSync(path.join(gone, 'log'), 'utf8')),
    );
    await eventually('one module', () => modules().length === 1);
    isIn(server, await login(server));
  });

  test('-t: what is wrong, and where', async () => {
    const good = await checked([`HostKey ${uri('%01')}`]);
    assert.deepEqual([good.status, good.text], [0, '']);
    const wrongPin = path.join(path.dirname(pinFile), 'wrong.pin');
    writeFileSync(wrongPin, '000000\n', { mode: 0o600 });
    const openPin = path.join(path.dirname(pinFile), 'open.pin');
    writeFileSync(openPin, card.pin);
    chmodSync(openPin, 0o644);
    const cases: readonly (readonly [string, RegExp])[] = [
      [uri('%01', `pin-source=file:${wrongPin}`), /the PIN is wrong; it was not tried again/],
      [
        uri('%01', `pin-source=file:${openPin}`),
        /open\.pin: others can read or change the PIN: chown/,
      ],
      [uri('%01', 'pin-source=file:/nowhere'), /\/nowhere: the PIN cannot be read: no such file/],
      [uri('%01', 'pin-source=credential:pin'), /\$CREDENTIALS_DIRECTORY is not set; in the unit/],
      [`pkcs11:token=card;id=%01?module-path=${card.module}`, /wants a PIN: add \?pin-source=file/],
      [uri('%09'), /no such key in the token; it has object=key 01;id=%01 \(ssh-rsa\), object=/],
      [uri('%01').replace(';id=%01', ''), /several keys fit: name one by object= or id=/],
      [uri('%01').replace('token=card', 'token=none'), /no such token \(there are: token=card/],
      [uri('%01').replace(card.module, '/nowhere.so'), /\/nowhere\.so: no such file/],
      [uri('%01').replace(card.module, '/etc/passwd'), /not a PKCS#11 module that works here/],
    ];
    const { status, text, config } = await checked(
      cases.map(([value], index) => `HostKey ${index % 2 === 0 ? value : `"${value}"  # why`}`),
    );
    assert.equal(status, 255);
    const said = text.split(/\r?\n/);
    for (const [index, [, reason]] of cases.entries()) {
      const line = said.find((one) => one.startsWith(`${config}:${index + 2}: HostKey pkcs11:`));
      assert.match(line ?? text, reason);
    }
    const unusable = await checked([
      'HostKey pkcs11:token=card?pin-value=135791',
      'HostKey pkcs11:token=card;serial=1?module-path=/x',
      'HostKey pkcs11:token=card',
    ]);
    assert.match(unusable.text, /sshd_config:2: HostKey: pin-value is not taken/);
    assert.match(unusable.text, /:3: HostKey: "serial" of a pkcs11: URI is not looked at/);
    assert.match(unusable.text, /:4: HostKey: the pkcs11: URI has no module-path/);
    assert.doesNotMatch(unusable.text, /135791/);
    // Nobody's account cannot read the token.
    const asNobody = await checked([`HostKey ${uri('%01')}`], {}, []);
    assert.equal(asNobody.status, 255);
    assert.match(
      asNobody.text,
      /the module runs as nobody \(HostKeyModuleUser of sshdesk_config\)/,
    );
    assert.equal(modules().length, 0);
  });

  test('the PIN as a credential of systemd', async () => {
    const credentials = { CREDENTIALS_DIRECTORY: path.dirname(pinFile) };
    const { status, text } = await checked(
      [
        `HostKey ${uri('%02', 'pin-source=credential:hsm.pin')}`,
        'HostKeyAlgorithms +ecdsa-sha2-nistp256',
      ],
      credentials,
    );
    assert.deepEqual([status, text], [0, '']);
  });
});
