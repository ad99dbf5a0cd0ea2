/**
 * docs/reference/limits.md, made from the constants in the sources. Where a file of limits gives
 * the reason in a comment, that is the reason; the others have theirs here. Runs in: test.
 */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');

export interface Limit {
  readonly file: string;
  readonly name: string;
  readonly value: number;
  readonly why: string;
}

/** Numeric constants and properties of one file, each with the comment above it or its group. */
export function limitsOf(file: string): readonly Limit[] {
  const limits: Limit[] = [];
  let comment: string[] = [];
  let isInside = false;
  const lines = readFileSync(path.join(root, file), 'utf8').split('\n');
  for (const line of lines.slice(lines.findIndex((one) => one.trimEnd().endsWith('*/')) + 1)) {
    const text = line.trim();
    if (text.startsWith('/**')) {
      comment = [];
      isInside = true;
    }
    if (isInside) {
      comment.push(text.replace(/^\/?\*+\/?/, '').replace(/\*\/$/, ''));
      isInside = !text.endsWith('*/');
      continue;
    }
    if (text === '') {
      comment = [];
    }
    const found = /^(?:(?:export )?const (\w+) =|(\w+):) ([\d_\s*+-]+)[;,]$/.exec(text);
    const name = found?.[1] ?? found?.[2];
    if (name !== undefined) {
      const why = comment
        .map((part) => part.trim())
        .join(' ')
        .trim();
      limits.push({ file, name, value: valueOf(found?.[3] as string), why });
    }
  }
  return limits;
}

/** Sums, products and powers of whole numbers: what the sources write limits with. */
function valueOf(text: string): number {
  const power = (part: string) =>
    part
      .split('**')
      .map((one) => Number(one.replaceAll('_', '')))
      .reduceRight((exponent, base) => base ** exponent);
  const product = (part: string) =>
    part
      .split(/(?<!\*)\*(?!\*)/)
      .map(power)
      .reduce((a, b) => a * b);
  const value = text
    .split(/(?=[+-])/)
    .map((part) =>
      part.startsWith('-') ? -product(part.slice(1)) : product(part.replace('+', '')),
    )
    .reduce((a, b) => a + b);
  if (!Number.isSafeInteger(value)) {
    throw new Error(`not a number: ${text}`);
  }
  return value;
}

/** Files that are nothing but limits: every line of them is on the page. */
const whole = ['src/base/limits.ts', 'src/ssh/transport/limits.ts', 'src/broker/limits.ts'];

