/**
 * Keys on a smart card: Debian's ssh with the card itself, with it in an agent, and the agent in the
 * session. Runs in: test, in the lab, with SoftHSM.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Card, noCard } from '../support/card.ts';
import { output } from '../support/child.ts';
import { inLab, makeUser } from '../support/lab.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SshAgent } from '../support/ssh-agent.ts';
import { ssh } from '../support/stock-client.ts';

const lab = inLab(import.meta.url, 240_000);
const missing = noCard();
const kinds = [
  ['rsa:2048', 'ssh-rsa', 'RSA'],
  ['EC:prime256v1', 'ecdsa-sha2-nistp256', 'ECDSA'],
  ['EC:secp384r1', 'ecdsa-sha2-nistp384', 'ECDSA'],
] as const;

describe('a smart card', {
  ...lab,
  skip: lab.skip === false ? (missing ?? false) : lab.skip,
}, () => {
  let card: Card;
  let server: TestServer;
  let agent: SshAgent;
  const lineOf = (type: string): string => card.keys().find((line) => line.startsWith(type)) ?? '';

  before(async () => {
    card = new Card();
    for (const [index, [kind]] of kinds.entries()) {
      card.makeKey(kind, `0${index + 1}`);
    }
    makeUser('alice', { authorizedKeys: card.keys() });
    for (const [index, [, type]] of kinds.entries()) {
      makeUser(`only${index}`, { authorizedKeys: [lineOf(type)] });
    }
    server = await startServer({ config: ['UsePAM yes', 'LogLevel VERBOSE', 'MaxAuthTries 20'] });
    agent = await SshAgent.start(['-P', '/usr/lib/*'], card.environment());
    const env = { ...process.env, ...agent.environment, ...card.environment() };
    await output('ssh-add', ['-q', '-s', card.module], { env });
  });
  after(async () => {
    await server?.stop();
    await agent?.[Symbol.asyncDispose]();
  });

  for (const [index, [kind, , logged]] of kinds.entries()) {
    test(`${kind}: by ssh -I, with the PIN`, async () => {
      const outcome = await ssh(
        server,
        {
          user: `only${index}`,
          args: [
            '-o',
            'IdentitiesOnly=no',
            '-o',
            `PKCS11Provider=${card.module}`,
            '-o',
            'PreferredAuthentications=publickey',
          ],
          environment: card.environment(),
        },
        'id -un',
      );
      assert.deepEqual([outcome.status, outcome.text], [0, `only${index}\n`], outcome.stderr);
      await server.logged(
        new RegExp(`Accepted publickey for only${index} .* ssh2: ${logged} SHA256:`),
      );
    });

    test(`${kind}: from the agent, for which the card was unlocked once`, async () => {
      const outcome = await ssh(
        server,
        {
          user: `only${index}`,
          args: [
            ...['-o', 'IdentitiesOnly=no', '-o', `IdentityAgent=${agent.socket}`],
            ...['-o', 'PreferredAuthentications=publickey'],
          ],
          environment: agent.environment,
        },
        'id -un',
      );
      assert.deepEqual([outcome.status, outcome.text], [0, `only${index}\n`], outcome.stderr);
    });
  }

  test('the wrong PIN opens nothing, and is asked for once', async () => {
    const environment = card.environment('000000');
    const outcome = await ssh(
      server,
      {
        user: 'only1',
        args: [
          '-o',
          'IdentitiesOnly=no',
          '-o',
          `PKCS11Provider=${card.module}`,
          '-o',
          'PreferredAuthentications=publickey',
        ],
        environment,
      },
      'true',
    );
    assert.equal(outcome.status, 255);
    const asked = readFileSync(`${environment.SSH_ASKPASS}.log`, 'utf8');
    assert.equal(asked, 'asked\n');
  });

  test('in the session: the card’s keys are listed there, and sign for the next hop', async () => {
    const folder = mkdtempSync('/tmp/hop-');
    const known = path.join(folder, 'known_hosts');
    writeFileSync(known, readFileSync(server.knownHosts));
    const hop = [
      `ssh -F none -p ${server.port} -o UserKnownHostsFile=${known} -o BatchMode=yes`,
      'only2@127.0.0.1 id -un',
    ].join(' ');
    await output('chmod', ['-R', 'a+rX', folder]);
    const outcome = await ssh(
      server,
      {
        user: 'alice',
        args: [
          ...['-A', '-o', 'IdentitiesOnly=no', '-o', `IdentityAgent=${agent.socket}`],
          ...['-o', 'PreferredAuthentications=publickey'],
        ],
        environment: agent.environment,
      },
      `ssh-add -L | wc -l; ${hop}`,
    );
    assert.deepEqual([outcome.status, outcome.text], [0, '3\nonly2\n'], outcome.stderr);
  });
});
