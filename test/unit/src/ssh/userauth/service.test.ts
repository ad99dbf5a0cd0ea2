import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByApplication, ServiceUnavailable } from '../../../../../src/base/errors.ts';
import type { Authority, AuthOutcome } from '../../../../../src/ssh/userauth/authority.ts';
import {
  ServiceRequest,
  UserauthBanner,
  UserauthFailure,
  UserauthRequest,
} from '../../../../../src/ssh/userauth/messages.ts';
import {
  InfoRequest,
  InfoResponse,
} from '../../../../../src/ssh/userauth/methods/keyboard-interactive.ts';
import { PublicKeyOk } from '../../../../../src/ssh/userauth/methods/publickey.ts';
import { UserauthService } from '../../../../../src/ssh/userauth/service.ts';
import { Writer } from '../../../../../src/ssh/wire/writer.ts';
import { isProtocolError, MemoryTransport, settle } from '../../../../support/memory-transport.ts';

const serviceAccept = 6;
const failure = 51;
const success = 52;
const banner = 53;
const method60 = 60;
const empty = Buffer.alloc(0);

const refused: AuthOutcome = { is: 'refused', canContinue: ['publickey', 'password'] };
const accepted: AuthOutcome = { is: 'accepted' };

type Call = readonly [name: string, ...values: unknown[]];

/** Answers each call with the next outcome of a list; keeps what it was asked. */
class ScriptedAuthority implements Authority {
  readonly calls: Call[] = [];
  readonly outcomes: (AuthOutcome | Promise<AuthOutcome>)[];
  constructor(outcomes: (AuthOutcome | Promise<AuthOutcome>)[]) {
    this.outcomes = outcomes;
  }
  async #ask(...call: Call): Promise<AuthOutcome> {
    this.calls.push(call);
    return this.outcomes.shift() ?? refused;
  }
  begin(user: Buffer, service: string): Promise<AuthOutcome> {
    return this.#ask('begin', user.toString(), service);
  }
  async none(begun: AuthOutcome): Promise<AuthOutcome> {
    return begun;
  }
  password(password: Buffer): Promise<AuthOutcome> {
    return this.#ask('password', password.toString());
  }
  keyboardInteractive(submethods: Buffer): Promise<AuthOutcome> {
    return this.#ask('keyboardInteractive', submethods.toString());
  }
  keyboardAnswers(answers: readonly Buffer[]): Promise<AuthOutcome> {
    return this.#ask('keyboardAnswers', ...answers.map(String));
  }
  startGssapi(mechanisms: readonly Buffer[]): Promise<AuthOutcome> {
    return this.#ask('startGssapi', ...mechanisms.map((one) => one.toString('hex')));
  }
  gssapiToken(token: Buffer): Promise<AuthOutcome> {
    return this.#ask('gssapiToken', token.toString());
  }
  gssapiMic(mic: Buffer): Promise<AuthOutcome> {
    return this.#ask('gssapiMic', mic.toString());
  }
  queryKey(algorithm: string, blob: Buffer, hostKey: Buffer): Promise<AuthOutcome> {
    return this.#ask('queryKey', algorithm, blob.toString(), ...textsOf(hostKey));
  }
  checkKey(
    algorithm: string,
    blob: Buffer,
    signature: Buffer,
    hostKey: Buffer,
  ): Promise<AuthOutcome> {
    const named = textsOf(hostKey);
    return this.#ask('checkKey', algorithm, blob.toString(), signature.toString(), ...named);
  }
  refuseMethod(method: string): Promise<AuthOutcome> {
    return this.#ask('refuseMethod', method);
  }
}

function textsOf(hostKey: Buffer): readonly string[] {
  return hostKey.length === 0 ? [] : [hostKey.toString()];
}

class Login {
  readonly transport = new MemoryTransport();
  readonly authority: ScriptedAuthority;
  /** What reached the connection protocol. */
  readonly above: number[] = [];
  closedAbove = 0;

  constructor(...outcomes: (AuthOutcome | Promise<AuthOutcome>)[]) {
    this.authority = new ScriptedAuthority(outcomes);
    const service = new UserauthService(this.transport, this.authority, () => ({
      receive: (payload) => void this.above.push(payload[0] as number),
      drained: () => {},
      closed: () => void this.closedAbove++,
    }));
    this.transport.onPayload = (payload) => service.receive(payload);
    this.transport.onDrain = () => service.drained();
    this.transport.onClose = () => service.closed();
  }

