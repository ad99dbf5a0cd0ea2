/**
 * The process that a PKCS#11 module runs in, from the side of whoever uses it: SoftHSM's module as it
 * is, and with the faults of test/lab/card_faults.c in front. Runs in: test.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, before, describe, test } from 'node:test';
import { CardError } from '../../keys/pkcs11/card-error.ts';
import { CardModule, type CardDeadlines } from '../../keys/pkcs11/card-module.ts';
import { CardSession } from '../../keys/pkcs11/card-session.ts';
import { verify } from '../../keys/signature.ts';
import { Card, type FaultyCard, noCard } from '../support/card.ts';
import { Child, eventually } from '../support/child.ts';
import { placesOf } from '../support/memory-places.ts';
import { allProcesses, readProcFile } from '../support/server.ts';

/** A shared object that is there, and is none. */
const noModule = path.resolve(import.meta.dirname, '../../build/Release/sshdesk-enter-root.so');
const data = Buffer.from('what is to be signed');
const noPin = () => Promise.reject(new Error('no PIN is wanted here'));
const kinds = [
  ['rsa:2048', 'ssh-rsa', ['rsa-sha2-256', 'rsa-sha2-512']],
  ['EC:prime256v1', 'ecdsa-sha2-nistp256', ['ecdsa-sha2-nistp256']],
  ['EC:secp384r1', 'ecdsa-sha2-nistp384', ['ecdsa-sha2-nistp384']],
  ['EC:secp521r1', 'ecdsa-sha2-nistp521', ['ecdsa-sha2-nistp521']],
  ['EC:edwards25519', 'ssh-ed25519', ['ssh-ed25519']],
] as const;

