/**
 * What the configuration says, typed and with units: an immutable value that is made once at the
 * start and handed down. Declarations only. Runs in: monitor (a worker gets the part it may know).
 */
import type { CardMapping } from '../../keys/card-mapping.ts';
import type { FingerprintHash } from '../../keys/public-key.ts';
import type { Destination } from '../../keys/destination.ts';
import type { AlgorithmList } from './transport-algorithms.ts';

export interface ListenAddress {
  readonly address: string;
  readonly family: 4 | 6;
  readonly port: number;
}

export type RootLogin = 'yes' | 'prohibit-password' | 'forced-commands-only' | 'no';
export type TcpForwarding = 'yes' | 'no' | 'local' | 'remote';
/** Where remote forwarding listens: loopback, everywhere, or where the client says. */
export type GatewayPorts = 'no' | 'yes' | 'clientspecified';
export type AddressFamily = 'any' | 'inet' | 'inet6';
/** The names of sshd_config(5); DEBUG is DEBUG1. */
export type ConfiguredLogLevel =
  | 'QUIET'
  | 'FATAL'
  | 'ERROR'
  | 'INFO'
  | 'VERBOSE'
  | 'DEBUG1'
  | 'DEBUG2'
  | 'DEBUG3';

export type SyslogFacility =
  | 'DAEMON'
  | 'USER'
  | 'AUTH'
  | 'AUTHPRIV'
  | 'LOCAL0'
  | 'LOCAL1'
  | 'LOCAL2'
  | 'LOCAL3'
  | 'LOCAL4'
  | 'LOCAL5'
  | 'LOCAL6'
  | 'LOCAL7';

/** PubkeyAuthOptions */
export interface PubkeyAuthOptions {
  readonly touchRequired: boolean;
  readonly verifyRequired: boolean;
}

export interface StartupsSpec {
  readonly start: number;
  readonly ratePercent: number;
  readonly full: number;
}

/** IPQoS, as the byte of the header; undefined: as the machine has it. */
export interface TrafficClasses {
  readonly interactive: number | undefined;
  readonly bulk: number | undefined;
}

/** One word of ChannelTimeout. */
export interface ChannelTimeout {
  /** As it was written. */
  readonly text: string;
  readonly pattern: string;
  /** 0: none. */
  readonly seconds: number;
}

/** What is done with one source more than the table of penalties holds. */
export type PenaltyOverflow = 'permissive' | 'deny-all';

/** PerSourceNetBlockSize: how much of an address names its source. */
export interface SourceBlockBits {
  readonly bits4: number;
  readonly bits6: number;
}

/** PerSourcePenalties: for each thing that a source did, how long it waits. */
export interface SourcePenalties {
  readonly isOn: boolean;
  readonly crashMs: number;
  readonly authFailMs: number;
  readonly noAuthMs: number;
  readonly invalidUserMs: number;
  readonly graceExceededMs: number;
  readonly refuseConnectionMs: number;
  /** They add up to this much. */
  readonly maxMs: number;
  /** They hold once they are more than this. */
  readonly minMs: number;
  readonly maxSources4: number;
  readonly maxSources6: number;
  readonly overflow4: PenaltyOverflow;
  readonly overflow6: PenaltyOverflow;
}

/** 0: no limit of its own. */
export interface RekeyLimit {
  readonly bytes: number;
  readonly ms: number;
}