  /** With the service accepted. */
  static begun(...outcomes: (AuthOutcome | Promise<AuthOutcome>)[]): Login {
    const login = new Login(...outcomes);
    login.transport.deliver(ServiceRequest.encode({ service: 'ssh-userauth' }));
    assert.deepEqual(login.numbers(), [serviceAccept]);
    return login;
  }

  ask(method: string, data: Buffer = empty, user = 'alice', service = 'ssh-connection'): void {
    const claimedUser = Buffer.from(user);
    this.transport.deliver(UserauthRequest.encode({ claimedUser, service, method, data }));
  }

  numbers(): number[] {
    return this.transport.take().map((payload) => payload[0] as number);
  }
}

const passwordData = (text: string): Buffer => new Writer().bool(false).text(text).done();
const keyData = (algorithm: string, blob: string, signature?: string): Buffer => {
  const writer = new Writer()
    .bool(signature !== undefined)
    .text(algorithm)
    .text(blob);
  return signature === undefined ? writer.done() : writer.text(signature).done();
};
const interactiveData = new Writer().text('').text('pam').done();
const prompt = (...texts: string[]): AuthOutcome => ({
  is: 'prompt',
  name: Buffer.from('name'),
  instruction: Buffer.from('instruction'),
  prompts: texts.map((text) => ({ text: Buffer.from(text), echo: false })),
});
const answers = (...texts: string[]): Buffer =>
  InfoResponse.encode({ answers: texts.map((text) => Buffer.from(text)) });

test('`none` is answered by what `begin` says', async () => {
  const login = Login.begun(refused);
  login.ask('none');
  const payload = await login.transport.next(failure);
  assert.deepEqual(UserauthFailure.decode(payload), {
    canContinue: ['publickey', 'password'],
    partialSuccess: false,
  });
  assert.deepEqual(login.authority.calls, [['begin', 'alice', 'ssh-connection']]);
});

test('another method as the first request begins and then runs', async () => {
  const login = Login.begun(refused, accepted);
  login.ask('password', passwordData('secret'));
  await login.transport.next(success);
  assert.deepEqual(login.authority.calls, [
    ['begin', 'alice', 'ssh-connection'],
    ['password', 'secret'],
  ]);
  assert.equal(login.transport.isAuthenticated, true);
});

test('`none` again is refused like an unknown method', async () => {
  const login = Login.begun();
  login.ask('none');
  login.ask('none');
  await settle();
  assert.deepEqual(login.numbers(), [failure, failure]);
  assert.deepEqual(login.authority.calls[1], ['refuseMethod', 'none']);
});

test('an unknown method is a FAILURE and the connection lives', async () => {
  const login = Login.begun();
  for (const method of ['gssapi-with-mic', 'hostbased', 'x'.repeat(5000), '']) {
    login.ask(method, Buffer.from('whatever it carries'));
    await login.transport.next(failure);
  }
  assert.equal(login.transport.isClosed, false);
  assert.deepEqual(
    login.authority.calls.map(([name]) => name),
    ['begin', 'refuseMethod', 'refuseMethod', 'refuseMethod', 'refuseMethod'],
  );
  assert.equal(login.authority.calls[3]?.[1], 'x'.repeat(64));
});

test('partial success says so', async () => {
  const login = Login.begun(refused, { is: 'partial', canContinue: ['password'] });
  login.ask('publickey', keyData('ssh-ed25519', 'blob', 'signature'));
  const payload = await login.transport.next(failure);
  assert.deepEqual(UserauthFailure.decode(payload), {
    canContinue: ['password'],
    partialSuccess: true,
  });
});

test('pipelined requests are answered in order, one at a time', async () => {
  let finish: (outcome: AuthOutcome) => void = () => {};
  const slow = new Promise<AuthOutcome>((resolve) => {
    finish = resolve;
  });
  const login = Login.begun(refused, slow, { is: 'partial', canContinue: ['none'] }, accepted);
  login.ask('none');
  login.ask('password', passwordData('first'));
  login.ask('password', passwordData('second'));
  login.ask('password', passwordData('third'));
  await settle();
  assert.deepEqual(login.numbers(), [failure]);
  assert.equal(login.authority.calls.length, 2, 'the second waits for the first');
  finish(refused);
  await settle();
  const sent = login.transport.take();
  assert.deepEqual(
    sent.map((payload) => payload[0]),
    [failure, failure, success],
  );
  assert.equal(UserauthFailure.decode(sent[0] as Buffer).partialSuccess, false);
  assert.equal(UserauthFailure.decode(sent[1] as Buffer).partialSuccess, true);
});

test('a flood of requests behind one that waits ends the connection', async () => {
  const login = Login.begun(new Promise<AuthOutcome>(() => {}));
  for (let count = 0; count < 100; count++) {
    login.ask('none');
  }
  assert.ok(isProtocolError(await login.transport.ended()));
  assert.equal(login.authority.calls.length, 1);
});

