/**
 * AuthorizedKeysCommand and AuthorizedPrincipalsCommand (sshd_config(5)): the leader runs the
 * program as its own user, bounded in time and output; what it printed counts only if it ended
 * well. Runs in: monitor.
 */
import { ranAs } from '../../pam/leader-protocol.ts';
import { commandArguments, commandText } from '../policy/command-line.ts';
import { isPathSafeUser } from '../policy/authorized-keys-files.ts';
import { CallFailure } from '../ssh/wire/peer.ts';
import type { Candidate } from './candidate.ts';

/** sshd has no limit but LoginGraceTime; a directory that is slower than this is down. */
const commandTimeoutMs = 60_000;
const etimedout = 110;
const loggedErrorCharacters = 400;

export interface PolicyCommand {
  /** As the log names it: `AuthorizedKeysCommand`. */
  readonly name: string;
  readonly command: string;
  /** May hold %u. */
  readonly user: string;
  /** Besides those of every command: %h %U %u %C %D. */
  readonly tokens: Readonly<Record<string, string>>;
  /** What a command without arguments gets. */
  readonly otherwise: readonly string[];
}

/** What it printed; undefined: nothing that counts, and the log says why. `readMemfd` takes the descriptor. */
export async function runPolicyCommand(
  candidate: Candidate,
  { name, command, user, tokens, otherwise }: PolicyCommand,
  maxBytes: number,
  readMemfd: (descriptor: number, maxBytes: number) => Buffer,
): Promise<Buffer | undefined> {
  const { account, connection, host, leader } = candidate;
  const { log, config } = host;
  if (!isPathSafeUser(account.user)) {
    return undefined;
  }
  const { remoteAddress, remotePort, localAddress, localPort } = connection.endpoints;
  const written = commandArguments(command, {
    C: `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`,
    D: '',
    h: account.home,
    U: String(account.uid),
    u: account.user,
    ...tokens,
  });
  const argv = written.length === 1 ? [...written, ...otherwise] : written;
  const [file = ''] = argv;
  const runAs = user.replace(/%([%u])/g, (_whole, token) => (token === 'u' ? account.user : '%'));
  const graceMs = config.loginGraceTimeMs === 0 ? Infinity : config.loginGraceTimeMs / 2;
  let ran: Awaited<ReturnType<typeof leader.runCommand>>;
  try {
    ran = await leader.runCommand({
      user: runAs,
      file,
      arguments: argv.map((word) => Buffer.from(word)),
      maxBytes,
      timeoutMs: Math.floor(Math.min(commandTimeoutMs, graceMs)),
    });
  } catch (error) {
    if (!(error instanceof CallFailure)) {
      throw error;
    }
    const why = error.code === etimedout ? 'took too long, killed' : error.text;
    log.error(`${name} ${commandText(argv)}: ${why}`);
    return undefined;
  }
  const output = ran.descriptor === undefined ? undefined : readMemfd(ran.descriptor, maxBytes);
  const said = ran.text.toString('utf8').slice(0, loggedErrorCharacters);
  switch (ran.verdict) {
    case ranAs.done:
      break;
    case ranAs.noUser:
      log.error(`${name}User "${runAs}" not found`);
      return undefined;
    case ranAs.notFound:
      log.error(`Could not stat ${name} "${file}": ${said}`);
      return undefined;
    case ranAs.unsafe:
      log.error(`Unsafe ${name} "${file}": ${said}`);
      return undefined;
    default:
      log.error(`${name} ${commandText(argv)}: more than ${maxBytes} bytes, killed`);
      return undefined;
  }
  for (const line of said.split('\n').filter((text) => text.trim() !== '')) {
    log.info(`${name}: ${line}`);
  }
  if (ran.signal !== 0) {
    log.error(`${name} ${commandText(argv)} exited on signal ${ran.signal}`);
    return undefined;
  }
  if (ran.status !== 0) {
    log.error(`${name} ${commandText(argv)} failed, status ${ran.status}`);
    return undefined;
  }
  return output;
}