/** Elsewhere: `file name` and why it is that much. */
const scattered: readonly (readonly [file: string, name: string, why: string])[] = [
  ['src/base/link.native.ts', 'maxFrameBytes', 'one frame between two of our processes'],
  ['src/base/link.native.ts', 'maxFrameDescriptors', 'descriptors of one frame'],
  [
    'src/base/link.native.ts',
    'maxQueuedFrames',
    'frames that wait for a reader; then the link ends',
  ],
  ['src/base/link.native.ts', 'maxQueuedBytes', 'the same in bytes'],
  ['src/base/link.native.ts', 'maxFramesPerTurn', 'read from one link per turn of the loop'],
  [
    'src/base/socket.native.ts',
    'maxAcceptsPerTurn',
    'accepted per turn of the loop, then the others',
  ],
  ['src/base/socket.native.ts', 'exhaustedPauseMs', 'pause of accepting when descriptors ran out'],
  [
    'src/ssh/transport/ssh2-protocol.ts',
    'largestPacketBytes',
    'a packet, as in sshd; memory is reserved for what has come of it and little more',
  ],
  [
    'src/ssh/transport/ssh2-protocol.ts',
    'reservedPacketBytes',
    'reserved for a packet of which no more than its length has come',
  ],
  ['src/ssh/wire/peer.ts', 'maxInFlight', 'questions on one link that wait for their answer'],
  ['src/cli/web/door.ts', 'maxSockets', 'sockets of `connect --web`: a browser keeps six'],
  ['src/cli/web/door.ts', 'maxHeaderBytes', 'head of a request there'],
  ['src/cli/web/door.ts', 'maxTokenBytes', 'body of one'],
  ['src/cli/web/door.ts', 'maxFrameBytes', 'a frame of its WebSocket; noVNC sends 10 KiB'],
  ['src/cli/web/viewer-socket.ts', 'outputHighBytes', 'waiting for a browser that does not read'],
  ['src/cli/web/show.ts', 'tokenMs', 'how long its address is good'],
  ['src/cli/profile/store.ts', 'maxFileBytes', 'a profile'],
  ['src/cli/profile/store.ts', 'maxProfiles', 'profiles of a person'],
  ['src/monitor/candidate.ts', 'maxUserBytes', 'user name; a longer one is nobody'],
  [
    'src/monitor/attempts.ts',
    'maxFailures',
    'failed attempts of one connection, whatever MaxAuthTries says; as in sshd',
  ],
  [
    'src/monitor/attempts.ts',
    'maxAcceptableQueries',
    'keys that would do, asked about on one connection; further ones are not looked up, and are failures',
  ],
  [
    'src/monitor/reauthentication.ts',
    'longestMs',
    'DesktopReauth, from the first question to the verdict, where LoginGraceTime has no limit',
  ],
  [
    'src/broker/resume-guard.ts',
    'heldMs',
    'DesktopReauth: the same login opens the same desktop again without being asked',
  ],
  [
    'src/monitor/peer-host.ts',
    'lookupMs',
    'UseDNS: a name and its addresses; or a third of LoginGraceTime',
  ],
  ['src/monitor/ending-lines.ts', 'shownBytes', "of a client's farewell in the log"],
  [
    'src/monitor/admission.ts',
    'throttlingLineMs',
    'between two lines that say how many connections MaxStartups has dropped',
  ],
  ['src/monitor/environment.ts', 'maxUserLines', 'lines of ~/.ssh/environment, as in sshd'],
  ['src/monitor/shown-file.ts', 'maxShownBytes', 'Banner, /etc/motd, /etc/nologin'],
  ['src/policy/authentication-methods.ts', 'maxChains', 'lists of AuthenticationMethods'],
  [
    'src/monitor/authorized-keys-source.ts',
    'maxKeyFileBytes',
    'authorized_keys; sshd has no limit',
  ],
  [
    'src/monitor/key-files.ts',
    'maxKeyFileBytes',
    'TrustedUserCAKeys, RevokedKeys; a list of a million serial numbers has 5 MB',
  ],
  ['src/monitor/key-files.ts', 'maxRemembered', 'such files that are kept parsed, each'],
  [
    'src/monitor/key-files.ts',
    'settledMs',
    'a file that changed within this time is read anew in every attempt',
  ],
  ['keys/certificate.ts', 'maxCertificateBytes', 'a certificate; a packet holds no more'],
  ['src/monitor/card-certificates.ts', 'maxFileBytes', 'one file of CardCertificateFiles'],
  ['src/monitor/card-certificates.ts', 'maxCertificates', 'certificates in one'],
  ['src/monitor/card-certificates.ts', 'maxShownBytes', 'of a subject in the log'],
  [
    'src/monitor/principals.ts',
    'maxListBytes',
    'AuthorizedPrincipalsFile, or what its command prints',
  ],
  ['keys/principals.ts', 'maxJudgedBytes', 'options in such a list in front of a right name'],
  ['keys/certificate.ts', 'maxCertificatePrincipals', 'principals of one certificate'],
  [
    'src/monitor/policy-command.ts',
    'commandTimeoutMs',
    'AuthorizedKeysCommand and its like, or half of LoginGraceTime',
  ],
  [
    'src/monitor/host-keys.ts',
    'maxKeyFileBytes',
    'a host key file; the largest RSA key needs 13 kB',
  ],
  [
    'src/monitor/host-keys.ts',
    'maxHostRsaBits',
    'an RSA host key: each exchange costs a signature',
  ],
  ['src/monitor/host-key-agent.ts', 'agentAnswerMs', 'an answer of HostKeyAgent'],
  ['src/monitor/token-host-key.ts', 'startMs', 'the start of a module of `HostKey pkcs11:`'],
  ['src/monitor/token-host-key.ts', 'listMs', 'what it has to say of its tokens and keys'],
  ['src/monitor/token-host-key.ts', 'answerMs', 'its answer'],
  ['src/monitor/token-host-key.ts', 'padMs', 'its answer, with a reader that has a pad'],
  ['src/monitor/token-host-key.ts', 'signMs', 'its signature'],
  ['src/monitor/token-host-key.ts', 'retryMs', 'from one failed start to the next'],
  ['src/monitor/token-pin.ts', 'maxPinBytes', 'a PIN in a file'],
  [
    'src/monitor/exchange-pace.ts',
    'maxBeforeLogin',
    'key exchanges of a connection before authentication',
  ],
  [
    'src/monitor/exchange-pace.ts',
    'perSecond',
    'key exchanges of a connection; `burst` at once before that',
  ],
  ['src/monitor/exchange-pace.ts', 'burst', 'key exchanges of a connection in a row'],
  [
    'src/monitor/recent-numbers.ts',
    'maxRemembered',
    'connections of a worker whose end may cross a request',
  ],
  ['src/monitor/link.ts', 'maxHostKeys', 'host keys that a client asks proof of at once'],
  ['src/monitor/requests/prove-host-keys.ts', 'maxProofs', 'such questions of one connection'],
  [
    'src/monitor/failure-delay.ts',
    'firstStepMs',
    'a wrong password is answered no sooner: longer than any hash takes, so that time tells nothing',
  ],
  [
    'src/monitor/failure-delay.ts',
    'firstCommandStepMs',
    'the same for a key that AuthorizedKeysCommand was asked about',
  ],
  ['src/monitor/requests/session-env.ts', 'maxVariables', 'env requests of one session'],
  ['src/monitor/requests/session-env.ts', 'maxEnvironmentBytes', 'the same in bytes'],
  [
    'src/monitor/requests/session-start.ts',
    'maxCommandBytes',
    'a command; what the kernel takes as one argument is 128 KiB',
  ],
  [
    'src/monitor/requests/session-start.ts',
    'maxGreetingBytes',
    'what is shown before a shell: messages of PAM, Last login, /etc/motd',
  ],
  [
    'src/monitor/requests/session-start.ts',
    'maxWarningBytes',
    'the same, what is wrong with ~/.ssh/environment; a leader takes 16 KiB',
  ],
  ['src/monitor/requests/session-start.ts', 'maxUserEnvironmentBytes', '~/.ssh/environment'],
  ['src/monitor/requests/session-pty.ts', 'maxTermBytes', 'TERM'],
  [
    'src/monitor/requests/session-pty.ts',
    'maxModesBytes',
    'terminal modes: 5 bytes each, 256 there can be',
  ],
  [
    'src/monitor/requests/x11-forward.ts',
    'maxProtocolCharacters',
    'name of an authorization of X; those that there are have 19 at most',
  ],
  [
    'src/monitor/requests/x11-forward.ts',
    'maxCookieDigits',
    'its cookie in hexadecimal digits; those that there are have 32 or 48',
  ],
  ['src/process/zygote.ts', 'forkTimeoutMs', 'start of a leader or worker; 0.1 ms are usual'],
  ['src/process/worker-pool.ts', 'readyTimeoutMs', 'a worker says that it is confined'],
  [
    'src/process/worker-pool.ts',
    'minLifeMs',
    'a worker that dies younger is replaced after this time',
  ],
  ['pam/leader-client.ts', 'localStepMs', 'a step of a leader that asks no person and no network'],
  ['pam/leader-client.ts', 'remoteStepMs', 'account, credentials and session may ask a directory'],
  ['keys/public-key.ts', 'maxBlobBytes', 'a public key; a modulus of 16384 bits needs 2.1 kB'],
  [
    'keys/authorized-keys.ts',
    'maxLineBytes',
    'a line of authorized_keys; a longer one does not count',
  ],
  ['src/broker/start.ts', 'endGraceMs', 'the same for a desktop that does not start'],
  [
    'src/monitor/request-table.ts',
    'maxInFlight',
    'requests of one connection that wait for their answer',
  ],
  ['src/broker/desktop-set.ts', 'measureMs', 'a list waits for displays to say their sizes'],
  [
    'subsystems/display/monitor-desktops.ts',
    'reasonPatienceMs',
    'a display has gone: the monitor may say why',
  ],
  [
    'src/process/desktops-elsewhere.ts',
    'rejoinMs',
    'between attempts to find the next owner of the desktops',
  ],
  [
    'src/process/local-socket.ts',
    'connectionsPerUid',
    '`sshdesk subsystem`: viewers and dialogues of one user',
  ],
  ['src/process/local-socket.ts', 'connections', '`sshdesk subsystem`: of all'],
  ['src/process/local-socket.ts', 'helloMs', '`sshdesk subsystem`: until it is known who asks'],
  [
    'src/broker/remote.ts',
    'localCallsAtOnce',
    '`sshdesk subsystem`: questions of one that wait for their answer',
  ],
  [
    'src/cli/subsystem/doors.ts',
    'restartMs',
    '`sshdesk subsystem`: a daemon that is started again is waited for',
  ],
  ['src/broker/control-logins.ts', 'mostLogins', 'shown by `who` and `last`'],
  ['src/monitor/login-view.ts', 'maxShownSessions', 'sessions of one login that `who` shows'],
  [
    'src/monitor/requests/session-start.ts',
    'maxShownCharacters',
    'of a command, as `who` shows it',
  ],
  ['src/broker/environment.ts', 'maxEntries', 'variables of a desktop'],
  [
    'src/broker/environment.ts',
    'maxSocketPathBytes',
    'path of a Unix socket; a desktop whose place is longer has no agent',
  ],
  ['src/broker/naming.ts', 'maxNameBytes', 'name of a desktop; 64 characters at most besides'],
  ['src/broker/start.ts', 'readyTimeoutMs', 'the X server says that it is ready'],
  ['src/broker/start.ts', 'windowTimeoutMs', 'without a window until then: a warning'],
  [
    'src/broker/single-viewer.ts',
    'changeMs',
    'NX: what a desktop takes to wait, to be suspended, to be resumed',
  ],
  [
    'src/broker/single-viewer.ts',
    'introductionMs',
    'NX: the first viewer shows its screen, behind which the session begins',
  ],
  ['src/broker/single-viewer.ts', 'logTailBytes', 'NX: of the log, for what state it is in'],
  [
    'subsystems/display/engines/nxagent/parameters.ts',
    'maxApplicationBytes',
    'NX: the command of a session of one application',
  ],
  ['src/broker/start.ts', 'logTailBytes', 'of the log of a desktop that did not start'],
  [
    'src/broker/desktop-ends.ts',
    'endGraceMs',
    'between SIGTERM and SIGKILL of what is left of a desktop',
  ],
  ['src/broker/control.ts', 'connectionsPerUid', 'local control socket: of one user'],
  ['src/broker/control.ts', 'connections', 'local control socket: of all'],
  ['src/broker/control.ts', 'requestsPerConnection', 'local control socket: then it is closed'],
  ['src/broker/control.ts', 'lineBytes', 'local control socket: one request'],
  ['src/broker/control.ts', 'idleMs', 'local control socket: without a request'],
  ['src/broker/control.ts', 'historyRows', 'shown by `sessions history`'],
  [
    'src/broker/directory-removal.ts',
    'maxDepth',
    "a user's directories below a desktop's; deeper ones stay",
  ],
  ['src/broker/directory-removal.ts', 'maxEntries', 'the same, files'],
  ['subsystems/display/input-limits.ts', 'maxLineBytes', 'a line of the display dialogue'],
  ['subsystems/display/input-limits.ts', 'maxLines', 'lines of one dialogue'],
  ['subsystems/display/input-limits.ts', 'maxInputBytes', 'bytes of one dialogue'],
  [
    'subsystems/display/input-limits.ts',
    'maxLoginLineBytes',
    'a line in front of the login of the account nx',
  ],
  ['subsystems/display/input-limits.ts', 'maxLoginLines', 'the same, lines'],
  ['subsystems/display/input-limits.ts', 'maxLoginInputBytes', 'the same, bytes'],
  [
    'src/monitor/handshake.ts',
    'maxAcceptableQueries',
    'keys that the account nx would be let in by and that nobody signs with',
  ],
  ['src/monitor/nx-password.ts', 'mostAtOnce', 'passwords of the NX database computed at once'],
  ['src/monitor/nx-database.ts', 'mostUsers', 'users in the NX database'],
  ['src/policy/read-config.ts', 'maxDepth', 'Include inside Include'],
  ['src/policy/read-config.ts', 'maxFiles', 'files of one configuration'],
  ['src/policy/read-config.ts', 'maxTotalBytes', 'the same in bytes'],
  ['src/audit/text.ts', 'maxLineCharacters', 'a line of the log'],
  ['src/audit/text.ts', 'loggedNameBytes', 'a name in a line of the log'],
  ['src/audit/line-queue.ts', 'maxQueuedLines', 'lines that wait for a log that is not read'],
  ['src/policy/log-keywords.ts', 'mostTagCharacters', 'LogTag'],
];