test('a client that does not read its answers gets no further ones', async () => {
  const login = Login.begun();
  login.ask('none');
  await settle();
  login.transport.isFull = true;
  login.ask('none');
  await settle();
  login.ask('none');
  login.ask('none');
  await settle();
  assert.deepEqual(login.numbers(), [failure, failure]);
  login.transport.drain();
  await settle();
  assert.deepEqual(login.numbers(), [failure, failure]);
});

test('another user or service than the first ends the connection with reason 2', async () => {
  for (const [user, service] of [
    ['bob', 'ssh-connection'],
    ['alice\0', 'ssh-connection'],
    ['alice', 'ssh-other'],
  ]) {
    const login = Login.begun();
    login.ask('none');
    await login.transport.next(failure);
    login.ask('password', passwordData('x'), user, service);
    const error = await login.transport.ended();
    assert.ok(error instanceof ByApplication);
    assert.equal(error.reason, 2);
    assert.equal(error.peerText, 'Change of username or service not allowed');
    assert.equal(login.authority.calls.length, 1);
  }
});

test('services other than ssh-userauth and ssh-connection are not available', async () => {
  const first = new Login();
  first.transport.deliver(ServiceRequest.encode({ service: 'ssh-connection' }));
  assert.ok((await first.transport.ended()) instanceof ServiceUnavailable);
  const second = Login.begun();
  second.ask('none', empty, 'alice', 'ssh-userauth');
  assert.ok((await second.transport.ended()) instanceof ServiceUnavailable);
  assert.deepEqual(second.authority.calls, []);
});

test('a USERAUTH_REQUEST before SERVICE_REQUEST ends the connection', async () => {
  const login = new Login(accepted);
  login.ask('none');
  assert.ok(isProtocolError(await login.transport.ended()));
  assert.deepEqual(login.authority.calls, []);
});

test('messages that only a server sends, or of a method that does not run, end the connection', async () => {
  for (const number of [6, 51, 52, 53, 60, 61, 63, 79]) {
    const login = Login.begun();
    login.ask('none');
    await login.transport.next(failure);
    login.transport.deliver(Buffer.from([number]));
    assert.ok(isProtocolError(await login.transport.ended()), `message ${number}`);
    assert.equal(login.authority.calls.length, 1);
  }
});

test('each message of the connection protocol before success ends the connection', async () => {
  for (let number = 80; number <= 127; number++) {
    const login = Login.begun();
    login.transport.deliver(Buffer.from([number, 0, 0, 0, 0]));
    assert.ok(isProtocolError(await login.transport.ended()), `message ${number}`);
    assert.deepEqual(login.above, []);
  }
});

test('a channel opened while the authority thinks reaches nobody unless it accepts', async () => {
  for (const outcome of [refused, accepted]) {
    const login = Login.begun(refused, outcome);
    login.ask('password', passwordData('x'));
    login.transport.deliver(Buffer.from([90, 1]));
    await settle();
    assert.deepEqual(login.above, outcome.is === 'accepted' ? [90] : []);
    assert.equal(isProtocolError(login.transport.error), outcome.is !== 'accepted');
  }
});

test('unassigned numbers are answered with UNIMPLEMENTED', () => {
  const login = Login.begun();
  login.transport.deliver(Buffer.from([54]), Buffer.from([59]), Buffer.alloc(0));
  assert.equal(login.transport.unimplementedCount, 3);
});

test('after success requests are ignored, whoever they are for; other messages of this layer are unknown', async () => {
  const login = Login.begun(accepted);
  login.ask('none');
  await login.transport.next(success);
  login.ask('password', passwordData('x'), 'root');
  login.ask('none');
  login.transport.deliver(Buffer.from([98]));
  await settle();
  assert.deepEqual(login.numbers(), []);
  assert.equal(login.authority.calls.length, 1);
  assert.deepEqual(login.above, [98]);
  for (const number of [5, 51, 61, 77, 79]) {
    login.transport.deliver(Buffer.from([number]));
  }
  assert.equal(login.transport.unimplementedCount, 5);
  assert.equal(login.transport.error, undefined);
});

test('a banner leaves before the answer', async () => {
  const login = Login.begun(
    { ...refused, banner: Buffer.from('Welcome') },
    { ...accepted, banner: Buffer.from('Hurry') },
  );
  login.ask('password', passwordData('x'));
  await settle();
  const sent = login.transport.take();
  assert.deepEqual(
    sent.map((payload) => payload[0]),
    [banner, banner, success],
  );
  assert.equal(UserauthBanner.decode(sent[0] as Buffer).text.toString(), 'Welcome');
});

