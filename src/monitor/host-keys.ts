/**
 * The host's keys: private ones that never leave the monitor, and public ones whose private half an
 * agent or a token holds; with their certificates. Loaded once, as sshd does it: what cannot be used is told and
 * skipped, no usable key means no start. Runs in: monitor.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import type { KeyType } from '../../keys/algorithms.ts';
import { isPkcs11Uri } from '../../keys/pkcs11-uri.ts';
import { loadPrivateKey, type PrivateKey } from '../../keys/private-key.ts';
import { parsePublicKey } from '../../keys/public-key.ts';
import { readPublicLine } from '../../keys/public-line.ts';
import type { Log } from '../audit/log.ts';
import { ConfigError, SshdeskError } from '../base/errors.ts';
import { hostKeyAlgorithms } from '../ssh/wire/algorithms.ts';
import { certifiedHostKey } from './host-certificate.ts';
import { HostKeyAgent } from './host-key-agent.ts';

export interface HostKey {
  readonly type: KeyType;
  readonly publicBlob: Buffer;
  /** For this key, in wire form. */
  readonly certificate: Buffer | undefined;
  /** `string algorithm · string value`. Rejects when an agent or a token cannot or will not. */
  sign(algorithm: string, data: Buffer): Promise<Buffer>;
}

export class HostKeys {
  readonly #keys: readonly HostKey[];

  constructor(keys: readonly HostKey[]) {
    this.#keys = keys;
  }

  /** The plain keys. */
  get publicBlobs(): readonly Buffer[] {
    return this.#keys.map((key) => key.publicBlob);
  }

  /** Keys and certificates: what may stand in a KEXDH_REPLY. */
  get offeredBlobs(): readonly Buffer[] {
    return this.#keys.flatMap(({ publicBlob, certificate }) =>
      certificate === undefined ? [publicBlob] : [publicBlob, certificate],
    );
  }

  /** By its own blob or by that of its certificate. */
  find(blob: Buffer): HostKey | undefined {
    return this.#keys.find(
      (key) => key.publicBlob.equals(blob) || key.certificate?.equals(blob) === true,
    );
  }
}

/** What a key in the monitor's own memory is to the rest of it. */
export function ownHostKey(key: PrivateKey, certificate?: Buffer): HostKey {
  return {
    type: key.type,
    publicBlob: key.publicBlob,
    certificate,
    sign: (algorithm, data) => key.signAside(algorithm, data),
  };
}

const maxKeyFileBytes = 64 * 1024;
/** Each exchange costs the monitor one signature: with 16384 bits that would be half a second. */
const maxHostRsaBits = 8192;

type Read = { readonly bytes: Buffer } | { readonly refused: string };

