/**
 * x11-req and auth-agent-req of a client on a session: handed on whole, or the connection ends; and
 * nothing that could be a command of xauth counts as an authorization.
 */
import assert from 'node:assert/strict';
import { ProtocolError } from '../../../src/base/errors.ts';
import { isAuthorization } from '../../../src/monitor/requests/x11-forward.ts';
import type { HostedSession, X11Request } from '../../../src/session/host.ts';
import { sessionChannel } from '../../../src/session/session-channel.ts';
import { ConnectionPeer } from '../../support/connection-peer.ts';
import { byte, no, payload, str, u32, yes } from '../../support/raw-ssh.ts';
import { type FuzzTarget, joinMessages, settled, splitMessages } from '../target.ts';

const cookie = '00112233445566778899aabbccddeeff';
const x11 = (single: Buffer, protocol: string, data: string, screen = 0): Buffer =>
  payload(98, u32(0), str('x11-req'), yes, single, str(protocol), str(data), u32(screen));
const agent = payload(98, u32(0), str('auth-agent-req@openssh.com'), no);

export const x11Request: FuzzTarget = {
  name: 'x11-request',
  isStream: false,
  perSecond: 2_000,
  seeds: () => [
    joinMessages([
      agent,
      x11(no, 'MIT-MAGIC-COOKIE-1', cookie),
      payload(98, u32(0), str('shell'), yes),
    ]),
    joinMessages([x11(yes, 'XDM-AUTHORIZATION-1', cookie, 0xffff_ffff), agent, agent]),
    joinMessages([x11(no, 'MIT-MAGIC-COOKIE-1\nsource /etc/shadow', cookie)]),
    joinMessages([x11(no, 'MIT-MAGIC-COOKIE-1', `${cookie}\nremove :0`)]),
    joinMessages([x11(no, '"', '\\'), x11(no, '', ''), x11(byte(2), ';id', '$(id)')]),
  ],
  async run([input = Buffer.alloc(0)]) {
    const asked: X11Request[] = [];
    const hosted = {
      number: 1,
      forwardAgent: async () => true,
      forwardX11: async (request: X11Request) => asked.push(request) > 0,
      start: async () => ({ is: 'refused' }),
      close: () => {},
    } as unknown as HostedSession;
    const peer = new ConnectionPeer({
      channelTypes: new Map([
        ['session', sessionChannel({ open: async () => ({ opened: hosted }) }, new Map())],
      ]),
    });
    peer.open(7, 1000, 1000, 'session');
    await settled();
    for (const message of splitMessages(input)) {
      // Whatever its name has become: of the other requests this target knows nothing.
      if (message[0] === 98 && /x11-req|auth-agent-req|shell/.test(message.toString('latin1'))) {
        peer.transport.deliver(message);
      }
      await settled(1);
    }
    const { error } = peer.transport;
    assert.ok(error === undefined || error instanceof ProtocolError, error?.stack);
    for (const { authProtocol, authData } of asked) {
      if (isAuthorization(authProtocol, authData)) {
        const line = `add unix:10.0 ${authProtocol.toString('latin1')} ${authData.toString('latin1')}`;
        assert.match(line, /^add unix:10\.0 [\w./:-]{1,64} [0-9a-fA-F]{2,256}$/);
      }
    }
    peer.transport.close();
  },
};
