/**
 * What happens, for programs that read the log: each event has a name and the fields that it may
 * carry besides those of every line. docs/reference/log.md is made of these tables. Data.
 * Runs in: monitor.
 */
export interface LogFields {
  readonly user: string;
  readonly isValidUser: boolean;
  readonly method: string;
  readonly key: string;
  readonly keyType: string;
  readonly certificateId: string;
  readonly principal: string;
  readonly certificateSerial: string;
  readonly authority: string;
  readonly session: number;
  readonly sessionKind: string;
  readonly terminal: string;
  readonly desktop: string;
  readonly reason: string;
  readonly reasonCode: number;
  readonly target: string;
  readonly targetPort: number;
  readonly count: number;
  readonly worker: number;
  readonly listenAddress: string;
  readonly listenPort: number;
}

/** One row per field of an event. */
export const fieldSummaries: Readonly<Record<keyof LogFields, string>> = {
  user: 'the name that the client gave, or the account of the login; at most 100 bytes',
  isValidUser: 'false: no such account, or one that may not log in',
  method: 'such as `publickey`, `password`, `keyboard-interactive/pam`',
  key: "the key's fingerprint, `SHA256:…`",
  keyType: "the key's type as the line has it, such as `ED25519` or `RSA-CERT`",
  certificateId: 'the key identity of a certificate',
  principal: 'the Kerberos principal of a ticket',
  certificateSerial: 'the serial number of a certificate, in decimal',
  authority: "the fingerprint of the certificate's authority",
  session: 'the number of the session in its connection, `id` of the line',
  sessionKind: '`shell`, `command`, `subsystem NAME`, `forced-command …`, as the line has it',
  terminal: 'the terminal of a session, such as `pts/0`',
  desktop: 'the id of a desktop',
  reason: 'why: words of the client, of the server or of the configuration',
  reasonCode: 'RFC 4250 §4.2.2',
  target: 'the host or path that was to be reached or listened on',
  targetPort: 'its port',
  count: 'of how many',
  worker: 'the number of a worker whose own account the line is, or that the line is about',
  listenAddress: 'an address of the server',
  listenPort: 'a port of the server',
};

const key = [
  'key',
  'keyType',
  'certificateId',
  'certificateSerial',
  'authority',
  'principal',
] as const;

export interface EventRow {
  readonly summary: string;
  readonly fields: readonly (keyof LogFields)[];
}

/** In the order of a connection's life. */
export const events = {
  message: { summary: 'any other line', fields: [] },
  'server.listening': { summary: 'a port is open', fields: ['listenAddress', 'listenPort'] },
  'server.ending': { summary: 'the daemon was told to end', fields: ['reason'] },
  'connection.opened': { summary: 'a client is connected', fields: [] },
  'connection.dropped': {
    summary: 'a client was turned away before anything was read',
    fields: ['reason', 'count'],
  },
  'connection.timeout': { summary: 'LoginGraceTime is over', fields: [] },
  'connection.disconnected': {
    summary: 'the client said that it leaves',
    fields: ['reason', 'reasonCode'],
  },
  'connection.closed': { summary: 'the connection is over', fields: ['isValidUser', 'reason'] },
  'connection.refused': {
    summary: 'a worker asked for what is not its to ask; the connection was ended',
    fields: ['reason'],
  },
  'user.invalid': { summary: 'no such account', fields: [] },
  'user.refused': { summary: 'the account may not log in', fields: ['reason'] },
  'authentication.failed': {
    summary: 'an attempt failed',
    fields: ['isValidUser', 'method', ...key],
  },
  'authentication.partial': {
    summary: 'an attempt succeeded, more are wanted',
    fields: ['isValidUser', 'method', ...key],
  },
  'authentication.postponed': {
    summary: 'an attempt goes on',
    fields: ['isValidUser', 'method', ...key],
  },
  'authentication.accepted': { summary: 'the user is logged in', fields: ['method', ...key] },
  'card.refused': {
    summary: 'the X.509 certificate of a key does not open this account',
    fields: ['certificateSerial', 'reason'],
  },
  'authentication.exceeded': {
    summary: 'MaxAuthTries attempts have failed',
    fields: ['isValidUser'],
  },
  'authentication.denied': { summary: "PAM's account step refuses", fields: [] },
  'session.started': {
    summary: 'a shell, command or subsystem runs',
    fields: ['session', 'sessionKind', 'terminal'],
  },
  'session.closed': { summary: 'its channel is closed', fields: ['session'] },
  'forwarding.refused': {
    summary: 'a tunnel is not permitted',
    fields: ['target', 'targetPort', 'reason'],
  },
  'reauthentication.accepted': {
    summary: 'PAM has asked again who it is (DesktopReauth), for this desktop',
    fields: ['desktop'],
  },
  'reauthentication.failed': {
    summary: 'the same was not answered as PAM wants it, or not at all',
    fields: ['desktop', 'reason'],
  },
  'desktop.opened': { summary: 'a viewer is connected to a desktop', fields: ['desktop'] },
  'desktop.left': { summary: 'a viewer of a desktop is gone', fields: ['reason'] },
  'desktop.started': { summary: 'a desktop runs', fields: ['desktop'] },
  'desktop.ended': { summary: 'a desktop is over', fields: ['desktop', 'reason'] },
  'worker.line': { summary: "a worker's own account of things", fields: ['worker'] },
  'worker.refused': {
    summary: 'a worker spoke of a connection that is not its own',
    fields: ['worker', 'reason', 'count'],
  },
} as const satisfies Readonly<Record<string, EventRow>>;

export type EventName = keyof typeof events;

/** What a line means; a field that its event does not have is a mistake of the caller. */
export type EventDetails = {
  [Name in EventName]: { readonly event: Name } & {
    readonly [Field in (typeof events)[Name]['fields'][number]]?: LogFields[Field] | undefined;
  };
}[EventName];
