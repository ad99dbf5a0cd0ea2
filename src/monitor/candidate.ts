/**
 * Who asks to be let in: the user of the first request, the leader that holds the PAM handle, the
 * account, the configuration with the Match blocks that apply, and the judgement before
 * authentication. The same steps for names nobody has. Runs in: monitor.
 */
import type { Account, LeaderClient } from '../../pam/leader-client.ts';
import { loggedName } from '../audit/text.ts';
import { mayLogin } from '../policy/access.ts';
import { type AuthenticationHost, hostOf } from './authentication-host.ts';
import type { Connection } from './connection.ts';
import { peerHost } from './peer-host.ts';

const maxUserBytes = 256;
/** `shadowState` of leader-protocol.ts; with PAM it is the account stack's to say. */
const shadowLocked = 1;
const shadowExpired = 2;

export interface Candidate {
  readonly connection: Connection;
  readonly claimedUser: Buffer;
  /** Its configuration is that of this connection, with Match. */
  readonly host: AuthenticationHost;
  readonly leader: LeaderClient;
  /** With UseDNS its name, if it has one; else the address. */
  readonly remoteHost: string;
  readonly account: Account;
  /** There is no such account. */
  readonly isNobody: boolean;
  /** Exists and may log in as far as the configuration is concerned. */
  readonly isValid: boolean;
  /** The user in a log line: `U` or `invalid user U`. */
  readonly logged: string;
  readonly loggedPlain: string;
}

/** A name that no account has is looked up in place of one that cannot be a name at all. */
function lookupName(claimed: Buffer): string | undefined {
  const text = claimed.toString('utf8');
  const isName =
    claimed.length > 0 &&
    claimed.length <= maxUserBytes &&
    Buffer.from(text).equals(claimed) &&
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    !/[\u0000-\u001f\u007f/]/.test(text) &&
    text !== '.' &&
    text !== '..';
  return isName ? text : undefined;
}

/** Starts the leader and looks the account up. */
export async function lookUpCandidate(
  connection: Connection,
  claimed: Buffer,
  daemon: Omit<AuthenticationHost, 'log'>,
): Promise<Candidate> {
  const { endpoints, log } = connection;
  const claimedUser = Buffer.from(claimed);
  const name = lookupName(claimedUser);
  const leader = await daemon.startLeader(connection);
  const remoteHost = await peerHost(leader, endpoints.remoteAddress, daemon.config, log);
  const origin = {
    user: name ?? 'NOUSER',
    rhost: remoteHost,
    tty: 'ssh',
    connection: `${endpoints.remoteAddress} ${endpoints.remotePort} ${endpoints.localAddress} ${endpoints.localPort}`,
  };
  const loggedAs = `${log.tag}[${connection.processNumber}]`;
  const account = await leader.begin({ kind: 0, service: '', loggedAs, ...origin });
  const isNobody = name === undefined || !account.exists;
  const user = name ?? claimedUser.toString('utf8');
  const host = withMatch(daemon, connection, user, isNobody, account, remoteHost);
  const { config, isRootless } = host;
  // A Match block may name the service, and groups are known only now. The same for everybody.
  const service = config.usePam && !isRootless ? config.pamServiceName : '';
  await leader.beginPam({ service, ...origin });
  // As sshd: a name that nobody has is one for itself, whatever is tried with it. For all others the
  // same is done but for the writing, and nobody waits for it.
  recordFailure({ host, leader, claimedUser }, isNobody).catch((error: unknown) =>
    log.debug(`btmp: ${String(error)}`),
  );
  const loggedPlain = loggedName(claimedUser);
  const sought = { connection, claimedUser, host, leader, remoteHost, account, isNobody };
  const isValid = judge({ ...sought, loggedPlain });
  const logged = isValid ? loggedPlain : `invalid user ${loggedPlain}`;
  return { ...sought, isValid, logged, loggedPlain };
}

function withMatch(
  daemon: Omit<AuthenticationHost, 'log'>,
  { endpoints, log }: Connection,
  user: string,
  isInvalidUser: boolean,
  { groups }: Account,
  remoteHost: string,
): AuthenticationHost {
  const config = daemon.configFor({
    user,
    isInvalidUser,
    groups,
    remoteHost,
    remoteAddress: endpoints.remoteAddress,
    localAddress: endpoints.localAddress,
    localPort: endpoints.localPort,
    routingDomain: '',
  });
  if (config.logLevel !== daemon.config.logLevel) {
    // A Match block's beats what -d and -q say, as in sshd.
    log.changeLevel(config.logLevel);
  }
  return hostOf(daemon, config, log);
}

/** False: does not exist or may not log in; the log says why. */
function judge(sought: Omit<Candidate, 'isValid' | 'logged'>): boolean {
  const { connection, host, account, remoteHost, isNobody, loggedPlain } = sought;
  const { config, log } = host;
  const { endpoints, from } = connection;
  if (isNobody) {
    log.info(`Invalid user ${loggedPlain} from ${from}`, { event: 'user.invalid' });
    return false;
  }
  // sshd has two lines for it: this one, and that the account is locked.
  const isExpired = account.shadowState === shadowExpired && !config.usePam;
  if (isExpired) {
    log.info(`Account ${loggedPlain} has expired`, { event: 'user.refused', reason: 'expired' });
  }
  const verdict = mayLogin(config, {
    user: account.user,
    groups: account.groups,
    remoteAddress: endpoints.remoteAddress,
    remoteHost,
    shell: account.shell,
    shellState: account.shellState,
    isLocked: isExpired || (account.shadowState === shadowLocked && !config.usePam),
  });
  if (!verdict.allowed) {
    log.info(verdict.detail, { event: 'user.refused', reason: verdict.reason });
  }
  return verdict.allowed;
}

/** Into btmp, for lastb(1), with the name as the client gave it: before the wait, which hides it. */
export async function recordFailure(
  { host, leader, claimedUser }: Pick<Candidate, 'host' | 'leader' | 'claimedUser'>,
  isWritten = true,
): Promise<void> {
  if (!host.isRootless) {
    await leader.recordFailure(claimedUser.subarray(0, maxUserBytes), isWritten);
  }
}
