/**
 * The attempts of one connection: counted against MaxAuthTries, and told in the log as sshd tells
 * them. Runs in: monitor.
 */
import type { Candidate } from './candidate.ts';
import type { LoggedProof } from './offered-key.ts';

/** As in sshd, whatever MaxAuthTries says. */
export const maxFailures = 1024;
/** Of keys that would do: a client asks and signs. Each may run AuthorizedKeysCommand. */
const maxAcceptableQueries = 16;

const attemptEvents = {
  Failed: 'authentication.failed',
  Partial: 'authentication.partial',
  Postponed: 'authentication.postponed',
} as const;

export class Attempts {
  readonly #candidate: Candidate;
  #failures = 0;
  #acceptableQueries = 0;

  constructor(candidate: Candidate) {
    this.#candidate = candidate;
  }

  get hasFailures(): boolean {
    return this.#failures > 0;
  }

  /** False from the start with MaxAuthTries 0: nobody gets in. */
  get hasTriesLeft(): boolean {
    return this.#failures < Math.min(this.#candidate.host.config.maxAuthTries, maxFailures);
  }

  /** False: so many keys that would do were asked about, and none has signed, that it is an attack. */
  get mayAskForKeys(): boolean {
    return this.#acceptableQueries < maxAcceptableQueries;
  }

  countAcceptableQuery(): void {
    this.#acceptableQueries++;
  }

  /**
   * `isTold` false: a line of its own has said why, or the method was not even tried: sshd has no
   * further one.
   */
  countFailure(method: string, key: LoggedProof | undefined, isTold: boolean): void {
    this.#failures++;
    if (isTold) {
      this.tell('Failed', method, key);
    }
  }

  tell(what: keyof typeof attemptEvents, method: string, key?: LoggedProof): void {
    const { connection, host, isValid, logged } = this.#candidate;
    if (method === 'publickey' && !isValid) {
      return; // as sshd: that nobody has this name was told, and keys of nobody are not looked at
    }
    const tail = `${key === undefined ? '' : `: ${key.text}`}${what === 'Postponed' ? ' [preauth]' : ''}`;
    const line = `${what} ${method} for ${logged} from ${connection.from} ssh2${tail}`;
    host.log.at(method === 'password' ? 'INFO' : this.#level, line, {
      event: attemptEvents[what],
      isValidUser: isValid,
      method,
      ...key?.fields,
    });
  }

  /** The last factor has been met. */
  tellAccepted(method: string, key: LoggedProof | undefined): void {
    const { connection, host, loggedPlain } = this.#candidate;
    host.log.info(
      `Accepted ${method} for ${loggedPlain} from ${connection.from} ssh2${key === undefined ? '' : `: ${key.text}`}`,
      { event: 'authentication.accepted', method, ...key?.fields },
    );
  }

  /** Attempts of nobody, and those of a user who has used up half of the tries, are told. */
  get #level(): 'INFO' | 'VERBOSE' {
    const { host, isValid } = this.#candidate;
    const isLoud = !isValid || this.#failures >= host.config.maxAuthTries / 2;
    return isLoud ? 'INFO' : 'VERBOSE';
  }
}
