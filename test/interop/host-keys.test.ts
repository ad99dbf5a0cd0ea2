/**
 * Host keys with the stock client: certificates, keys that an agent holds, and keys that the client
 * learns after login (UpdateHostKeys). Runs in: test, in the lab; against Debian's sshd as well.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Child, eventually } from '../support/child.ts';
import { inLab, makeKey, makeUser, run, type TestKey } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url);

interface Outcome {
  readonly status: number | null;
  readonly stderr: string;
}

describe('host keys', lab, () => {
  let folder = '';
  let key: TestKey;

  before(() => {
    folder = mkdtempSync('/tmp/host-keys-');
    key = makeKey('ed25519');
    makeUser('alice', { authorizedKeys: [key.line] });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function file(name: string): string {
    return path.join(folder, name);
  }

  function makeHostKey(name: string, type: string, bits?: number): string {
    const size = bits === undefined ? [] : ['-b', String(bits)];
    run('ssh-keygen', ['-q', '-t', type, ...size, '-N', '', '-C', '', '-f', file(name)]);
    return file(name);
  }

  function publicLine(name: string): string {
    return readFileSync(`${file(name)}.pub`, 'utf8').trim();
  }

  /** The path of the certificate of a key, made by the authority `ca`. */
  function certify(name: string, ca: string, ...more: readonly string[]): string {
    run('ssh-keygen', [
      ...['-q', '-s', file(ca), '-I', `id of ${name}`, ...more],
      ...['-n', '127.0.0.1,localhost', `${file(name)}.pub`],
    ]);
    return `${file(name)}-cert.pub`;
  }

  async function login(
    server: TestServer,
    known: readonly string[],
    ...options: readonly string[]
  ): Promise<Outcome> {
    const knownHosts = file('known_hosts');
    writeFileSync(knownHosts, known.map((line) => `${line}\n`).join(''));
    return await ssh(
      { port: server.port, knownHosts },
      { key, args: options.flatMap((option) => ['-o', option]) },
      // A client that has nothing else to do does not wait for the proof.
      options.includes('UpdateHostKeys=yes') ? 'sleep 1' : 'true',
    );
  }

  describe('with certificates', () => {
    let server: TestServer;
    const types = [
      ['ed25519', 'ssh-ed25519-cert-v01@openssh.com', undefined],
      ['rsa', 'rsa-sha2-512-cert-v01@openssh.com', 2048],
      ['rsa', 'rsa-sha2-256-cert-v01@openssh.com', 2048],
      ['ecdsa', 'ecdsa-sha2-nistp384-cert-v01@openssh.com', 384],
    ] as const;

    before(async () => {
      makeHostKey('ca', 'ed25519');
      makeHostKey('other', 'ed25519');
      for (const [type, , bits] of types) {
        if (!existsSync(file(type))) {
          makeHostKey(type, type, bits);
          certify(type, 'ca', '-h');
        }
      }
      certify('other', 'ca', '-h');
      writeFileSync(file('garbage'), 'ssh-ed25519 AAAA\n');
      server = await startServer({
        hostKeys: [],
        config: [
          ...['ed25519', 'rsa', 'ecdsa'].flatMap((type) => [
            `HostKey ${file(type)}`,
            `HostCertificate ${file(type)}-cert.pub`,
          ]),
          `HostCertificate ${file('other')}-cert.pub`,
          `HostCertificate ${file('garbage')}`,
          `HostCertificate ${file('nothing')}`,
          'HostKeyAlgorithms +ecdsa-*',
        ],
      });
    });
    after(async () => await server?.stop());

    for (const [, algorithm] of types) {
      test(`a client that trusts the authority logs in by ${algorithm}`, async () => {
        const trusted = `@cert-authority [127.0.0.1]:${server.port} ${publicLine('ca')}`;
        const outcome = await login(server, [trusted], `HostKeyAlgorithms=${algorithm}`);
        assert.equal(outcome.status, 0, outcome.stderr);
      });
    }

    test('and by its own choice, without naming one', async () => {
      const trusted = `@cert-authority [127.0.0.1]:${server.port} ${publicLine('ca')}`;
      const outcome = await login(server, [trusted]);
      assert.equal(outcome.status, 0, outcome.stderr);
    });

    test('one that does not, does not; the plain key still serves', async () => {
      const other = `@cert-authority [127.0.0.1]:${server.port} ${publicLine('other')}`;
      const refused = await login(server, [other]);
      assert.equal(refused.status, 255);
      const plain = `[127.0.0.1]:${server.port} ${publicLine('ed25519')}`;
      const outcome = await login(server, [plain]);
      assert.equal(outcome.status, 0, outcome.stderr);
    });

    test('ssh-keyscan finds the keys, and with -c the certificates', () => {
      const scan = (...args: readonly string[]): string =>
        run('ssh-keyscan', [
          ...args,
          '-t',
          'ed25519,rsa,ecdsa',
          '-p',
          `${server.port}`,
          '127.0.0.1',
        ]);
      const keys = scan();
      const certificates = scan('-c');
      for (const type of ['ed25519', 'rsa', 'ecdsa']) {
        const [name, base64] = publicLine(type).split(' ');
        assert.ok(keys.includes(`${name} ${base64}`), keys);
        assert.ok(certificates.includes(publicLine(`${type}-cert`).split(' ')[1] as string), type);
      }
    });

    test('a certificate of no key, one that is none and one that is not there are told', () => {
      const log = server.log();
      assert.match(log, /No matching private key for certificate: .*other-cert\.pub/);
      assert.match(log, /Could not load host certificate ".*\/garbage": /);
      assert.match(log, /Could not load host certificate ".*\/nothing": No such file or directory/);
    });
  });

  describe('held by an agent', () => {
    let agent: Child;
    const socket = '/run/host-agent.sock';

    before(async () => {
      agent = new Child('ssh-agent', ['-D', '-a', socket]);
      await eventually('the agent listens', () => existsSync(socket));
      for (const [name, type, bits] of [
        ['held-ed25519', 'ed25519', undefined],
        ['held-rsa', 'rsa', 2048],
        ['held-ecdsa', 'ecdsa', 521],
      ] as const) {
        makeHostKey(name, type, bits);
        run('env', [`SSH_AUTH_SOCK=${socket}`, 'ssh-add', '-q', file(name)]);
        renameSync(file(name), file(`${name}.hidden`));
      }
    });
    after(async () => await agent?.stop());

    function lines(): readonly string[] {
      return ['held-ed25519', 'held-rsa', 'held-ecdsa'].map((name) => `HostKey ${file(name)}`);
    }

    test('only the public files are there; each key signs; the client learns them all', async () => {
      await using server = await startServer({
        hostKeys: [],
        config: [...lines(), `HostKeyAgent ${socket}`, 'HostKeyAlgorithms +ecdsa-sha2-*'],
      });
      const known = ['held-ed25519', 'held-rsa', 'held-ecdsa'].map(
        (name) => `[127.0.0.1]:${server.port} ${publicLine(name)}`,
      );
      for (const algorithm of [
        'ssh-ed25519',
        'rsa-sha2-256',
        'rsa-sha2-512',
        'ecdsa-sha2-nistp521',
      ]) {
        const outcome = await login(server, known, `HostKeyAlgorithms=${algorithm}`);
        assert.equal(outcome.status, 0, `${algorithm}: ${outcome.stderr}`);
      }
      if (server.kind === 'sshd') {
        return; // 9.2 ends the connection when it is asked for proof of an agent's key
      }
      const learning = await login(server, known.slice(0, 1), 'UpdateHostKeys=yes');
      assert.equal(learning.status, 0, learning.stderr);
      assert.match(
        readFileSync(file('known_hosts'), 'utf8'),
        /ssh-rsa .*\n.*ecdsa|ecdsa.*\n.*ssh-rsa/,
      );
    });

    test('the file may be the public one itself, the socket that of the environment', async () => {
      await using server = await startServer({
        hostKeys: [],
        config: [`HostKey ${file('held-ed25519')}.pub`, 'HostKeyAgent SSH_AUTH_SOCK'],
        environment: { SSH_AUTH_SOCK: socket },
      });
      const known = `[127.0.0.1]:${server.port} ${publicLine('held-ed25519')}`;
      const outcome = await login(server, [known]);
      assert.equal(outcome.status, 0, outcome.stderr);
      // The host's agent is nobody else's.
      const at = { port: server.port, knownHosts: file('known_hosts') };
      const session = await ssh(at, { key }, 'echo "${SSH_AUTH_SOCK-none}"');
      assert.equal(session.text, 'none\n', session.stderr);
    });

    test('an agent that is not there leaves no key, and no start', async () => {
      await assert.rejects(
        startServer({ hostKeys: [], config: [...lines(), 'HostKeyAgent /run/nobody.sock'] }),
        /Could not connect to agent "\/run\/nobody\.sock": [\s\S]*no hostkeys available/,
      );
    });

    test('when the agent no longer signs, the log says why; a key of our own goes on', async () => {
      makeHostKey('own', 'rsa', 2048);
      await using server = await startServer({
        hostKeys: [],
        config: [`HostKey ${file('own')}`, ...lines(), `HostKeyAgent ${socket}`],
      });
      const known = ['held-ed25519', 'own'].map(
        (name) => `[127.0.0.1]:${server.port} ${publicLine(name)}`,
      );
      run('env', [`SSH_AUTH_SOCK=${socket}`, 'ssh-add', '-q', '-D']);
      const failed = await login(server, known, 'HostKeyAlgorithms=ssh-ed25519');
      assert.equal(failed.status, 255);
      await server.logged(/agent refused operation/);
      const outcome = await login(server, known, 'HostKeyAlgorithms=rsa-sha2-512');
      assert.equal(outcome.status, 0, outcome.stderr);
    });
  });

  describe('learnt after login', () => {
    test('a client with UpdateHostKeys has every key that may serve, proven', async () => {
      await using server = await startServer({ hostKeys: ['ed25519', 'rsa', 'ecdsa'] });
      const [first = ''] = readFileSync(server.knownHosts, 'utf8').split('\n');
      assert.match(first, /ssh-ed25519/);
      const outcome = await login(server, [first], 'UpdateHostKeys=yes', 'LogLevel=DEBUG1');
      assert.equal(outcome.status, 0, outcome.stderr);
      const learnt = readFileSync(file('known_hosts'), 'utf8');
      assert.match(learnt, /ssh-rsa/, outcome.stderr);
      if (server.kind === 'sshdesk') {
        // Its algorithms are off unless named: nobody could use it.
        assert.doesNotMatch(learnt, /ecdsa/);
      }
      // What it learnt is right: it logs in by it.
      const again = await ssh(
        { port: server.port, knownHosts: file('known_hosts') },
        { key, args: ['-o', 'HostKeyAlgorithms=rsa-sha2-512'] },
        'true',
      );
      assert.equal(again.status, 0, again.stderr);
    });

    test('a second RSA key is proven by the algorithm of the exchange', async () => {
      const names = ['rsa-a', 'rsa-b'];
      const files = names.map((name) => makeHostKey(name, 'rsa', 2048));
      await using server = await startServer({
        hostKeys: [],
        config: files.map((one) => `HostKey ${one}`),
      });
      for (const algorithm of ['rsa-sha2-256', 'rsa-sha2-512']) {
        const outcome = await login(
          server,
          [`[127.0.0.1]:${server.port} ${publicLine('rsa-a')}`],
          ...[`HostKeyAlgorithms=${algorithm}`, 'UpdateHostKeys=yes', 'LogLevel=DEBUG3'],
        );
        assert.equal(outcome.status, 0, outcome.stderr);
        const learnt = readFileSync(file('known_hosts'), 'utf8');
        assert.ok(learnt.includes(publicLine('rsa-b')), outcome.stderr);
      }
    });
  });
});
