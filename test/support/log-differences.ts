/**
 * Where our log is not sshd's, on purpose: each with its reason, in docs/reference/log.md too. A line
 * that no row names must be in both logs. Runs in: test.
 */
export interface LogDifference {
  /** Whose line it is; `both`: at another moment, or as often as not. */
  readonly only: 'sshd' | 'sshdesk' | 'both';
  readonly line: RegExp;
  /** As the reference shows it. */
  readonly shown: string;
  readonly reason: string;
}

export const logDifferences: readonly LogDifference[] = [
  {
    only: 'sshd',
    line: /^User child is on pid N$/,
    shown: 'User child is on pid N',
    reason: 'There is no such process.',
  },
  {
    only: 'both',
    line: /^PAM \d+ more authentication failures?; /,
    shown: 'PAM N more authentication failures; …',
    reason:
      'pam_unix says so when its handle is given back; the leader of somebody who leaves without a login is often ended before.',
  },
  {
    only: 'both',
    line: /^pam_unix\(sshd:auth\): authentication failure; /,
    shown: 'pam_unix(sshd:auth): authentication failure; …',
    reason:
      'Once for all conversations of a connection: they are of one PAM handle, in sshd each has a process of its own.',
  },
  {
    only: 'both',
    line: /^pam_unix\(sshd:auth\): (?:conversation failed|auth could not identify password for )|^PAM service\(sshd\) ignoring max retries; /,
    shown: 'pam_unix(sshd:auth): conversation failed …, PAM service(sshd) ignoring max retries; …',
    reason:
      'Of a conversation that is broken off: whoever runs the module may be ended before it says so.',
  },
  {
    only: 'both',
    line: /^Close session: /,
    shown: 'Close session: user U from IP port N id N',
    reason:
      'Told of every session; sshd leaves it out where the client says good-bye before it closes its channel.',
  },
  {
    only: 'sshd',
    line: /^Transferred: sent \d+, received \d+ bytes$/,
    shown: 'Transferred: sent N, received N bytes',
    reason: 'Bytes do not pass the monitor, and a worker is not asked.',
  },
  {
    only: 'sshd',
    line: /^Postponed keyboard-interactive\/pam for \S+ .*\[preauth\]$/,
    shown: 'Postponed keyboard-interactive/pam for U …',
    reason: 'sshd asks once more, with no prompts, when all is answered rightly.',
  },
  {
    only: 'sshd',
    line: /^(?:error: )?(?:bind \[.*\]:\S+: Permission denied|channel_setup_fwd_listener_tcpip: cannot listen to port: 1)$/,
    shown: 'error: bind [IP]:N: Permission denied …',
    reason: 'Ports below 1024 are root’s: refused before anything is tried.',
  },
  {
    only: 'sshdesk',
    line: /^Received request from .* to remote forward to .* but the request was denied\.$/,
    shown: 'Received request from IP port N to remote forward to …, but the request was denied.',
    reason: 'sshd says so for PermitListen alone; here every refusal of -R is told.',
  },
  {
    only: 'sshd',
    line: /^(?:error: )?dispatch_protocol_error: |^(?:error: )?channel_by_id: |^Disconnecting .*: server_input_channel_req: |^(?:error: )?Bad packet length |^Corrupted MAC on input|^ssh_dispatch_run_fatal: /,
    shown: 'Bad packet length N …, dispatch_protocol_error: …, and the like',
    reason: 'See the next row.',
  },
  {
    only: 'sshdesk',
    line: /^Disconnecting .*: (?:message for channel \d+, which is not open|message \d+ in the midst of authentication \[preauth\]|Bad packet length \[preauth\]|Invalid MAC \[preauth\]|a USERAUTH_REQUEST for a service other than ssh-connection \[preauth\]|a user name of \d+ bytes \[preauth\])$/,
    shown: 'Disconnecting [WHO] IP port N: …',
    reason:
      'Whoever breaks the protocol is told good-bye at once, for a reason in our own words; sshd has words of its own, or goes on (a user name of more than 1024 bytes).',
  },
  {
    only: 'sshdesk',
    line: /^(?:fatal: )?Access denied for user noaccount by PAM account configuration \[preauth\]$/,
    shown: 'fatal: Access denied for user U by PAM account configuration [preauth]',
    reason: 'After a conversation too: nothing that is tried then could succeed. sshd goes on.',
  },
];

/** sshd's lines about what ours ends at once. */
const endedEarly: Readonly<Record<string, RegExp>> = {
  'a name of 5000 letters': /nnnnnnnnnn|^Received disconnect|^pam_unix/,
  'another service': /^Connection closed by invalid user alice/,
  'a message before its time': /^Connection closed by/,
  'a packet that is too long': /^Connection closed by/,
  'PAM refuses the account after a conversation': /^Connection closed by authenticating user/,
};
/** Which attempts a row of `only: sshdesk` is for, where the line is sshd's in others. */
const onlyIn: Readonly<Record<string, readonly string[]>> = {
  'pam_unix(sshd:auth): authentication failure; …': ['too many conversations'],
  'fatal: Access denied for user U by PAM account configuration [preauth]': [
    'PAM refuses the account after a conversation',
  ],
};

/** The lines of one attempt that both must have. */
export function commonLines(
  attempt: string,
  whose: 'sshd' | 'sshdesk',
  lines: readonly string[],
): readonly string[] {
  const early = whose === 'sshd' ? endedEarly[attempt] : undefined;
  return lines.filter(
    (line) =>
      early?.test(line) !== true &&
      !logDifferences.some(
        (row) =>
          (row.only === whose || row.only === 'both') &&
          (onlyIn[row.shown]?.includes(attempt) ?? true) &&
          row.line.test(line),
      ),
  );
}

/** Without what differs from one connection to the next. */
export function normalised(line: string): string {
  return line
    .replaceAll(/port \d{4,5}\b/g, 'port N')
    .replaceAll(/\[127\.0\.0\.1\]:\d+/g, '[127.0.0.1]:N')
    .replaceAll(/SHA256:\S{43}/g, 'SHA256:…')
    .replaceAll(/pts\/\d+/g, 'pts/N')
    .replaceAll(/\bpid[ =]\d+/g, 'pid N');
}
