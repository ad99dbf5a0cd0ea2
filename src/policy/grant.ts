/**
 * What one login may do: the configuration and the options of its key, the narrower of both. The
 * monitor keeps it and asks it at every order. Pure. Runs in: monitor.
 */
import type { KeyOptions } from '../../keys/authorized-keys.ts';
import type { Destination } from '../../keys/destination.ts';
import { matchPatternList } from '../../keys/pattern.ts';
import { isUserEnvironmentName } from './accept-env.ts';
import { chrootDirectoryFor } from './chroot-directory.ts';
import type { AddressFamily, GatewayPorts, ServerConfig, TcpForwarding } from './config.ts';

/** The part of a key's options that restricts the login it opens. */
export type KeyRestrictions = Pick<
  KeyOptions,
  | 'command'
  | 'environment'
  | 'permitOpen'
  | 'permitListen'
  | 'permitPty'
  | 'permitPortForwarding'
  | 'permitAgentForwarding'
  | 'permitX11Forwarding'
  | 'permitUserRc'
>;

export interface Grant {
  readonly user: string;
  /** ForceCommand beats command= of the key. */
  readonly forcedCommand: string | undefined;
  /** As sshd's log says it: `forced-command (config) 'command'`. */
  readonly forcedCommandSource: 'config' | 'key-option' | undefined;
  /** What everything of this login is done in; undefined: no ChrootDirectory. */
  readonly chrootDirectory: string | undefined;
  readonly permitTty: boolean;
  /** ~/.ssh/environment may be read; each name of it against `mayTakeUserEnvironment`. */
  readonly permitUserEnvironment: boolean;
  /** PermitUserEnvironment's pattern list; undefined: every name that can be taken. */
  readonly userEnvironmentNames: string | undefined;
  /** environment= of the key, already filtered; empty unless PermitUserEnvironment says so. */
  readonly environment: readonly (readonly [name: string, value: string])[];
  readonly tcpForwarding: TcpForwarding;
  readonly permitOpenByConfig: readonly Destination[] | 'any' | 'none';
  /** undefined: the key says nothing. */
  readonly permitOpenByKey: readonly Destination[] | undefined;
  readonly permitListenByConfig: readonly Destination[] | 'any' | 'none';
  readonly permitListenByKey: readonly Destination[] | undefined;
  readonly gatewayPorts: GatewayPorts;
  /** Which addresses forwarding connects to and listens on. */
  readonly addressFamily: AddressFamily;
  readonly streamLocalForwarding: TcpForwarding;
  readonly streamLocalBindMask: number;
  readonly streamLocalBindUnlink: boolean;
  readonly maxSessions: number;
  readonly permitAgentForwarding: boolean;
  readonly permitX11Forwarding: boolean;
  readonly permitUserRc: boolean;
}

/** A name of ~/.ssh/environment or environment=. */
export function mayTakeUserEnvironment(
  from: Pick<Grant, 'permitUserEnvironment' | 'userEnvironmentNames'>,
  name: string,
): boolean {
  return (
    from.permitUserEnvironment &&
    isUserEnvironmentName(name) &&
    (from.userEnvironmentNames === undefined ||
      matchPatternList(name, from.userEnvironmentNames) === 'match')
  );
}

function forcedCommandOf(
  config: ServerConfig,
  key: KeyRestrictions | undefined,
): Pick<Grant, 'forcedCommand' | 'forcedCommandSource'> {
  if (config.forceCommand !== undefined) {
    return { forcedCommand: config.forceCommand, forcedCommandSource: 'config' };
  }
  return {
    forcedCommand: key?.command,
    forcedCommandSource: key?.command === undefined ? undefined : 'key-option',
  };
}

function userEnvironmentOf(
  config: ServerConfig,
  key: KeyRestrictions | undefined,
): Pick<Grant, 'permitUserEnvironment' | 'userEnvironmentNames' | 'environment'> {
  const says = config.permitUserEnvironment;
  const permitted = {
    permitUserEnvironment: says !== 'no',
    userEnvironmentNames: says === 'yes' || says === 'no' ? undefined : says,
  };
  const environment = (key?.environment ?? []).filter(([name]) =>
    mayTakeUserEnvironment(permitted, name),
  );
  return { ...permitted, environment };
}

/** `key`: the options of the key that the login was accepted with; undefined for other methods. */
export function grantFor(
  config: ServerConfig,
  key: KeyRestrictions | undefined,
  account: { readonly user: string; readonly uid: number; readonly home: string },
): Grant {
  const grant: Grant = Object.freeze({
    user: account.user,
    ...forcedCommandOf(config, key),
    chrootDirectory: chrootDirectoryFor(config, account),
    permitTty: config.permitTty && (key?.permitPty ?? true),
    ...userEnvironmentOf(config, key),
    tcpForwarding: (key?.permitPortForwarding ?? true) ? config.allowTcpForwarding : 'no',
    permitOpenByConfig: config.permitOpen,
    permitOpenByKey: key?.permitOpen,
    permitListenByConfig: config.permitListen,
    permitListenByKey: key?.permitListen,
    gatewayPorts: config.gatewayPorts,
    addressFamily: config.addressFamily,
    // Whether Unix sockets are forwarded is a matter of the same option of a key as ports are.
    streamLocalForwarding:
      (key?.permitPortForwarding ?? true) ? config.allowStreamLocalForwarding : 'no',
    streamLocalBindMask: config.streamLocalBindMask,
    streamLocalBindUnlink: config.streamLocalBindUnlink,
    maxSessions: config.maxSessions,
    permitAgentForwarding: config.allowAgentForwarding && (key?.permitAgentForwarding ?? true),
    permitX11Forwarding: config.x11Forwarding && (key?.permitX11Forwarding ?? true),
    permitUserRc: config.permitUserRc && (key?.permitUserRc ?? true),
  });
  return config.disableForwarding ? withoutForwarding(grant) : grant;
}

/** DisableForwarding, and a login that must change its password first; sshd does the same. */
export function withoutForwarding(grant: Grant): Grant {
  return Object.freeze({
    ...grant,
    tcpForwarding: 'no',
    streamLocalForwarding: 'no',
    permitAgentForwarding: false,
    permitX11Forwarding: false,
  });
}
