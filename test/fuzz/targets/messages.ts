/**
 * Userauth, connection and session messages above the record layer, in any order. The authority
 * takes nobody but `open` and the password `secret`; the host starts nothing.
 */
import assert from 'node:assert/strict';
import { DisconnectError } from '../../../src/base/errors.ts';
import { Connector } from '../../../src/forwarding/connector.ts';
import { directStreamLocal } from '../../../src/forwarding/direct-streamlocal.ts';
import { directTcpip } from '../../../src/forwarding/direct-tcpip.ts';
import type { ForwardHost } from '../../../src/forwarding/host.ts';
import { RemoteForwards } from '../../../src/forwarding/remote-forwards.ts';
import { SocketRoom } from '../../../src/forwarding/room.ts';
import { refuseTunnel } from '../../../src/forwarding/tun.ts';
import type { HostedSession, SessionHost } from '../../../src/session/host.ts';
import { sessionChannel } from '../../../src/session/session-channel.ts';
import { hostKeysProve } from '../../../src/ssh/connection/host-keys.ts';
import { Connection } from '../../../src/ssh/connection/mux.ts';
import type { Authority, AuthOutcome } from '../../../src/ssh/userauth/authority.ts';
import { UserauthService } from '../../../src/ssh/userauth/service.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { no, payload, str, u32, yes } from '../../support/raw-ssh.ts';
import { type FuzzTarget, joinMessages, settled, splitMessages } from '../target.ts';

const refused: AuthOutcome = { is: 'refused', canContinue: ['publickey', 'password'] };
const accepted: AuthOutcome = { is: 'accepted' };
const prompt: AuthOutcome = {
  is: 'prompt',
  name: Buffer.from('n'),
  instruction: Buffer.alloc(0),
  prompts: [{ text: Buffer.from('Password: '), echo: false }],
};

class StrictAuthority implements Authority {
  #user: string | undefined;
  isAccepted = false;

  #accept(isRight: boolean): AuthOutcome {
    this.isAccepted ||= isRight;
    return isRight ? accepted : refused;
  }
  async begin(user: Buffer): Promise<AuthOutcome> {
    assert.equal(this.#user, undefined, 'the user is fixed once');
    this.#user = user.toString('latin1');
    return this.#accept(this.#user === 'open');
  }
  async none(begun: AuthOutcome): Promise<AuthOutcome> {
    return begun;
  }
  async password(password: Buffer): Promise<AuthOutcome> {
    return this.#accept(password.equals(Buffer.from('secret')));
  }
  async keyboardInteractive(): Promise<AuthOutcome> {
    return prompt;
  }
  async keyboardAnswers(answers: readonly Buffer[]): Promise<AuthOutcome> {
    return this.#accept(answers.length === 1 && answers[0]?.equals(Buffer.from('secret')) === true);
  }
  async startGssapi(mechanisms: readonly Buffer[]): Promise<AuthOutcome> {
    const [mechanism] = mechanisms;
    return mechanism === undefined ? refused : { is: 'mechanism', mechanism };
  }
  async gssapiToken(token: Buffer): Promise<AuthOutcome> {
    return { is: 'token', token, isLast: token.length % 2 === 0 };
  }
  async gssapiMic(): Promise<AuthOutcome> {
    return refused;
  }
  async queryKey(): Promise<AuthOutcome> {
    return { is: 'acceptable' };
  }
  async checkKey(): Promise<AuthOutcome> {
    return refused;
  }
  async refuseMethod(): Promise<AuthOutcome> {
    return refused;
  }
}

function sessionHost(opened: () => void): SessionHost {
  const session = {
    number: 1,
    onExit: () => {},
    onWarning: () => {},
    pty: async () => true,
    env: async () => true,
    forwardAgent: async () => true,
    forwardX11: async () => true,
    start: async () => ({
      is: 'told' as const,
      text: Buffer.from('no'),
      status: 1,
      isOutput: false,
    }),
    signal: async () => true,
    close: () => {},
  } satisfies Partial<HostedSession>;
  return {
    open: async () => {
      opened();
      return { opened: session as unknown as HostedSession };
    },
  };
}

const refusedOpen = { refused: 1, text: 'open failed' } as const;
/** Listens everywhere, on nothing. */
const forwardHost: ForwardHost = {
  directTcpip: async (host) => (host === 'h' ? { internal: 'none' } : refusedOpen),
  directStreamLocal: async () => refusedOpen,
  listenTcp: async (_host, port) =>
    port === 1 ? undefined : { listener: 1, port: port || 4711, descriptors: [] },
  listenStreamLocal: async () => ({ listener: 1, port: 0, descriptors: [] }),
  closeListener: async () => {},
};

const request = (user: string, method: string, ...rest: readonly Buffer[]) =>
  payload(50, str(user), str('ssh-connection'), str(method), ...rest);
const service = payload(5, str('ssh-userauth'));
const open = payload(90, str('session'), u32(3), u32(100_000), u32(32_768));
const channelRequest = (name: string, ...rest: readonly Buffer[]) =>
  payload(98, u32(0), str(name), yes, ...rest);
