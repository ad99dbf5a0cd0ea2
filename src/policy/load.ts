/**
 * Makes the configuration: command line first, then the file, then defaults and addresses. Everything
 * that is wrong is reported at once and nothing is half applied. Runs in: monitor, launcher.
 */
import { isIP, isIPv6 } from 'node:net';
import { algorithmKinds, leftOutNotice } from './transport-algorithms.ts';
import { checkCards } from './card-keywords.ts';
import type { DesktopConfig, ListenAddress, ServerConfig } from './config.ts';
import type { ConfigLine } from './config-line.ts';
import type { ConfigSource } from './config-source.ts';
import {
  type DesktopDraft,
  desktopCriteria,
  desktopDefaults,
  desktopKeywords,
  desktopMatchKeywords,
} from './desktop-keywords.ts';
import { ConfigFailure } from './failure.ts';
import { hostKeyPlace } from './host-key-keywords.ts';
import { deprecatedKeywords, meaninglessKeywords, unsupportedKeywords } from './other-keywords.ts';
import { beginChains, offersMethod } from './authentication-methods.ts';
import {
  appliesTo,
  judged,
  type MatchBlock,
  type Mergeable,
  matchKeywords,
  type MatchSubject,
  parseMatch,
  unknownSubject,
} from './match.ts';
import { commandLinePlace, ConfigReader, type Grammar, type ReadResult } from './read-config.ts';
import type { ServerDraft } from './server-draft.ts';
import { serverDefaults, serverKeywords } from './server-keywords.ts';
import { finishedPenalties } from './source-keywords.ts';
import { type ListenSpec } from './values.ts';

export const defaultServerFile = '/etc/ssh/sshd_config';
export const defaultDesktopFile = '/etc/sshdesk/sshdesk_config';

export const serverGrammar: Grammar<ServerDraft, ServerConfig> = {
  keywords: serverKeywords,
  meaningless: meaninglessKeywords,
  deprecated: deprecatedKeywords,
  unsupported: unsupportedKeywords,
  directory: '/etc/ssh',
  matchKeywords,
  parseMatch,
};

export const desktopGrammar: Grammar<DesktopDraft, DesktopConfig> = {
  keywords: desktopKeywords,
  meaningless: [],
  deprecated: [],
  unsupported: [],
  directory: '/etc/sshdesk',
  matchKeywords: desktopMatchKeywords,
  parseMatch: (words) => parseMatch(words, desktopCriteria),
};

export interface LoadRequest {
  readonly file: string;
  /** Each `Key=value` of `-o`; they come before the file and so win. */
  readonly commandLine: readonly string[];
  /** `-p`: the Port lines of the file do not count; a port in a ListenAddress does. */
  readonly ports?: readonly number[];
  /** `-h`: in front of the HostKey lines of the file. */
  readonly hostKeys?: readonly string[];
  /** `-4`, `-6` */
  readonly addressFamily?: 'inet' | 'inet6';
  readonly source: ConfigSource;
  /** Is told of every line, the wrong ones too. */
  readonly onLine?: (line: ConfigLine) => void;
}

export interface Loaded<C> {
  readonly config: C;
  /** Deprecated keywords and those not yet in effect, one line each; to be logged once. */
  readonly notices: readonly string[];
  /** The same for who debugs. */
  readonly details: readonly string[];
}

const familyOf = { any: 0, inet: 4, inet6: 6 } as const;
const wildcards: readonly { readonly address: string; readonly family: 4 | 6 }[] = [
  { address: '::', family: 6 },
  { address: '0.0.0.0', family: 4 },
];

async function addressesOf(
  spec: ListenSpec,
  family: 0 | 4 | 6,
  source: ConfigSource,
): Promise<readonly { readonly address: string; readonly family: 4 | 6 }[]> {
  const version = isIP(spec.host);
  const found =
    version === 0
      ? await source.resolve(spec.host, family)
      : [{ address: spec.host, family: version }];
  const usable = found.filter((row) => family === 0 || row.family === family);
  if (usable.length === 0) {
    throw new Error('no address of the family that AddressFamily asks for');
  }
  return usable.map(({ address }) => ({ address, family: isIPv6(address) ? 6 : 4 }));
}

/** Throws ConfigFailure for names without an address. */
async function listenAddresses(
  draft: ServerDraft,
  source: ConfigSource,
): Promise<readonly ListenAddress[]> {
  const family = familyOf[draft.addressFamily];
  if (draft.listen.length === 0) {
    const families = wildcards.filter((row) => family === 0 || row.family === family);
    return draft.ports.flatMap((port) => families.map((row) => ({ ...row, port })));
  }
  const problems: string[] = [];
  const addresses: ListenAddress[] = [];
  for (const spec of draft.listen) {
    try {
      const found = await addressesOf(spec, family, source);
      const ports = spec.port === undefined ? draft.ports : [spec.port];
      addresses.push(...ports.flatMap((port) => found.map((row) => ({ ...row, port }))));
    } catch (error) {
      problems.push(
        `ListenAddress: bad address or host "${spec.host}": ${(error as Error).message}`,
      );
    }
  }
  if (problems.length > 0) {
    throw new ConfigFailure(problems);
  }
  return addresses;
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of value instanceof Map ? value.values() : Object.values(value)) {
      freeze(inner);
    }
  }
  return value;
}

