/**
 * The end of an authentication: PAM's account stack, the login, and what the leader establishes
 * for it: credentials, tickets, PAM session. Runs in: monitor.
 */
import type { Accounted, Established, LeaderClient, PamMessage } from '../../pam/leader-client.ts';
import { gssKeep } from '../../pam/leader-protocol.ts';
import type { Grant } from '../policy/grant.ts';
import type { Candidate } from './candidate.ts';
import type { Login } from './connection.ts';
import { textOf } from './conversation.ts';

/** pam_acct_mgmt(3); its modules are told of the factors in `met`. */
export async function accountStep(
  leader: Pick<LeaderClient, 'account'>,
  met: string,
): Promise<Pick<Accounted, 'newPasswordRequired' | 'messages'> & { readonly isDenied: boolean }> {
  const { returnCode, newPasswordRequired, userChanged, messages } = await leader.account(met);
  const isDenied = userChanged || (returnCode !== 0 && !newPasswordRequired);
  return { isDenied, newPasswordRequired, messages };
}

/** What all the factors have come to. */
export interface Outcome {
  readonly grant: Grant;
  readonly mustChangePassword: boolean;
  /** Of PAM, for the user to read. */
  readonly messages: readonly PamMessage[];
  /** A line for each factor: the method, and the key. */
  readonly authInfo: string;
  /** The leader may hold some that the client passed on. */
  readonly hasTickets: boolean;
}

/** The leader begins at once; what it finds reaches the login when it is known. */
export function establishLogin(candidate: Candidate, outcome: Outcome): Login {
  const { account, leader, host, remoteHost } = candidate;
  const { grant, mustChangePassword, messages, authInfo } = outcome;
  const login: Login = {
    user: account.user,
    account,
    leader,
    remoteHost,
    grant,
    config: host.config,
    mustChangePassword,
    messages: textOf(messages),
    authInfo,
    authInfoFile: undefined,
    established: establish(candidate, outcome),
    hasNoSession: false,
    tickets: '',
  };
  login.established.then(
    (established) => noteEstablished(candidate, login, established),
    // Sessions that wait for it fail with it; a connection that ends first has no use for it.
    (error: unknown) => host.log.debug(`establish: ${String(error)}`),
  );
  return login;
}

/** The tickets come first: what PAM opens for the session may want them. */
async function establish(
  { leader, host, loggedPlain }: Candidate,
  { grant, authInfo, hasTickets }: Outcome,
): Promise<Established> {
  const { config, log } = host;
  const root = grant.chrootDirectory ?? '';
  if (!hasTickets || !config.gssapiDelegateCredentials) {
    return leader.establish('ssh', authInfo, root);
  }
  const { verdict, text } = await leader.gssKeepTickets(config.gssapiCleanupCredentials);
  const isKept = verdict === gssKeep.kept;
  if (!isKept && text !== '') {
    log.error(`tickets of ${loggedPlain} are not kept: ${text}`);
  }
  const established = await leader.establish('ssh', authInfo, root);
  const name = Buffer.from(`KRB5CCNAME=${text}`);
  const isKnown = established.environment.some((entry) => entry.equals(name));
  return isKept && !isKnown
    ? { ...established, environment: [...established.environment, name] }
    : established;
}

function noteEstablished(
  { connection, host, loggedPlain }: Candidate,
  login: Login,
  { setcredCode, sessionCode, sessionText, rootRefusal, environment }: Established,
): void {
  const { log } = host;
  const { chrootDirectory } = login.grant;
  login.tickets = ticketsIn(environment);
  if (setcredCode !== 0) {
    log.error(`PAM: pam_setcred(): code ${setcredCode} for ${loggedPlain}`);
  }
  if (sessionCode !== 0) {
    login.hasNoSession = true;
    log.error(`PAM: pam_open_session(): ${sessionText}`);
  }
  if (rootRefusal !== '') {
    login.hasNoSession = true;
    log.fatal(rootRefusal);
    host.cut(connection);
  } else if (chrootDirectory !== undefined) {
    log.verbose(`Changed root directory to "${chrootDirectory}"`);
  }
}

/** Whoever put them there: a client that passed them on, or a module of PAM. */
function ticketsIn(environment: readonly Buffer[]): string {
  const name = 'KRB5CCNAME=';
  const entry = environment.find((one) => one.toString('latin1').startsWith(name));
  return entry?.subarray(name.length).toString('utf8') ?? '';
}