test('a disconnect carries the reason and text of the authority', async () => {
  const text = 'Too many authentication failures';
  const login = Login.begun(refused, { is: 'disconnect', reason: 2, peerText: text });
  login.ask('password', passwordData('x'));
  const error = await login.transport.ended();
  assert.ok(error instanceof ByApplication);
  assert.deepEqual([error.reason, error.peerText], [2, text]);
});

test('what an authority throws ends the connection', async () => {
  const login = Login.begun(Promise.reject(new Error('the monitor has gone')));
  login.ask('none');
  assert.equal((await login.transport.ended())?.message, 'the monitor has gone');
});

test('an answer that comes after the end is not sent', async () => {
  let finish: (outcome: AuthOutcome) => void = () => {};
  const login = Login.begun(new Promise<AuthOutcome>((resolve) => (finish = resolve)));
  login.ask('none');
  login.transport.close();
  finish(accepted);
  await settle();
  assert.deepEqual(login.numbers(), []);
  assert.equal(login.transport.isAuthenticated, false);
});

test('password: a change, one of 1025 bytes and a malformed one are not asked for', async () => {
  const login = Login.begun();
  login.ask('password', new Writer().bool(true).text('old').text('new').done());
  await login.transport.next(failure);
  login.ask('password', passwordData('x'.repeat(1025)));
  await login.transport.next(failure);
  assert.deepEqual(login.authority.calls.slice(1), [
    ['refuseMethod', 'password'],
    ['refuseMethod', 'password'],
  ]);
  login.ask('password', Buffer.concat([passwordData('x'), Buffer.of(0)]));
  assert.ok(isProtocolError(await login.transport.ended()));
});

test('password: nothing of it is left in the payload, used or queued', async () => {
  const login = Login.begun();
  const payloads = ['first', 'second'].map((text) =>
    UserauthRequest.encode({
      claimedUser: Buffer.from('alice'),
      service: 'ssh-connection',
      method: 'password',
      data: passwordData(text),
    }),
  );
  login.transport.deliver(...payloads);
  await settle();
  assert.deepEqual(
    login.authority.calls.slice(1).map(([, text]) => text),
    ['first', 'second'],
  );
  assert.ok(payloads.every((payload) => !/first|second/.test(payload.toString('latin1'))));
});

test('publickey: PK_OK echoes the algorithm that was asked, not the type of the key', async () => {
  const login = Login.begun(refused, { is: 'acceptable' });
  login.ask('publickey', keyData('rsa-sha2-512', 'ssh-rsa blob'));
  const payload = await login.transport.next(method60);
  const { algorithm, blob } = PublicKeyOk.decode(payload);
  assert.deepEqual([algorithm, blob.toString()], ['rsa-sha2-512', 'ssh-rsa blob']);
});

test('publickey: the key of the signature counts, whatever was queried before', async () => {
  const login = Login.begun(refused, { is: 'acceptable' }, { is: 'acceptable' }, accepted);
  login.ask('publickey', keyData('ssh-ed25519', 'A'));
  login.ask('publickey', keyData('ssh-ed25519', 'B'));
  login.ask('publickey', keyData('ssh-ed25519', 'A', 'signed'));
  await settle();
  assert.deepEqual(login.numbers(), [method60, method60, success]);
  assert.deepEqual(login.authority.calls.at(-1), ['checkKey', 'ssh-ed25519', 'A', 'signed']);
});

test('publickey: whether an algorithm counts is asked of the authority', async () => {
  const login = Login.begun();
  login.ask('publickey', keyData('ssh-dss', 'blob', 'signature'));
  await login.transport.next(failure);
  assert.deepEqual(login.authority.calls.slice(1), [['checkKey', 'ssh-dss', 'blob', 'signature']]);
});

test('publickey-hostbound: the host key goes to the authority, in front of the signature', async () => {
  const login = Login.begun(refused, { is: 'acceptable' }, accepted);
  const name = 'publickey-hostbound-v00@openssh.com';
  const query = Buffer.concat([keyData('ssh-ed25519', 'A'), new Writer().text('host').done()]);
  login.ask(name, query);
  const signed = Buffer.concat([query, new Writer().text('signed').done()]);
  signed[0] = 1;
  login.ask(name, signed);
  await settle();
  assert.deepEqual(login.numbers(), [method60, success]);
  assert.deepEqual(login.authority.calls.slice(1), [
    ['queryKey', 'ssh-ed25519', 'A', 'host'],
    ['checkKey', 'ssh-ed25519', 'A', 'signed', 'host'],
  ]);
});

