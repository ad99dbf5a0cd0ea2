/**
 * Match of sshd_config(5): the criteria of a block, and what the blocks that apply to a connection
 * make of the configuration. Pure. Runs in: monitor, launcher.
 */
import { ConfigError } from '../base/errors.ts';
import { parsePort } from '../../keys/destination.ts';
import {
  addressMatcher,
  listMatcher,
  type ReadAddress,
  readAddress,
  setMatcher,
} from '../../keys/list-matcher.ts';
import { isValidAddressList } from '../../keys/pattern.ts';

/**
 * The connection that a Match is about, once its user is known (the first USERAUTH_REQUEST). Only
 * `-C` may leave something out.
 */
export interface MatchSubject {
  readonly user: string | undefined;
  /** Nobody, or somebody who may not log in: groups are not looked at then. */
  readonly isInvalidUser: boolean;
  readonly groups: readonly string[];
  /** Without UseDNS the address. */
  readonly remoteHost: string | undefined;
  readonly remoteAddress: string | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  /** Empty: the default one. */
  readonly routingDomain: string | undefined;
}

/** Of which nothing is known. */
export const unknownSubject: MatchSubject = {
  user: undefined,
  isInvalidUser: false,
  groups: [],
  remoteHost: undefined,
  remoteAddress: undefined,
  localAddress: undefined,
  localPort: undefined,
  routingDomain: undefined,
};

/** A subject as criteria ask it: what hundreds of them need is made once. */
export interface JudgedSubject extends MatchSubject {
  readonly groupSet: ReadonlySet<string>;
  readonly hostName: string | undefined;
  readonly remote: ReadAddress | undefined;
  readonly local: ReadAddress | undefined;
}

export function judged(subject: MatchSubject): JudgedSubject {
  const { groups, remoteHost, remoteAddress, localAddress } = subject;
  return {
    ...subject,
    groupSet: new Set(groups),
    hostName: remoteHost?.toLowerCase(),
    remote: remoteAddress === undefined ? undefined : readAddress(remoteAddress),
    local: localAddress === undefined ? undefined : readAddress(localAddress),
  };
}

export type Criterion = (subject: JudgedSubject) => boolean;

/** As sshd: what a test specification (`-C`) leaves out matches nothing. */
function known<T>(value: T | undefined, matches: (value: T) => boolean): boolean {
  return value !== undefined && matches(value);
}

function checkAddresses(attribute: string, list: string): void {
  if (!isValidAddressList(list)) {
    throw new ConfigError(`Invalid Match ${attribute.toLowerCase()} argument '${list}'`);
  }
}

const ofArgument: Readonly<Record<string, (list: string, attribute: string) => Criterion>> = {
  user: (list) => {
    const matches = listMatcher(list);
    return ({ user }) => known(user, matches);
  },
  // A negated hit of any group is no; as sshd, whatever the others say.
  group: (list) => {
    const matches = setMatcher(list);
    return ({ isInvalidUser, groupSet }) => !isInvalidUser && matches(groupSet);
  },
  host: (list) => {
    const matches = listMatcher(list.toLowerCase());
    return ({ hostName }) => known(hostName, matches);
  },
  address: (list, attribute) => {
    checkAddresses(attribute, list);
    const matches = addressMatcher(list);
    return ({ remote }) => known(remote, matches);
  },
  localaddress: (list, attribute) => {
    checkAddresses(attribute, list);
    const matches = addressMatcher(list);
    return ({ local }) => known(local, matches);
  },
  localport: (text) => {
    const port = parsePort(text);
    if (port === undefined || port === 0) {
      throw new ConfigError(`Invalid LocalPort '${text}' on Match line`);
    }
    return ({ localPort }) => {
      if (localPort === undefined) {
        throw new ConfigError(
          "'Match LocalPort' in configuration but 'lport' not in connection test specification.",
        );
      }
      return localPort === port;
    };
  },
  rdomain: (list) => {
    const matches = listMatcher(list);
    return ({ routingDomain }) => known(routingDomain, matches);
  },
};

const bareAttributes: Readonly<Record<string, Criterion>> = {
  'invalid-user': (subject) => subject.isInvalidUser,
};

const everyAttribute = [...Object.keys(ofArgument), ...Object.keys(bareAttributes)];

/**
 * Throws ConfigError. All have to hold; none at all is `Match all`. `attributes`: only these, in
 * lower case.
 */