/** /etc/ssh/sshd_config */
export interface ServerConfig {
  readonly ports: readonly number[];
  readonly addressFamily: AddressFamily;
  readonly listenAddresses: readonly ListenAddress[];
  /** Paths, and pkcs11: URIs. */
  readonly hostKeyFiles: readonly string[];
  /** The default list: a file of it that does not exist is no error. */
  readonly isHostKeyDefault: boolean;
  readonly hostCertificateFiles: readonly string[];
  /** `none`, `SSH_AUTH_SOCK`, or the path of a socket. */
  readonly hostKeyAgent: string;
  readonly kexAlgorithms: AlgorithmList;
  readonly ciphers: AlgorithmList;
  readonly macs: AlgorithmList;
  readonly hostKeyAlgorithms: AlgorithmList;
  /** After authentication; before it there is none. */
  readonly compression: boolean;
  readonly rekeyLimit: RekeyLimit;
  /** Behind the identification; empty: nothing. */
  readonly versionAddendum: string;
  readonly usePam: boolean;
  readonly pamServiceName: string;
  /** 0: no limit. */
  readonly loginGraceTimeMs: number;
  readonly maxAuthTries: number;
  readonly maxSessions: number;
  readonly maxStartups: StartupsSpec;
  /** Names of clients are looked up. */
  readonly useDns: boolean;
  /** Infinity: no limit of its own. */
  readonly perSourceMaxStartups: number;
  readonly perSourceNetBlockSize: SourceBlockBits;
  readonly sourcePenalties: SourcePenalties;
  /** A list of addresses and networks, or `none`. */
  readonly perSourcePenaltyExemptList: string;
  /** The connection ends as soon as its user is known. */
  readonly refuseConnection: boolean;
  readonly permitRootLogin: RootLogin;
  readonly pubkeyAuthentication: boolean;
  readonly passwordAuthentication: boolean;
  readonly kbdInteractiveAuthentication: boolean;
  readonly permitEmptyPasswords: boolean;
  readonly gssapiAuthentication: boolean;
  readonly gssapiCleanupCredentials: boolean;
  readonly gssapiStrictAcceptorCheck: boolean;
  readonly gssapiDelegateCredentials: boolean;
  readonly allowUsers: readonly string[];
  readonly denyUsers: readonly string[];
  readonly allowGroups: readonly string[];
  readonly denyGroups: readonly string[];
  readonly strictModes: boolean;
  /** Patterns with tokens; expand with `expandAuthorizedKeysFiles`. Empty: none. */
  readonly authorizedKeysFiles: readonly string[];
  readonly requiredRsaSize: number;
  /** undefined: no authority is trusted for users but by lines of authorized_keys. */
  readonly trustedUserCaKeys: string | undefined;
  /** undefined: nothing is revoked. */
  readonly revokedKeys: string | undefined;
  readonly caSignatureAlgorithms: readonly string[];
  readonly pubkeyAcceptedAlgorithms: readonly string[];
  readonly pubkeyAuthOptions: PubkeyAuthOptions;
  /** Command lines with tokens (`commandArguments`); undefined: none. */
  readonly authorizedKeysCommand: string | undefined;
  /** May hold %u. */
  readonly authorizedKeysCommandUser: string | undefined;
  /** A pattern with tokens, as those of AuthorizedKeysFile; undefined: none. */
  readonly authorizedPrincipalsFile: string | undefined;
  readonly authorizedPrincipalsCommand: string | undefined;
  readonly authorizedPrincipalsCommandUser: string | undefined;
  /** The alternatives of AuthenticationMethods; empty: any one method. */
  readonly authenticationMethods: readonly string[];
  readonly permitTty: boolean;
  readonly permitUserRc: boolean;
  readonly printMotd: boolean;
  readonly printLastLog: boolean;
  readonly exposeAuthInfo: boolean;
  readonly x11Forwarding: boolean;
  readonly x11DisplayOffset: number;
  readonly x11UseLocalhost: boolean;
  /** undefined: there is none, and so no X11 forwarding. */
  readonly xauthLocation: string | undefined;
  readonly allowAgentForwarding: boolean;
  /** Beats every other keyword of forwarding. */
  readonly disableForwarding: boolean;
  /** 0: the client is not asked. */
  readonly clientAliveIntervalMs: number;
  /** 0: an unanswered question ends nothing. */
  readonly clientAliveCountMax: number;
  readonly tcpKeepAlive: boolean;
  readonly trafficClasses: TrafficClasses;
  /** The first that matches counts. */
  readonly channelTimeouts: readonly ChannelTimeout[];
  /** 0: a connection needs no channel. */
  readonly unusedConnectionTimeoutSeconds: number;
  /** The file that everybody is shown before authentication. */
  readonly banner: string | undefined;
  readonly forceCommand: string | undefined;
  /** A pattern with tokens (`chrootDirectoryFor`); undefined: none. */
  readonly chrootDirectory: string | undefined;
  readonly acceptEnv: readonly string[];
  /** SetEnv: wins over the client, the user's files and PAM. */
  readonly setEnv: readonly (readonly [name: string, value: string])[];
  /** `yes`, `no`, or a pattern list of the names that are taken. */
  readonly permitUserEnvironment: string;
  readonly allowTcpForwarding: TcpForwarding;
  readonly permitOpen: readonly Destination[] | 'any' | 'none';
  readonly permitListen: readonly Destination[] | 'any' | 'none';
  readonly gatewayPorts: GatewayPorts;
  readonly allowStreamLocalForwarding: TcpForwarding;
  /** The umask that Unix sockets of remote forwarding are made with. */
  readonly streamLocalBindMask: number;
  readonly streamLocalBindUnlink: boolean;
  /** Name to command with its arguments, for the user's shell, or `internal-sftp` and flags. */
  readonly subsystems: ReadonlyMap<string, string>;
  /** How keys are named in the log and to AuthorizedKeysCommand. */
  readonly fingerprintHash: FingerprintHash;
  /** Keyword in lower case → what was said of it, where that changes nothing; for `-T`. */
  readonly inert: Readonly<Record<string, string>>;
  readonly logLevel: ConfiguredLogLevel;
  readonly syslogFacility: SyslogFacility;
  /** undefined: none is written. */
  readonly pidFile: string | undefined;
}