const key = [str('ssh-ed25519'), str(Buffer.concat([str('ssh-ed25519'), str(Buffer.alloc(32))]))];

export const messages: FuzzTarget = {
  name: 'messages',
  isStream: false,
  perSecond: 6_000,
  seeds: () => [
    joinMessages([
      service,
      request('a', 'none'),
      request('a', 'password', no, str('secret')),
      open,
    ]),
    joinMessages([
      service,
      request('a', 'keyboard-interactive', str(''), str('pam')),
      payload(61, u32(1), str('secret')),
      open,
    ]),
    joinMessages([
      service,
      request('a', 'publickey', no, ...key),
      request('a', 'publickey', yes, ...key, str(Buffer.alloc(83))),
      request('a', 'hostbased', ...key, str('h'), str('u'), str('')),
      request('a', 'gssapi-with-mic', u32(1), str(Buffer.from('06092a864886f712010202', 'hex'))),
      request('a', 'publickey-hostbound-v00@openssh.com', yes, ...key, str(''), str('')),
    ]),
    joinMessages([
      service,
      request('open', 'none'),
      open,
      channelRequest(
        'pty-req',
        str('xterm'),
        u32(80),
        u32(24),
        u32(0),
        u32(0),
        str('\x03\0\0\0\x04\0'),
      ),
      channelRequest('env', str('LANG'), str('C')),
      channelRequest('x11-req', no, str('MIT-MAGIC-COOKIE-1'), str('00'.repeat(16)), u32(0)),
      channelRequest('auth-agent-req@openssh.com'),
      channelRequest('window-change', u32(1), u32(2), u32(3), u32(4)),
      channelRequest('signal', str('TERM')),
      channelRequest('break', u32(100)),
      channelRequest('subsystem', str('sftp')),
      channelRequest('shell'),
      channelRequest('exec', str('true')),
      payload(94, u32(0), str('data')),
      payload(95, u32(0), u32(1), str('data')),
      payload(93, u32(0), u32(5)),
      payload(96, u32(0)),
      payload(97, u32(0)),
    ]),
    joinMessages([
      service,
      request('open', 'none'),
      payload(80, str('tcpip-forward'), yes, str('127.0.0.1'), u32(0)),
      payload(80, str('cancel-tcpip-forward'), yes, str('127.0.0.1'), u32(0)),
      payload(80, str('streamlocal-forward@openssh.com'), yes, str('/tmp/x')),
      payload(80, str('cancel-streamlocal-forward@openssh.com'), yes, str('/tmp/x')),
      payload(
        90,
        str('direct-streamlocal@openssh.com'),
        u32(2),
        u32(9),
        u32(9),
        str('/s'),
        str(''),
        u32(0),
      ),
      payload(90, str('tun@openssh.com'), u32(3), u32(9), u32(9), u32(1), u32(0)),
      payload(80, str('no-more-sessions@openssh.com'), no),
      payload(80, str('hostkeys-prove-00@openssh.com'), yes, str('blob')),
      payload(90, str('direct-tcpip'), u32(1), u32(9), u32(9), str('h'), u32(1), str('o'), u32(2)),
      payload(91, u32(0), u32(0), u32(0), u32(0)),
      payload(92, u32(0), u32(1), str('why'), str('')),
      payload(81),
      payload(82),
      payload(99, u32(0)),
      payload(100, u32(0)),
      open,
    ]),
  ],
  async run([input = Buffer.alloc(0)]) {
    const transport = new MemoryTransport();
    const authority = new StrictAuthority();
    const host = sessionHost(() => {
      assert.ok(authority.isAccepted, 'a session for nobody');
    });
    let mux: Connection | undefined;
    const userauth = new UserauthService(transport, authority, () => {
      assert.ok(authority.isAccepted, 'the connection protocol for nobody');
      const room = new SocketRoom(100, Buffer.alloc(0));
      const connector = new Connector(room);
      const forwards = new RemoteForwards({
        host: forwardHost,
        room,
        opener: () => mux as Connection,
        onTrouble: (error) => assert.fail(error.message),
      });
      mux = new Connection(transport, {
        globalRequests: new Map([
          hostKeysProve({ prove: async (blobs) => (blobs.length > 2 ? undefined : blobs) }),
          ...forwards.requests,
        ]),
        channelTypes: new Map([
          ['session', sessionChannel(host, new Map())],
          ['direct-tcpip', directTcpip(forwardHost, connector, new Map())],
          ['direct-streamlocal@openssh.com', directStreamLocal(forwardHost, connector)],
          ['tun@openssh.com', refuseTunnel],
        ]),
      });
      return mux;
    });
    transport.onPayload = (one) => userauth.receive(one);
    transport.onDrain = () => userauth.drained();
    transport.onClose = () => userauth.closed();
    for (const one of splitMessages(input)) {
      // The record layer lets no empty payload through.
      if (one.length > 0 && !transport.isClosed) {
        transport.deliver(one);
        await settled(1);
      }
    }
    await settled(2);
    transport.close();
    const { error } = transport;
    assert.ok(error === undefined || error instanceof DisconnectError, error?.stack);
    assert.ok(authority.isAccepted || !transport.sent.some((one) => one[0] === 52));
  },
};
