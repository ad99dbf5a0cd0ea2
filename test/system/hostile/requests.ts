/** One of every row of the monitor's table that a worker can ask for. Runs in: worker, hostile. */
import * as broker from '../../../src/broker/link.ts';
import * as link from '../../../src/monitor/link.ts';
import type { Call } from '../../../src/ssh/wire/call.ts';

const id = '0'.repeat(32);
const none = Buffer.alloc(0);
const terminal = {
  term: Buffer.from('x'),
  columns: 1,
  rows: 1,
  widthPixels: 0,
  heightPixels: 0,
  modes: none,
};
const geometry = { width: 0, height: 0, depth: 0 };

// biome-ignore lint/suspicious/noExplicitAny: calls of different shapes stand in one list
export const requests: readonly (readonly [Call<any, any>, object])[] = [
  [link.UserauthBegin, { user: Buffer.from('alice'), service: 'ssh-connection' }],
  [link.NxLogin, { user: Buffer.from('alice'), password: Buffer.from('x') }],
  [link.TryNone, {}],
  [link.CheckPassword, { password: Buffer.from('x') }],
  [link.StartKeyboardInteractive, { submethods: none }],
  [link.AnswerKeyboardInteractive, { answers: [] }],
  [link.StartGssapi, { mechanisms: [none] }],
  [link.GssapiToken, { token: none }],
  [link.GssapiMic, { mic: none }],
  [link.QueryKey, { algorithm: 'ssh-ed25519', blob: none, hostKey: none }],
  [link.CheckKey, { algorithm: 'ssh-ed25519', blob: none, signature: none, hostKey: none }],
  [link.RefuseMethod, { method: 'x' }],
  [link.ProveHostKeys, { keys: [] }],
  [link.SessionOpen, {}],
  [link.SessionPty, { session: 1, ...terminal }],
  [link.SessionEnv, { session: 1, name: Buffer.from('A'), value: none }],
  [link.SessionStart, { session: 1, kind: 'exec', command: Buffer.from('true') }],
  [link.SessionSignal, { session: 1, signalName: 'TERM' }],
  [link.AgentForward, { session: 1 }],
  [
    link.X11Forward,
    {
      session: 1,
      singleConnection: false,
      authProtocol: Buffer.from('MIT-MAGIC-COOKIE-1'),
      authData: Buffer.from('00'),
      screen: 0,
    },
  ],
  [link.DirectTcpip, { host: 'rfb.sshdesk', port: 5900, originAddress: '::1', originPort: 1 }],
  [link.TcpipForward, { host: 'localhost', port: 0 }],
  [link.DirectStreamLocal, { path: '/run/sshdesk/control.sock', originAddress: '', originPort: 0 }],
  [link.StreamLocalForward, { path: `/tmp/forward-${process.pid}` }],
  [link.CloseForward, { listener: 1 }],
  [broker.DesktopList, { session: 0 }],
  [
    broker.DesktopStart,
    { session: 0, name: 'x', engine: '', type: '', ...geometry, parameters: [] },
  ],
  [broker.DesktopFind, { session: 0, which: '', create: 1 }],
  [broker.DesktopAttach, { session: 0, id, protocol: 'rfb', parameters: [] }],
  [broker.DesktopReauthenticate, { session: 0, id }],
  [broker.DesktopAnswer, { session: 0, answers: [] }],
  [broker.DesktopSuspend, { session: 0, id }],
  [broker.DesktopTerminate, { session: 0, id }],
];