function unlessNone(text: string): string | undefined {
  return text.toLowerCase() === 'none' ? undefined : text;
}

function hostKeysOf(
  request: LoadRequest,
  draft: Partial<ServerDraft>,
): Pick<ServerConfig, 'hostKeyFiles' | 'isHostKeyDefault'> {
  const named = [
    ...(request.hostKeys ?? []).map((path) => hostKeyPlace(path, request.source)),
    ...(draft.hostKeyFiles ?? []),
  ];
  return named.length === 0
    ? { hostKeyFiles: serverDefaults.hostKeyFiles, isHostKeyDefault: true }
    : { hostKeyFiles: named, isHostKeyDefault: false };
}

function read<D, C>(
  grammar: Grammar<D, C>,
  request: Pick<LoadRequest, 'commandLine' | 'source' | 'onLine'> & {
    readonly file: string | undefined;
  },
): Omit<ReadResult<D>, 'errors'> {
  const reader = new ConfigReader(grammar, request.source, request.onLine);
  for (const [index, option] of request.commandLine.entries()) {
    reader.readLine(option, commandLinePlace, index + 1);
  }
  if (request.file !== undefined) {
    reader.readFile(request.file);
  }
  const { errors, ...read } = reader.result;
  if (errors.length > 0) {
    throw new ConfigFailure(errors);
  }
  return read;
}

/** What no line alone can be blamed for. Throws ConfigFailure. */
function checkWhole(config: ServerConfig, places: ReadonlyMap<string, string>): void {
  const problems: string[] = [];
  const wrong = (keyword: string, text: string): void => {
    problems.push(`${places.get(keyword.toLowerCase()) ?? 'configuration'}: ${keyword}: ${text}`);
  };
  for (const [name, command, user] of [
    ['AuthorizedKeysCommand', config.authorizedKeysCommand, config.authorizedKeysCommandUser],
    [
      'AuthorizedPrincipalsCommand',
      config.authorizedPrincipalsCommand,
      config.authorizedPrincipalsCommandUser,
    ],
  ] as const) {
    if (command !== undefined && user === undefined) {
      wrong(name, `set without ${name}User`);
    }
  }
  const { chains, dropped } = beginChains(config.authenticationMethods, (method) =>
    offersMethod(config, method),
  );
  if (chains?.length === 0) {
    const disabled = dropped.map(({ chain, method }) => `"${method}" in "${chain}"`).join(', ');
    wrong(
      'AuthenticationMethods',
      `cannot be satisfied by enabled authentication methods (${disabled})`,
    );
  }
  if (problems.length > 0) {
    throw new ConfigFailure(problems);
  }
}

/** The values as they are used, where a line says `none` for nothing. */
function finished(
  draft: ServerDraft,
): Omit<ServerConfig, 'listenAddresses' | 'hostKeyFiles' | 'isHostKeyDefault'> {
  const { listen: _listen, hostKeyFiles: _hostKeyFiles, ...values } = draft;
  return {
    ...values,
    banner: unlessNone(draft.banner),
    forceCommand: unlessNone(draft.forceCommand),
    chrootDirectory: unlessNone(draft.chrootDirectory),
    pidFile: unlessNone(draft.pidFile),
    trustedUserCaKeys: unlessNone(draft.trustedUserCaKeys),
    revokedKeys: unlessNone(draft.revokedKeys),
    authorizedKeysCommand: unlessNone(draft.authorizedKeysCommand),
    authorizedKeysCommandUser: unlessNone(draft.authorizedKeysCommandUser),
    authorizedPrincipalsFile: unlessNone(draft.authorizedPrincipalsFile),
    authorizedPrincipalsCommand: unlessNone(draft.authorizedPrincipalsCommand),
    authorizedPrincipalsCommandUser: unlessNone(draft.authorizedPrincipalsCommandUser),
    xauthLocation: unlessNone(draft.xauthLocation),
    sourcePenalties: finishedPenalties(draft.sourcePenalties),
    rekeyLimit: { bytes: draft.rekeyLimit.bytes, ms: draft.rekeyLimit.ms ?? 0 },
  };
}

/** What the blocks that apply say: among them the first, or they add up. Undefined: none applies. */
function saidFor<D>(
  blocks: readonly MatchBlock<D>[],
  subject: MatchSubject,
): Partial<D> | undefined {
  const asked = judged(subject);
  const applying = blocks.filter((block) => appliesTo(block, asked));
  if (applying.length === 0) {
    return undefined;
  }
  return together(applying);
}