describe('a PKCS#11 module', { skip: noCard() ?? false, timeout: 60_000 }, () => {
  let card: Card;
  const open: CardModule[] = [];

  before(() => {
    card = new Card();
    for (const [index, [kind]] of kinds.entries()) card.makeKey(kind, `0${index + 1}`);
  });
  afterEach(() => Promise.all(open.splice(0).map((module) => module.close())));

  const environment = () => ({ PATH: '/usr/bin:/bin', ...card.place });
  const start = async (
    { module, environment: more }: Pick<FaultyCard, 'module' | 'environment'>,
    deadlines: Partial<CardDeadlines> = {},
  ): Promise<CardModule> => {
    const started = await CardModule.start({
      path: module,
      environment: { ...environment(), ...more },
      deadlines,
    });
    open.push(started);
    return started;
  };
  const sessionOf = async (module: CardModule): Promise<CardSession> => {
    const [session] = await CardSession.all(module);
    assert.ok(session, 'there is a card');
    return session;
  };
  const pin = () => Buffer.from(card.pin);
  const plain = () => ({ module: card.module, environment: {} });

  test('lists keys without the PIN, and signs with each of them after it', async () => {
    const session = await sessionOf(await start(plain()));
    assert.equal(session.token.label, 'card');
    assert.ok(session.wantsPin);
    const keys = await session.keys();
    assert.deepEqual(
      keys.map(({ type, label }) => [type, label]),
      kinds.map(([, type], index) => [type, `key 0${index + 1}`]),
    );
    const given = pin();
    await session.logIn(given);
    assert.ok(
      given.every((byte) => byte === 0),
      'the PIN is erased',
    );
    for (const [index, key] of keys.entries()) {
      for (const algorithm of kinds[index]?.[2] ?? []) {
        const { blob } = await session.sign(key, algorithm, data, noPin);
        assert.ok(verify(algorithm, key.blob, blob, data), algorithm);
      }
    }
  });

  test('points of curves without DER are the same keys', async () => {
    const keys = async (settings: Record<string, string>) =>
      (await (await sessionOf(await start(card.faulty(settings)))).keys()).map(({ blob }) =>
        blob.toString('base64'),
      );
    assert.deepEqual(await keys({ CARD_POINT: 'raw' }), await keys({}));
  });

  test('a key whose public half is in a certificate only', async () => {
    const line = card.makeCertified('0a', '/C=XX/O=Example/CN=Ada');
    const session = await sessionOf(await start(plain()));
    const key = (await session.keys()).find(({ certificate }) => certificate !== undefined);
    assert.ok(key);
    assert.ok(line.includes(key.blob.toString('base64')));
    assert.equal(key.certificate?.subject, 'CN=Ada,O=Example,C=XX');
    await session.logIn(pin());
    const { blob } = await session.sign(key, key.type, data, noPin);
    assert.ok(verify(key.type, key.blob, blob, data));
  });

  test('a key that wants the PIN each time gets it between C_SignInit and C_Sign', async () => {
    card.makeKey('EC:prime256v1', '0b', '--always-auth');
    const faulty = card.faulty({});
    const session = await sessionOf(await start(faulty));
    await session.logIn(pin());
    const key = (await session.keys()).find(({ id }) => id.toString('hex') === '0b');
    assert.ok(key);
    assert.equal(await session.isAlwaysAuthenticate(key), true);
    await session.sign(key, key.type, data, () => Promise.resolve(pin()));
    assert.deepEqual(faulty.calls().slice(-5, -1), ['C_SignInit', 'C_Login', 'context', 'C_Sign']);
    await assert.rejects(
      session.sign(key, key.type, data, () => Promise.resolve(Buffer.from('000000'))),
      /the PIN is wrong; it was not tried again \(CKR_PIN_INCORRECT\)/,
    );
  });

  test('a wrong PIN is tried once', async () => {
    const faulty = card.faulty({});
    const session = await sessionOf(await start(faulty));
    await assert.rejects(session.logIn(Buffer.alloc(300, '1')), /too short or too long/);
    assert.equal(faulty.calls().includes('C_Login'), false);
    await assert.rejects(session.logIn(Buffer.from('000000')), /the PIN is wrong/);
    assert.equal(faulty.calls().filter((call) => call === 'C_Login').length, 1);
  });

  test('with a pad on the reader no PIN is given to the module', async () => {
    const faulty = card.faulty({ CARD_FLAGS: '100', CARD_PIN: card.pin });
    const session = await sessionOf(await start(faulty));
    assert.ok(session.hasPad);
    await session.logIn(null);
    assert.ok(faulty.calls().includes('pad'));
    const [key] = await session.keys();
    assert.ok(key);
    await session.sign(key, 'rsa-sha2-512', data, noPin);
  });

  for (const [flags, state] of [
    ['10000', 'low'],
    ['20000', 'last'],
    ['40000', 'locked'],
  ] as const) {
    test(`the flags ${flags} of a token say: ${state}`, async () => {
      const session = await sessionOf(await start(card.faulty({ CARD_FLAGS: flags })));
      assert.equal(session.pinState, state);
    });
  }

  test('a signature that is not one of the key does not leave', async () => {
    const session = await sessionOf(await start(card.faulty({ CARD_FAULT: 'wrong@signature' })));
    await session.logIn(pin());
    const [key] = await session.keys();
    assert.ok(key);
    await assert.rejects(session.sign(key, 'rsa-sha2-256', data, noPin), /not one of this key/);
  });

  const loading = [
    ['crash@load', /ended while loading \(SIGSEGV\)/],
    ['exit@C_Initialize', /ended while loading \(exit status 0\)/],
    ['babble@load', /answered nonsense|ended while loading/],
  ] as const;
  for (const [CARD_FAULT, says] of loading) {
    test(`${CARD_FAULT}: the module is refused, and why is said`, async () => {
      await assert.rejects(start(card.faulty({ CARD_FAULT })), (error) => {
        assert.ok(error instanceof CardError);
        assert.match(error.detail, says);
        assert.ok(error.isGone);
        return true;
      });
    });
  }

  test('hang@C_Initialize: given up after the deadline', async () => {
    await assert.rejects(
      start(card.faulty({ CARD_FAULT: 'hang@C_Initialize' }), { startMs: 1500 }),
      /did not answer within 1.5 s while loading/,
    );
  });

  const signing = [
    ['crash@C_Sign', /ended while signing \(SIGSEGV\)/],
    ['exit@C_Sign', /ended while signing \(exit status 0\)/],
    ['fork-crash@C_Sign', /ended while signing \(SIGSEGV\)/],
    ['hang@C_Sign', /did not answer within 1.5 s while signing/],
    ['removed@C_Sign', /the card was removed \(CKR_DEVICE_REMOVED\)/],
    ['absent@C_SignInit', /the card was removed \(CKR_TOKEN_NOT_PRESENT\)/],
    ['vendor@C_Sign', /the card says CKR 0x80000007/],
  ] as const;
  for (const [CARD_FAULT, says] of signing) {
    test(`${CARD_FAULT}: the signature fails, and nothing of the module is left`, async () => {
      const isHang = CARD_FAULT.startsWith('hang');
      const module = await start(card.faulty({ CARD_FAULT }), isHang ? { signMs: 1500 } : {});
      const session = await sessionOf(module);
      await session.logIn(pin());
      const [key] = await session.keys();
      assert.ok(key);
      const pid = cardProcess(process.pid);
      await assert.rejects(session.sign(key, 'rsa-sha2-512', data, noPin), says);
      await module.close();
      await eventually('the end of its processes', () => sessionMembers(pid) === 0);
    });
  }

  for (const CARD_FAULT of ['print@C_Sign', 'fork-stays@C_Sign', 'fork-returns@C_Sign']) {
    test(`${CARD_FAULT}: the signature is made all the same`, async () => {
      const module = await start(card.faulty({ CARD_FAULT }));
      const session = await sessionOf(module);
      await session.logIn(pin());
      const [key] = await session.keys();
      assert.ok(key);
      const { blob } = await session.sign(key, 'rsa-sha2-512', data, noPin);
      assert.ok(verify('rsa-sha2-512', key.blob, blob, data));
      await session.sign(key, 'rsa-sha2-512', data, noPin);
      const pid = cardProcess(process.pid);
      await module.close();
      await eventually('the end of its processes', () => sessionMembers(pid) === 0);
    });
  }

  test('a card that is pulled: said, and nothing waits', async () => {
    const other = new Card();
    other.makeKey('EC:prime256v1', '01');
    const module = await start({ module: other.module, environment: other.place });
    const session = await sessionOf(module);
    await session.logIn(Buffer.from(other.pin));
    const [key] = await session.keys();
    assert.ok(key);
    other.pull();
    await assert.rejects(session.sign(key, key.type, data, noPin), CardError);
  });

  test('a hang with the parent gone: the process ends with it', async () => {
    const faulty = card.faulty({ CARD_FAULT: 'hang@C_GetSlotList' });
    const source = [
      "import { CardModule } from './keys/pkcs11/card-module.ts';",
      `const module = await CardModule.start({ path: '${faulty.module}', environment: process.env });`,
      "console.log('started');",
      'await module.tokens();',
    ].join('\n');
    const child = new Child(process.execPath, ['--input-type=module-typescript', '-e', source], {
      cwd: path.resolve(import.meta.dirname, '../..'),
      env: { ...environment(), ...faulty.environment },
    });
    await eventually(`its start: ${child.stderr}`, () => child.stdout.includes('started'));
    await eventually('the call that hangs', () => faulty.calls().includes('C_GetSlotList'));
    const pid = cardProcess(child.pid);
    await child.stop('SIGKILL');
    await eventually('the end of its processes', () => sessionMembers(pid) === 0);
  });

  test('no PIN and no module in argv or environment; no terminal', async () => {
    const module = await start(plain());
    const session = await sessionOf(module);
    await session.logIn(pin());
    const pid = cardProcess(process.pid);
    const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'latin1');
    assert.doesNotMatch(read('cmdline') + read('environ'), new RegExp(card.pin));
    const [, , , , group, itsSession, terminal] = statOf(read('stat'));
    assert.deepEqual([group, itsSession, terminal], [String(pid), String(pid), '0']);
    await module.close();
  });

  test('the PIN is not in the memory of the process with the module after it was checked', async () => {
    const own = new Card(`canary-${randomBytes(12).toString('hex')}`);
    const module = await start({ module: own.module, environment: own.place });
    await (await sessionOf(module)).logIn(Buffer.from(own.pin));
    const held = [Buffer.from(own.pin), Buffer.from(own.pin, 'utf16le')];
    assert.deepEqual(placesOf(cardProcess(process.pid), held), []);
  });

  test('a file that is no module, and one that others can change, are not loaded', async () => {
    const folder = mkdtempSync('/tmp/module-');
    const copy = path.join(folder, 'module.so');
    copyFileSync(noModule, copy);
    await assert.rejects(
      start({ module: copy, environment: {} }),
      /not a PKCS#11 module that works here: .*C_GetFunctionList/,
    );
    chmodSync(copy, 0o757);
    await assert.rejects(start({ module: copy, environment: {} }), (error) => {
      assert.ok(error instanceof CardError);
      assert.equal(
        error.detail,
        `${copy}: everybody can write there and so change the PKCS#11 module: chmod o-w ${copy}`,
      );
      return true;
    });
  });
});

/** proc(5): pid, name, state, parent, group, session, terminal. */
function statOf(text: string): string[] {
  return text.replace(/\((.*)\)/s, 'name').split(' ');
}

/** The one that `parent` has started. */
function cardProcess(parent: number): number {
  const [one] = allProcesses().filter(
    (entry) => entry.parent === parent && entry.title.startsWith('sshdesk: card'),
  );
  assert.ok(one, 'there is a card process');
  return one.pid;
}

function sessionMembers(session: number): number {
  return allProcesses().filter(
    ({ pid }) => statOf(readProcFile(pid, 'stat'))[5] === String(session),
  ).length;
}
