/**
 * Method gssapi-with-mic of our client against a server that says what a test writes: what is due,
 * and everything that is not. The tickets are a script too. Runs in: test.
 */
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { describe, test } from 'node:test';
import type { GssStep } from '../../src/base/gss.ts';
import { wholeOffer } from '../../src/ssh/client/algorithm-options.ts';
import { openSession } from '../../src/ssh/client/session.ts';
import { createServerTransport } from '../../src/ssh/transport/server-transport.ts';
import { LocalSigner, makeHostKey } from '../support/exchange-signer.ts';
import { byte, no, payload, str, u32, yes } from '../support/raw-ssh.ts';
import { complete, more, ScriptedGss } from '../support/scripted-gss.ts';
import { settingsFor } from '../support/transport-server.ts';

const hostKey = makeHostKey('ssh-ed25519');
const kerberos = Buffer.from('06092a864886f712010202', 'hex');
const spnego = Buffer.from('06062b0601050502', 'hex');
const numbers = { none: 50, response: 60, token: 61, error: 64, errorToken: 65, mic: 66 };
const offered = payload(51, str('gssapi-with-mic'), no);
const refused = payload(51, str('gssapi-with-mic'), no);
const success = payload(52);
const response = payload(numbers.response, str(kerberos));
const token = (text = 'theirs') => payload(numbers.token, str(text));

interface Met {
  readonly error: string | null;
  /** What the client has sent behind its request for `none`. */
  readonly sent: readonly Buffer[];
  readonly sessionId: Buffer;
}

/** `answers`: what the server sends at the client's n-th message behind `none`. */
async function meet(
  gss: ScriptedGss,
  answers: readonly (readonly Buffer[])[],
  isHostKnown = true,
): Promise<Met> {
  const [near, far] = duplexPair();
  near.on('error', () => undefined);
  const transport = createServerTransport({
    stream: far,
    settings: settingsFor([hostKey]),
    signer: new LocalSigner([hostKey], 0),
    onBug: () => {},
  });
  const sent: Buffer[] = [];
  transport.onPayload = (given: Buffer) => {
    const copy = Buffer.from(given);
    if (copy[0] === 5) {
      transport.send(payload(6, str('ssh-userauth')));
      return;
    }
    const isNone = copy[0] === numbers.none && copy.includes('none');
    const due = isNone ? [offered] : (answers[sent.push(copy) - 1] ?? []);
    for (const one of due) transport.send(one);
  };
  const outcome = await openSession({
    socket: near as never,
    offer: wholeOffer,
    verifyHostKey: async () => isHostKnown,
    planUserauth: async () => ({
      user: 'alice',
      host: 'desk',
      methods: ['gssapi-with-mic'],
      identities: [],
      gssapi: gss,
      conversation: null,
      promptAttempts: 3,
    }),
    onBanner: () => {},
    handshakeTimeoutMs: 5_000,
    keepaliveIntervalMs: 0,
    keepaliveCountMax: 3,
  }).then(
    (session) => {
      void session.close();
      return null;
    },
    (error: Error) => error.message,
  );
  const met = { error: outcome, sent, sessionId: transport.sessionId as Buffer };
  far.destroy();
  near.destroy();
  return met;
}

const usual = (): ScriptedGss => new ScriptedGss(more('ours'), complete());