/** /etc/sshdesk/sshdesk_config */
/** Before what PAM asks again who it is (DesktopReauth). */
export type ReauthOccasion = 'resume' | 'share';

export interface DesktopConfig {
  /** A worker drains after so many connections. */
  readonly workerConnections: number;
  readonly workerIsolation: 'shared' | 'connection';
  readonly workerConfinement: 'strict' | 'relaxed';
  readonly workers: number;
  readonly logTag: string;
  readonly logFormat: 'sshd' | 'json';
  /** Whether `sshdesk subsystem` gives desktops to whoever runs it. */
  readonly localDesktops: boolean;
  /** Empty: never. */
  readonly desktopReauth: readonly ReauthOccasion[];
  /** The command of a desktop's X session; undefined: the machine's default. */
  readonly xSession: string | undefined;
  /** As whom PKCS#11 modules of HostKey run. */
  readonly hostKeyModuleUser: string;
  /** Whether the account `nx` of old clients is answered for. */
  readonly nxLegacyAccount: boolean;
  /** The public keys that open it. */
  readonly nxKeyFile: string;
  /** Who logs in behind it by a password of the NX database. */
  readonly nxPasswordUsers: readonly string[];
  /** Only those whom the NX database lists log in behind it. */
  readonly nxUsersDatabase: boolean;
  /** Characters at the end of a password line that answer PAM's second question; 0: none do. */
  readonly nxPasswordSplit: number;
  readonly nxLegacyAlgorithms: false;
  /** Authorities of cards; undefined: no X.509 certificate is looked for. */
  readonly cardCertificates: string | undefined;
  /** Patterns with tokens, as those of AuthorizedKeysFile. */
  readonly cardCertificateFiles: readonly string[];
  readonly cardMappings: readonly CardMapping[];
  readonly cardRevocationList: string | undefined;
}

/** The part of it that a login is judged by. */
export type CardConfig = Pick<
  DesktopConfig,
  'cardCertificates' | 'cardCertificateFiles' | 'cardMappings' | 'cardRevocationList'
>;