/** What looks like a limit in the privileged half and is none that anybody can run into. */
export const notOnThePage = new Set([
  'cookieBytes',
  'lookEveryMs',
  'maxReportBytes',
  'busyTimeoutMs',
  'lockRetryMs',
  'maxReasonCharacters',
  'settleMs',
  'farewellMs',
  'leaveMs',
  'maxDisplayTries',
  'lastStepMs',
  'environmentBytes',
]);

/** Bounds in the monitor, the broker and the links, wherever they stand. */
export function privilegedBounds(): readonly Limit[] {
  return globSync('src/{monitor,broker}/**/*.ts', { cwd: root })
    .toSorted()
    .flatMap(limitsOf)
    .filter(({ name }) => /^max[A-Z]|(Bytes|Ms)$/.test(name));
}

export function allLimits(): readonly Limit[] {
  return [
    ...whole.flatMap(limitsOf),
    ...scattered.map(([file, name, why]) => {
      const found = limitsOf(file).find((limit) => limit.name === name);
      if (found === undefined) {
        throw new Error(`${file} has no ${name} any more`);
      }
      return { ...found, why };
    }),
  ];
}

function unitOf(name: string): string {
  const unit = /(Bytes|Ms|Characters|Percent|Side)$/.exec(name)?.[1];
  return { Bytes: 'bytes', Ms: 'ms', Characters: 'characters', Side: 'pixels' }[unit ?? ''] ?? '';
}

export function limitReference(): string {
  let last = '';
  const lines = allLimits().map(({ file, name, value, why }) => {
    const begins = file === last ? '' : `\`${file}\``;
    last = file;
    const said = why.replaceAll('|', '\\|');
    return `| ${begins} | ${name} | ${value.toLocaleString('en')} | ${unitOf(name)} | ${said} |`;
  });
  return `# Limits

Made from the sources; a test compares. To write it anew:
\`UPDATE_REFERENCE=1 node --test test/unit/docs/reference/limits.test.ts\`

What nobody can exceed, and why it is that much. What an administrator sets instead (MaxStartups,
MaxSessions, MaxAuthTries, LoginGraceTime, WorkerConnections, Workers) is in config.md.

| where | name | value | unit | why |
|---|---|---|---|---|
${lines.join('\n')}
`;
}