/** Row by row, so that lists are made once and not block by block. */
function together<D>(blocks: readonly MatchBlock<D>[]): Partial<D> {
  const said: Partial<D> = {};
  const drafts = new Map<Mergeable<D>, Partial<D>[]>();
  for (const { rows, draft } of blocks) {
    for (const row of rows) {
      const before = drafts.get(row);
      if (before === undefined) {
        drafts.set(row, [draft]);
      } else {
        before.push(draft);
      }
    }
  }
  for (const [row, from] of drafts) {
    row.merge(said, from);
  }
  return said;
}

/** What the blocks say wins over the rest. */
function matcher(
  config: ServerConfig,
  draft: ServerDraft,
  blocks: readonly MatchBlock<ServerDraft>[],
): (subject: MatchSubject) => ServerConfig {
  const withBlocks = (said: Partial<ServerDraft>): ServerConfig => {
    const { listenAddresses, hostKeyFiles, isHostKeyDefault } = config;
    return freeze({
      ...finished({
        ...draft,
        ...said,
        inert: { ...draft.inert, ...said.inert },
        // A block that says nothing of the time leaves it as it is.
        rekeyLimit: {
          bytes: (said.rekeyLimit ?? draft.rekeyLimit).bytes,
          ms: said.rekeyLimit?.ms ?? draft.rekeyLimit.ms,
        },
        // By name, as sshd from 9.6 on.
        subsystems: new Map([...draft.subsystems, ...(said.subsystems ?? [])]),
      }),
      listenAddresses,
      hostKeyFiles,
      isHostKeyDefault,
    });
  };
  // All of them once, now: what cannot be brought together fails here, and not at a login, and the
  // first login does not wait for code that is not yet compiled.
  withBlocks(together(blocks));
  return (subject) => {
    const said = saidFor(blocks, subject);
    return said === undefined ? config : withBlocks(said);
  };
}

export interface LoadedServer extends Loaded<ServerConfig> {
  /** The configuration for one connection, once its user is known. */
  readonly configFor: (subject: MatchSubject) => ServerConfig;
}

/** Throws ConfigFailure with every line that is wrong. */
export async function loadConfig(request: LoadRequest): Promise<LoadedServer> {
  const { draft: said, blocks, notices, details, places } = read(serverGrammar, request);
  const draft: ServerDraft = {
    ...serverDefaults,
    ...said,
    ...(request.addressFamily === undefined ? {} : { addressFamily: request.addressFamily }),
    ...(request.ports === undefined || request.ports.length === 0 ? {} : { ports: request.ports }),
  };
  const config: ServerConfig = {
    ...finished(draft),
    listenAddresses: await listenAddresses(draft, request.source),
    ...hostKeysOf(request, said),
  };
  checkWhole(config, places);
  return {
    config: freeze(config),
    configFor: matcher(config, draft, blocks),
    notices: [...notices, ...leftOutNotices(config)],
    details,
  };
}

function leftOutNotices(config: ServerConfig): readonly string[] {
  const fields = Object.keys(algorithmKinds) as (keyof typeof algorithmKinds)[];
  return fields.flatMap((field) => leftOutNotice(algorithmKinds[field], config[field]));
}

export interface DesktopLoadRequest {
  readonly file: string;
  /** `--desktop-config` was given: the file has to be there. */
  readonly isFileRequired: boolean;
  readonly cores: number;
  readonly source: ConfigSource;
  readonly onLine?: (line: ConfigLine) => void;
}

export interface LoadedDesktop extends Loaded<DesktopConfig> {
  /** For the desktops of one user. */
  readonly configFor: (owner: {
    readonly user: string;
    readonly groups: readonly string[];
  }) => DesktopConfig;
}

function desktopConfig(draft: DesktopDraft): DesktopConfig {
  return freeze({
    ...draft,
    xSession: unlessNone(draft.xSession),
    cardCertificates: unlessNone(draft.cardCertificates),
    cardRevocationList: unlessNone(draft.cardRevocationList),
  });
}

/** Throws ConfigFailure with every line that is wrong. A default file that is absent is empty. */
export function loadDesktopConfig(request: DesktopLoadRequest): LoadedDesktop {
  const { file, isFileRequired, source } = request;
  const isThere = isFileRequired || source.glob(file).length > 0;
  const {
    draft: said,
    blocks,
    notices,
    details,
    places,
  } = read(desktopGrammar, {
    commandLine: [],
    file: isThere ? file : undefined,
    source,
    ...(request.onLine === undefined ? {} : { onLine: request.onLine }),
  });
  const draft: DesktopDraft = { ...desktopDefaults(request.cores), ...said };
  checkCards(draft, [said, ...blocks.map((block) => block.draft)], places);
  const config = desktopConfig(draft);
  return {
    config,
    configFor(owner) {
      const more = saidFor(blocks, { ...unknownSubject, ...owner });
      return more === undefined ? config : desktopConfig({ ...draft, ...more });
    },
    notices,
    details,
  };
}