test('publickey-hostbound: a request that names no host key ends the connection', async () => {
  for (const tail of [Buffer.alloc(0), new Writer().text('').done()]) {
    const login = Login.begun();
    const data = Buffer.concat([keyData('ssh-ed25519', 'A'), tail]);
    login.ask('publickey-hostbound-v00@openssh.com', data);
    assert.ok(isProtocolError(await login.transport.ended()));
  }
});

test('publickey: bytes behind the signature end the connection', async () => {
  const login = Login.begun();
  login.ask('publickey', Buffer.concat([keyData('ssh-ed25519', 'b', 's'), Buffer.of(1)]));
  assert.ok(isProtocolError(await login.transport.ended()));
});

test('keyboard-interactive: as many rounds as the authority wants, also one without prompts', async () => {
  const login = Login.begun(refused, prompt('Password: ', 'Code: '), prompt(), accepted);
  login.ask('keyboard-interactive', interactiveData);
  const first = InfoRequest.decode(await login.transport.next(method60));
  assert.deepEqual(
    first.prompts.map(({ text, echo }) => [text.toString(), echo]),
    [
      ['Password: ', false],
      ['Code: ', false],
    ],
  );
  assert.equal(first.instruction.toString(), 'instruction');
  login.transport.deliver(answers('a', 'b'));
  assert.equal(InfoRequest.decode(await login.transport.next(method60)).prompts.length, 0);
  login.transport.deliver(answers());
  await login.transport.next(success);
  assert.deepEqual(login.authority.calls.slice(1), [
    ['keyboardInteractive', 'pam'],
    ['keyboardAnswers', 'a', 'b'],
    ['keyboardAnswers'],
  ]);
});

test('keyboard-interactive: a wrong number of answers or a giant one is a counted failure', async () => {
  for (const response of [answers(), answers('a', 'b'), answers('x'.repeat(1025))]) {
    const login = Login.begun(refused, prompt('Password: '));
    login.ask('keyboard-interactive', interactiveData);
    await login.transport.next(method60);
    login.transport.deliver(response);
    await login.transport.next(failure);
    assert.deepEqual(login.authority.calls.at(-1), ['refuseMethod', 'keyboard-interactive']);
  }
});

test('keyboard-interactive: a new request abandons the dialogue; a late answer ends the connection', async () => {
  const login = Login.begun(refused, prompt('Password: '), refused);
  login.ask('keyboard-interactive', interactiveData);
  await login.transport.next(method60);
  login.ask('password', passwordData('x'));
  await login.transport.next(failure);
  login.transport.deliver(answers('late'));
  assert.ok(isProtocolError(await login.transport.ended()));
  assert.ok(login.authority.calls.every(([name]) => name !== 'keyboardAnswers'));
});

test('keyboard-interactive: answers are erased', async () => {
  const login = Login.begun(refused, prompt('Password: '), refused);
  login.ask('keyboard-interactive', interactiveData);
  await login.transport.next(method60);
  const response = answers('tell-tale');
  login.transport.deliver(response);
  await login.transport.next(failure);
  assert.ok(!response.includes('tell-tale'));
});

test('keyboard-interactive: more answers than anybody can ask for end the connection', async () => {
  const login = Login.begun(refused, prompt('Password: '));
  login.ask('keyboard-interactive', interactiveData);
  await login.transport.next(method60);
  login.transport.deliver(new Writer().byte(61).uint32(0xffff_ffff).done());
  assert.ok(isProtocolError(await login.transport.ended()));
});

test('SERVICE_REQUEST again is accepted, a flood of it is not', async () => {
  const login = Login.begun();
  login.transport.deliver(ServiceRequest.encode({ service: 'ssh-userauth' }));
  assert.deepEqual(login.numbers(), [serviceAccept]);
  for (let count = 0; count < 100; count++) {
    login.transport.deliver(ServiceRequest.encode({ service: 'ssh-userauth' }));
  }
  assert.ok(isProtocolError(login.transport.error));
});

test('every request cut at each offset is a protocol error, and no method sees it', async () => {
  const whole = UserauthRequest.encode({
    claimedUser: Buffer.from('alice'),
    service: 'ssh-connection',
    method: 'publickey',
    data: keyData('ssh-ed25519', 'blob', 'signature'),
  });
  for (let length = 1; length < whole.length; length++) {
    const login = Login.begun();
    login.transport.deliver(Buffer.from(whole.subarray(0, length)));
    assert.ok(isProtocolError(await login.transport.ended()), `cut at ${length}`);
    assert.ok(login.authority.calls.every(([name]) => name === 'begin'));
  }
});
