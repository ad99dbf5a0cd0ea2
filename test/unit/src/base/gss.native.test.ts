/** The initiator of GSSAPI without a realm: what it refuses, and what it says. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GssContext } from '../../../../src/base/gss.native.ts';
import { NativeError } from '../../../../src/base/errors.ts';

process.env.KRB5CCNAME = 'FILE:/nonexistent/tickets';
const folder = mkdtempSync(join(tmpdir(), 'gss-'));
process.env.KRB5_CONFIG = join(folder, 'krb5.conf');
// Nobody is asked for names.
writeFileSync(
  process.env.KRB5_CONFIG,
  '[libdefaults]\n  default_realm = NOWHERE.TEST\n  dns_canonicalize_hostname = false\n  dns_lookup_kdc = false\n',
);
after(() => rmSync(folder, { recursive: true }));
const empty = Buffer.alloc(0);
/** A step keeps no process alive: a test that waits for one has to. */
async function waiting<T>(step: Promise<T>): Promise<T> {
  const timer = setTimeout(() => undefined, 20_000);
  try {
    return await step;
  } finally {
    clearTimeout(timer);
  }
}

test('without tickets a step fails, and says what is missing', async () => {
  const step = await waiting(new GssContext('desk.example', false).step(empty));
  assert.equal(step.is, 'failed');
  assert.ok(
    ['no-tickets', 'no-realm', 'no-library'].includes(step.is === 'failed' ? step.trouble : ''),
  );
  assert.ok(step.is === 'failed' && step.reason !== '');
});

test('one step at a time; none after a failure; nothing is signed', async () => {
  const context = new GssContext('desk.example', true);
  const first = context.step(empty);
  await assert.rejects(context.step(empty), NativeError);
  await waiting(first);
  const again = await waiting(context.step(empty));
  assert.ok(again.is === 'failed' && again.trouble === 'protocol');
  assert.throws(() => context.sign(Buffer.from('x')), NativeError);
});

test('a token to begin with, one that is too large, hosts that are none', async () => {
  const early = await waiting(new GssContext('desk.example', false).step(Buffer.from('x')));
  assert.ok(early.is === 'failed' && early.trouble === 'protocol');
  await assert.rejects(new GssContext('h', false).step(Buffer.alloc(64 * 1024 + 1)), NativeError);
  for (const host of ['', 'x'.repeat(256), 'a\0b']) {
    assert.throws(() => new GssContext(host, false));
  }
});

test('a step whose context nobody holds any more ends in order', async () => {
  const steps = Array.from({ length: 50 }, () => new GssContext('desk.example', false).step(empty));
  const ended = await waiting(Promise.all(steps));
  assert.ok(ended.every(({ is }) => is === 'failed'));
});