describe('the client’s gssapi-with-mic', { timeout: 30_000 }, () => {
  test('one mechanism, the tokens, and a MIC over session, user, service and method', async () => {
    const gss = usual();
    const { error, sent, sessionId } = await meet(gss, [[response], [token()], [success]]);
    assert.equal(error, null);
    const [request, first, mic] = sent as [Buffer, Buffer, Buffer];
    const named = [str('alice'), str('ssh-connection'), str('gssapi-with-mic')];
    assert.deepEqual(request, payload(numbers.none, ...named, u32(1), str(kerberos)));
    assert.deepEqual(first, payload(numbers.token, str('ours')));
    assert.deepEqual(mic, payload(numbers.mic, str('mic')));
    assert.deepEqual(gss.given, ['', 'theirs']);
    assert.deepEqual(gss.signed, [Buffer.concat([str(sessionId), byte(numbers.none), ...named])]);
  });

  test('a last token of ours goes before the MIC, and nothing is waited for between them', async () => {
    const gss = new ScriptedGss(more('ours'), complete('last'));
    const { error, sent } = await meet(gss, [[response], [token()], [], [success]]);
    assert.equal(error, null);
    assert.deepEqual(
      sent.slice(2).map(([number]) => number),
      [numbers.token, numbers.mic],
    );
  });

  const failed = (trouble: 'expired' | 'no-tickets'): GssStep => ({
    is: 'failed',
    token: Buffer.alloc(0),
    trouble,
    reason: 'because',
  });
  test('no tickets: the server is not asked, and the remedy comes with the refusal', async () => {
    const gss = new ScriptedGss(failed('no-tickets'));
    const { error, sent } = await meet(gss, []);
    assert.deepEqual(sent, []);
    assert.match(
      error ?? '',
      /Permission denied.*\nKerberos: because\. Remedy: kinit gets a ticket/,
    );
    assert.deepEqual(gss.notes, []);
  });

  test('an expired ticket is told at once', async () => {
    const gss = new ScriptedGss(failed('expired'));
    await meet(gss, []);
    assert.match(gss.notes.join(), /Remedy: kinit gets a new ticket/);
  });

  test('ERROR and an error token with the refusal behind them: told, and gone on', async () => {
    const words = payload(numbers.error, u32(1), u32(2), str('no key\u001b[2J'), str(''));
    const bad = payload(numbers.errorToken, str('why'));
    const gss = new ScriptedGss(more('ours'), failed('expired'));
    const { error } = await meet(gss, [[response], [words, bad, refused]]);
    assert.match(error ?? '', /Permission denied/);
    assert.match(gss.notes[0] ?? '', /desk says: no key/);
    const later = new ScriptedGss(more('ours'), failed('expired'));
    await meet(later, [[response], [bad, refused]]);
    assert.deepEqual(later.given, ['', 'why'], 'the library is shown what it is');
    assert.equal(later.notes.length, 1);
  });

  test('a token that the library refuses: it is told, and nothing is proved', async () => {
    const bad: GssStep = { ...failed('expired'), token: Buffer.from('bad') };
    const { sent } = await meet(new ScriptedGss(more('ours'), bad), [[response], [token()]]);
    assert.deepEqual(sent.at(-1), payload(numbers.errorToken, str('bad')));
  });

  test('without mutual authentication or integrity nothing is proved', async () => {
    for (const lacking of [{ isMutual: false }, { isIntegral: false }]) {
      const gss = new ScriptedGss(more('ours'), complete('', lacking));
      const { sent } = await meet(gss, [[response], [token()]]);
      assert.ok(!sent.some(([number]) => number === numbers.mic));
      assert.equal(gss.notes.length, 1);
    }
    const atOnce = new ScriptedGss(complete('ours', { isMutual: false }));
    const { sent } = await meet(atOnce, []);
    assert.deepEqual(sent, []);
  });

  test('a host whose key is not accepted has no ticket asked for', async () => {
    const gss = usual();
    const { error, sent } = await meet(gss, [[response], [token()], [success]], false);
    assert.match(error ?? '', /Host key verification failed/);
    assert.deepEqual([gss.given, sent], [[], []]);
  });

  const wrong: readonly (readonly [string, readonly (readonly Buffer[])[], RegExp])[] = [
    ['SPNEGO', [[payload(numbers.response, str(spnego))]], /not offered/],
    ['a mechanism of noise', [[payload(numbers.response, str('x'))]], /not offered/],
    ['a token for the response', [[token()]], /message 61/],
    ['a second response', [[response], [response]], /message 60/],
    ['an empty token', [[response], [token('')]], /empty token/],
    ['a broken token', [[response], [payload(numbers.token, u32(99))]], /broken message/],
    ['an oversized token', [[response], [token('x'.repeat(70_000))]], /Bad packet length/],
    ['a token behind the last', [[response], [token()], [token()]], /message 61/],
    ['a MIC of its own', [[response], [payload(numbers.mic, str('x'))]], /message 66/],
    ['a number of nobody', [[response], [payload(79)]], /message 79/],
    ['success at once', [[success]], /before the exchange is over/],
    ['success behind the response', [[response, success]], /not asked/],
    ['success for a token', [[response], [success]], /before the exchange is over/],
    [
      'a partial success for a token',
      [[response], [payload(51, str('password'), yes)]],
      /before the exchange is over/,
    ],
    ['success with the last token', [[response], [token(), success]], /not asked/],
    ['a question', [[response], [payload(60, str('n'), str('i'), str(''), u32(0))]], /message 60/],
  ];
  for (const [name, answers, words] of wrong) {
    test(`from the server: ${name}`, async () => {
      const { error } = await meet(usual(), answers);
      assert.match(error ?? 'it is let in', words);
    });
  }

  test('tokens without an end', async () => {
    const gss = new ScriptedGss(more('ours'));
    const { error, sent } = await meet(gss, [
      [response],
      ...Array.from({ length: 40 }, () => [token()]),
    ]);
    assert.match(error ?? '', /never stops/);
    assert.ok(sent.length <= 17);
  });

  test('ERRORs without an end', async () => {
    const words = payload(numbers.error, u32(1), u32(2), str('x'), str(''));
    const { error } = await meet(usual(), [Array.from({ length: 40 }, () => words)]);
    assert.match(error ?? '', /not asked|never stops/);
  });
});
