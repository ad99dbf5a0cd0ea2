/** A connection as the monitor knows it, with the notices to its worker recorded. */
import { Log } from '../../src/audit/log.ts';
import { Connection, type Login, type WorkerPort } from '../../src/monitor/connection.ts';
import type { LeaderClient } from '../../pam/leader-client.ts';
import type { CardConfig, ServerConfig } from '../../src/policy/config.ts';
import type { Grant } from '../../src/policy/grant.ts';

export const testGrant: Grant = {
  user: 'alice',
  forcedCommand: undefined,
  forcedCommandSource: undefined,
  chrootDirectory: undefined,
  permitTty: true,
  permitUserEnvironment: false,
  userEnvironmentNames: undefined,
  environment: [],
  tcpForwarding: 'yes',
  permitOpenByConfig: 'any',
  permitOpenByKey: undefined,
  permitListenByConfig: 'any',
  permitListenByKey: undefined,
  gatewayPorts: 'no',
  addressFamily: 'any',
  streamLocalForwarding: 'yes',
  streamLocalBindMask: 0o177,
  streamLocalBindUnlink: false,
  maxSessions: 10,
  permitAgentForwarding: true,
  permitX11Forwarding: true,
  permitUserRc: true,
};

export function testLogin(
  over: Partial<Omit<Login, 'grant'>> & { grant?: Partial<Grant> } = {},
): Login {
  const { grant, ...rest } = over;
  return {
    user: 'alice',
    account: {
      exists: true,
      user: 'alice',
      uid: 1000,
      gid: 1000,
      home: '/home/alice',
      shell: '/bin/bash',
      groups: ['alice'],
      shellState: 0,
      shadowState: 0,
    },
    leader: {} as LeaderClient,
    config: { setEnv: [], subsystems: new Map() } as unknown as ServerConfig,
    mustChangePassword: false,
    messages: Buffer.alloc(0),
    authInfo: '',
    authInfoFile: undefined,
    established: Promise.resolve({
      setcredCode: 0,
      sessionCode: 0,
      sessionText: '',
      environment: [],
      messages: [],
      rootRefusal: '',
    }),
    hasNoSession: false,
    remoteHost: '127.0.0.1',
    tickets: '',
    ...rest,
    grant: { ...testGrant, ...grant },
  };
}

export function testConnection(log: Log = new Log({ write: () => {} }, 'QUIET')): {
  readonly connection: Connection;
  readonly notices: unknown[][];
} {
  const notices: unknown[][] = [];
  const record =
    (name: string) =>
    (...values: unknown[]): void =>
      void notices.push([name, ...values]);
  const worker: WorkerPort = {
    number: 1,
    closeConnection: record('closeConnection'),
    sessionExit: record('sessionExit'),
    x11End: record('x11End'),
    loginSettings: record('loginSettings'),
    viewerEnd: record('viewerEnd'),
    viewerWarning: record('viewerWarning'),
    desktopAgentSocket: record('desktopAgentSocket'),
  };
  const endpoints = {
    remoteAddress: '192.0.2.1',
    remotePort: 1,
    localAddress: '192.0.2.2',
    localPort: 22,
  };
  const identity = { id: '0123456789abcdef', processNumber: 4_194_305 };
  const cookie = Buffer.alloc(16, 7);
  return { connection: new Connection(1, endpoints, worker, cookie, log, identity), notices };
}

/** sshdesk_config says nothing of cards. */
export const noCards: CardConfig = {
  cardCertificates: undefined,
  cardCertificateFiles: [],
  cardMappings: [],
  cardRevocationList: undefined,
};