export function parseMatch(
  words: readonly string[],
  attributes: readonly string[] = everyAttribute,
): readonly Criterion[] {
  if (words[0]?.toLowerCase() === 'all') {
    if (words.length > 1) {
      throw new ConfigError("'all' cannot be combined with other Match attributes");
    }
    return [];
  }
  const criteria: Criterion[] = [];
  // Asked in any case, as in sshd: `-C` without a port is an error whoever the user is.
  const ports: Criterion[] = [];
  const left = words.values();
  for (const word of left) {
    // `Match User=alice` is the same as `Match User alice`.
    const [attribute, glued] = splitOnce(word);
    const name = attribute.toLowerCase();
    if (name === 'all') {
      throw new ConfigError("'all' cannot be combined with other Match attributes");
    }
    const bare = attributes.includes(name) ? bareAttributes[name] : undefined;
    if (bare !== undefined) {
      criteria.push(bare);
      continue;
    }
    const make = attributes.includes(name) ? ofArgument[name] : undefined;
    if (make === undefined) {
      throw new ConfigError(`Unsupported Match attribute ${attribute}`);
    }
    const argument = glued === undefined || glued === '' ? left.next().value : glued;
    if (argument === undefined || argument === '') {
      throw new ConfigError(`Missing Match criteria for ${attribute}`);
    }
    (name === 'localport' ? ports : criteria).push(make(argument, attribute));
  }
  return [...ports, ...criteria];
}

function splitOnce(word: string): readonly [string, string | undefined] {
  const at = word.indexOf('=');
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/** The part of a row that a connection needs. */
export interface Mergeable<D> {
  merge(into: Partial<D>, from: readonly Partial<D>[]): void;
}

/** What one block says, in the order of the files. */
export interface MatchBlock<D> {
  readonly criteria: readonly Criterion[];
  readonly draft: Partial<D>;
  /** Of the keywords that it has. */
  readonly rows: Set<Mergeable<D>>;
}

export function appliesTo(
  block: Pick<MatchBlock<unknown>, 'criteria'>,
  subject: JudgedSubject,
): boolean {
  return block.criteria.every((criterion) => criterion(subject));
}

/** May stand in a Match block (sshd_config(5)), under this very name, as far as it is in effect at all. */
export const matchKeywords: ReadonlySet<string> = new Set(
  [
    ...['AcceptEnv', 'AllowAgentForwarding', 'AllowGroups', 'AllowStreamLocalForwarding'],
    ...['AllowTcpForwarding', 'AllowUsers', 'AuthenticationMethods', 'AuthorizedKeysCommand'],
    ...['AuthorizedKeysCommandUser', 'AuthorizedKeysFile', 'AuthorizedPrincipalsCommand'],
    ...['AuthorizedPrincipalsCommandUser', 'AuthorizedPrincipalsFile', 'Banner'],
    ...['CASignatureAlgorithms', 'ChannelTimeout', 'ChrootDirectory', 'ClientAliveCountMax'],
    ...['ClientAliveInterval', 'DenyGroups', 'DenyUsers', 'DisableForwarding', 'ExposeAuthInfo'],
    ...['ForceCommand', 'GatewayPorts', 'GSSAPIAuthentication', 'IPQoS'],
    ...['HostbasedAuthentication', 'HostbasedUsesNameFromPacketOnly', 'IgnoreRhosts'],
    ...['KerberosAuthentication', 'RDomain', 'RefuseConnection'],
    ...[
      'KbdInteractiveAuthentication',
      'LogLevel',
      'MaxAuthTries',
      'MaxSessions',
      'PasswordAuthentication',
    ],
    ...[
      'PAMServiceName',
      'PermitEmptyPasswords',
      'PermitListen',
      'PermitOpen',
      'PermitRootLogin',
      'PermitTTY',
    ],
    ...['PermitTunnel', 'PermitUserRC', 'PubkeyAcceptedAlgorithms', 'PubkeyAuthentication'],
    ...[
      'PubkeyAuthOptions',
      'RekeyLimit',
      'RequiredRSASize',
      'RevokedKeys',
      'SetEnv',
      'StreamLocalBindMask',
    ],
    ...['StreamLocalBindUnlink', 'Subsystem', 'TrustedUserCAKeys', 'UnusedConnectionTimeout'],
    ...['X11DisplayOffset', 'X11Forwarding', 'X11UseLocalhost'],
    ...['AuthorizedKeysFile2', 'ChallengeResponseAuthentication', 'HostbasedAcceptedAlgorithms'],
    ...['HostbasedAcceptedKeyTypes', 'PubkeyAcceptedKeyTypes', 'RSAAuthentication'],
    ...['LogVerbose', 'RhostsRSAAuthentication'],
    'SkeyAuthentication',
  ].map((name) => name.toLowerCase()),
);
