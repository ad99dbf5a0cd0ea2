/**
 * Every class of error, each with a stable code and two texts: `peerText` is short, fixed and free
 * of data; `detail` is for the log. Runs in: monitor, worker, user (client).
 * Expected outcomes (a wrong password, a refused channel) are values, never one of these.
 */
export interface ErrorOptionsWithCause {
  readonly cause?: unknown;
}

export abstract class SshdeskError extends Error {
  abstract readonly code: string;
  readonly detail: string;
  constructor(detail: string, options?: ErrorOptionsWithCause) {
    super(detail, options);
    this.name = new.target.name;
    this.detail = detail;
  }
}

/** Ends the connection with SSH_MSG_DISCONNECT; `reason` is of RFC 4253 §11.1. */
export abstract class DisconnectError extends SshdeskError {
  abstract readonly reason: number;
  abstract readonly peerText: string;
}

export class ProtocolError extends DisconnectError {
  readonly code = 'SSHDESK_PROTOCOL';
  readonly reason = 2;
  readonly peerText = 'Protocol error';
}
export class KexError extends DisconnectError {
  readonly code = 'SSHDESK_KEX';
  readonly reason = 3;
  readonly peerText = 'Key exchange failed';
}
/** The KEXINITs have nothing in common; `detail` is sshd's text, with what the peer offers. */
export class NoAgreement extends DisconnectError {
  readonly code = 'SSHDESK_NO_AGREEMENT';
  readonly reason = 3;
  readonly peerText = 'Key exchange failed';
}
export class MacError extends DisconnectError {
  readonly code = 'SSHDESK_MAC';
  readonly reason = 5;
  readonly peerText = 'Corrupted MAC on input';
}
export class CompressionError extends DisconnectError {
  readonly code = 'SSHDESK_COMPRESSION';
  readonly reason = 6;
  readonly peerText = 'Compression error';
}
export class ServiceUnavailable extends DisconnectError {
  readonly code = 'SSHDESK_SERVICE';
  readonly reason = 7;
  readonly peerText = 'Service not available';
}
export class VersionError extends DisconnectError {
  readonly code = 'SSHDESK_VERSION';
  readonly reason = 8;
  readonly peerText = 'Protocol version not supported';
  /** It speaks SSH, but another one. */
  readonly isOtherVersion: boolean;
  constructor(detail: string, isOtherVersion = false, options?: ErrorOptionsWithCause) {
    super(detail, options);
    this.isOtherVersion = isOtherVersion;
  }
}
export class Lost extends DisconnectError {
  readonly code = 'SSHDESK_LOST';
  readonly reason = 10;
  readonly peerText = 'Connection lost';
}
/** The server ends the connection on purpose; the text is the one that the peer may read. */
export class ByApplication extends DisconnectError {
  readonly code = 'SSHDESK_BY_APPLICATION';
  readonly reason: number;
  readonly peerText: string;
  constructor(peerText: string, detail = peerText, reason = 11) {
    super(detail);
    this.peerText = peerText;
    this.reason = reason;
  }
}
/** The privileged side answered "not now": always fatal to the connection, always audited. */
export class MonitorRefusal extends DisconnectError {
  readonly code = 'SSHDESK_MONITOR_REFUSAL';
  readonly reason = 2;
  readonly peerText = 'Protocol error';
}

/** Ends one channel; the connection lives. */
export class ChannelError extends SshdeskError {
  readonly code = 'SSHDESK_CHANNEL';
}

/** A configuration or key file is wrong; only at start-up and in `-t`. */
export class ConfigError extends SshdeskError {
  readonly code = 'SSHDESK_CONFIG';
}

/** A display engine failed; `logTail` holds its last lines, oldest first. */
export class EngineError extends SshdeskError {
  readonly code = 'SSHDESK_ENGINE';
  readonly phase: 'spawn' | 'ready' | 'run' | 'exit';
  readonly logTail: readonly string[];
  constructor(phase: EngineError['phase'], detail: string, logTail: readonly string[] = []) {
    super(detail);
    this.phase = phase;
    this.logTail = logTail;
  }
}

/** A native library or the operating system said no; `library` is such as `pam`, `x11`, `errno`. */
export class NativeError extends SshdeskError {
  readonly code = 'SSHDESK_NATIVE';
  readonly library: string;
  readonly returnCode: number;
  constructor(library: string, returnCode: number, detail: string) {
    super(detail);
    this.library = library;
    this.returnCode = returnCode;
  }
}