function readKeyFile(path: string, isPrivate: boolean): Read {
  const descriptor = openSync(path, 'r');
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile() || status.size > maxKeyFileBytes) {
      return { refused: `${path}: not a key file` };
    }
    if (isPrivate && status.uid === process.getuid?.() && (status.mode & 0o077) !== 0) {
      const mode = (status.mode & 0o777).toString(8).padStart(4, '0');
      return {
        refused: `Permissions ${mode} for '${path}' are too open: UNPROTECTED PRIVATE KEY FILE, the key is skipped`,
      };
    }
    return { bytes: readFileSync(descriptor) };
  } finally {
    closeSync(descriptor);
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** The key of `path` itself or of `path.pub`; undefined: neither is a public key. */
function publicKeyBeside(path: string): Buffer | undefined {
  for (const candidate of [path, `${path}.pub`]) {
    try {
      const read = readKeyFile(candidate, false);
      const blob = 'bytes' in read ? readPublicLine(read.bytes) : undefined;
      if (blob !== undefined && parsePublicKey(blob).ok) {
        return blob;
      }
    } catch (error) {
      if (!isMissing(error)) {
        throw error;
      }
    }
  }
  return undefined;
}

/** Throws ConfigError when a key is of a size that is not used. */
function checkedType(blob: Buffer, requiredRsaBits: number): KeyType {
  const parsed = parsePublicKey(blob);
  if (!parsed.ok) {
    throw new ConfigError(parsed.reason);
  }
  if (!hostKeyAlgorithms.some((row) => row.keyType === parsed.key.type)) {
    throw new ConfigError(`a key of type ${parsed.key.type} cannot be a host key`);
  }
  if (parsed.key.type === 'ssh-rsa' && parsed.key.bits < requiredRsaBits) {
    throw new ConfigError('Invalid key length');
  }
  if (parsed.key.type === 'ssh-rsa' && parsed.key.bits > maxHostRsaBits) {
    throw new ConfigError(
      `an RSA key of ${parsed.key.bits} bits where ${maxHostRsaBits} are the most`,
    );
  }
  return parsed.key.type;
}

function agentHostKey(
  agent: HostKeyAgent,
  publicBlob: Buffer,
  requiredRsaBits: number,
): HostKey & { readonly agent: true } {
  return {
    agent: true,
    type: checkedType(publicBlob, requiredRsaBits),
    publicBlob,
    certificate: undefined,
    sign: (algorithm, data) => agent.sign(publicBlob, algorithm, data),
  };
}

/** One HostKey line. `missing`: a file of the built-in list that is not there. */
function loadOne(
  path: string,
  agent: HostKeyAgent | undefined,
  requiredRsaBits: number,
): HostKey | (HostKey & { readonly agent: true }) | { readonly problem: string } | 'missing' {
  try {
    const beside = agent === undefined ? undefined : publicKeyBeside(path);
    const read = readOrMissing(path);
    if (read !== 'missing' && 'bytes' in read) {
      const isPublic = beside !== undefined && readPublicLine(read.bytes) !== undefined;
      if (!isPublic) {
        const key = loadPrivateKey(read.bytes);
        read.bytes.fill(0);
        checkedType(key.publicBlob, requiredRsaBits);
        return ownHostKey(key);
      }
    }
    if (agent !== undefined && beside !== undefined) {
      return agentHostKey(agent, beside, requiredRsaBits);
    }
    if (read === 'missing') {
      return 'missing';
    }
    return { problem: 'refused' in read ? read.refused : `Unable to load host key: ${path}` };
  } catch (error) {
    return { problem: `Unable to load host key: ${path}: ${(error as Error).message}` };
  }
}

function readOrMissing(path: string): Read | 'missing' {
  try {
    return readKeyFile(path, true);
  } catch (error) {
    if (isMissing(error)) {
      return 'missing';
    }
    throw error;
  }
}

/** With the certificates of HostCertificate put to their keys; one that has none is told. */
function certified(keys: readonly HostKey[], paths: readonly string[], log: Log): HostKey[] {
  const found = [...keys];
  for (const path of paths) {
    try {
      const read = readKeyFile(path, false);
      const certificate = 'bytes' in read ? readPublicLine(read.bytes) : undefined;
      if (certificate === undefined) {
        throw new ConfigError('invalid format');
      }
      const blob = certifiedHostKey(certificate);
      const index = found.findIndex((key) => key.publicBlob.equals(blob));
      const key = found[index];
      if (key === undefined) {
        log.error(`No matching private key for certificate: ${path}`);
      } else {
        found[index] = { ...key, certificate, sign: key.sign.bind(key) };
      }
    } catch (error) {
      const text = isMissing(error) ? 'No such file or directory' : (error as Error).message;
      log.error(`Could not load host certificate "${path}": ${text}`);
    }
  }
  return found;
}

export interface HostKeyFiles {
  readonly hostKeyFiles: readonly string[];
  /** The list is the built-in one, of which a host may have some. */
  readonly isHostKeyDefault: boolean;
  readonly hostCertificateFiles: readonly string[];
  /** `none`, `SSH_AUTH_SOCK`, or the path of a socket. */
  readonly hostKeyAgent: string;
  /** Bits; holds for host keys too. */
  readonly requiredRsaSize: number;
}

function socketOf(
  hostKeyAgent: string,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (hostKeyAgent === 'none') {
    return undefined;
  }
  return hostKeyAgent === 'SSH_AUTH_SOCK' ? environment.SSH_AUTH_SOCK : hostKeyAgent;
}

/** Undefined when there is none or it cannot be reached, which is told. */
async function reachedAgent(
  files: HostKeyFiles,
  environment: Readonly<Record<string, string | undefined>>,
  log: Log,
): Promise<{ readonly agent: HostKeyAgent; readonly held: readonly Buffer[] } | undefined> {
  if (files.hostKeyAgent === 'none') {
    return undefined;
  }
  const path = socketOf(files.hostKeyAgent, environment);
  try {
    if (path === undefined || path === '') {
      throw new ConfigError('SSH_AUTH_SOCK is not set');
    }
    const agent = new HostKeyAgent(path);
    return { agent, held: await agent.identities() };
  } catch (error) {
    log.error(`Could not connect to agent "${files.hostKeyAgent}": ${(error as Error).message}`);
    return undefined;
  }
}

/** Where keys in tokens come from. */
export interface HostKeyTokens {
  load(uri: string): Promise<HostKey>;
  /** `FILE:LINE` of its HostKey. */
  placeOf(uri: string): string;
}

async function loadFromToken(
  uri: string,
  tokens: HostKeyTokens | undefined,
  requiredRsaBits: number,
): Promise<HostKey | { readonly problem: string }> {
  try {
    if (tokens === undefined) {
      throw new ConfigError('no tokens are looked at here');
    }
    const key = await tokens.load(uri);
    checkedType(key.publicBlob, requiredRsaBits);
    return key;
  } catch (error) {
    if (!(error instanceof SshdeskError)) {
      throw error;
    }
    return { problem: `${tokens?.placeOf(uri) ?? ''}: HostKey ${uri}: ${error.detail}` };
  }
}

/** Throws ConfigError with one line per file when no key can be used. */
export async function loadHostKeys(
  files: HostKeyFiles,
  log: Log,
  environment: Readonly<Record<string, string | undefined>> = process.env,
  tokens?: HostKeyTokens,
): Promise<HostKeys> {
  const reached = await reachedAgent(files, environment, log);
  const keys: HostKey[] = [];
  const problems: string[] = [];
  for (const path of files.hostKeyFiles) {
    const loaded = isPkcs11Uri(path)
      ? await loadFromToken(path, tokens, files.requiredRsaSize)
      : loadOne(path, reached?.agent, files.requiredRsaSize);
    if (loaded === 'missing' && files.isHostKeyDefault) {
      log.debug(`no host key ${path}`);
    } else if (loaded === 'missing') {
      problems.push(`Unable to load host key: ${path}: No such file or directory`);
    } else if ('problem' in loaded) {
      problems.push(loaded.problem);
    } else if (!keys.some((key) => key.publicBlob.equals(loaded.publicBlob))) {
      keys.push(loaded);
      if (
        'agent' in loaded &&
        reached?.held.some((blob) => blob.equals(loaded.publicBlob)) === false
      ) {
        problems.push(`${path}: the agent does not hold this key (yet)`);
      }
    }
  }
  for (const problem of problems) {
    log.error(problem);
  }
  if (keys.length === 0) {
    throw new ConfigError([...problems, 'sshdesk: no hostkeys available.'].join('\n'));
  }
  return new HostKeys(certified(keys, files.hostCertificateFiles, log));
}
