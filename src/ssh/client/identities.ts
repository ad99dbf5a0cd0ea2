/**
 * Keys that a client can offer: of a file (asked for its passphrase only once the server wants the
 * key) and of an agent, in the order of ssh. Pure: contents come from the caller.
 * Runs in: user.
 */
import ssh2 from 'ssh2';
import type { BaseAgent, ParsedKey, SigningRequestOptions } from 'ssh2';

/** One key. `unlock` is asked after the server has said that it would accept the key. */
export interface Identity {
  readonly label: string;
  /** Null: only known once unlocked. */
  readonly publicKey: ParsedKey | null;
  /** Offered in place of the key itself. */
  readonly certificate?: Buffer;
  /** Of a file with the public half only: names a key of an agent or a card, and is not offered. */
  readonly isPublicOnly?: true;
  /** Null: it cannot be had (no passphrase was given). */
  unlock(): Promise<Signer | null>;
}

export interface Signer {
  readonly publicKey: ParsedKey;
  sign(data: Buffer, hash: string | undefined): Promise<Buffer>;
}

export interface KeyFile {
  readonly path: string;
  readonly contents: Buffer;
  /** Contents of `path.pub`, when there is one. */
  readonly publicContents: Buffer | null;
}

/** Asks for a passphrase; null: the person gave none, or nobody can be asked. */
export type PassphraseSource = (label: string, attempt: number) => Promise<string | null>;

const maxPassphraseAttempts = 3;

/** Parses one key; null when it is none that this client can use. */
export function parseKey(contents: Buffer | string, passphrase?: string): ParsedKey | null {
  const parsed: ParsedKey | Error | ParsedKey[] = ssh2.utils.parseKey(contents, passphrase);
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  return key === undefined || key instanceof Error ? null : key;
}

/** An identity of a file; null when the file holds no key. */
export function fileIdentity(file: KeyFile, askPassphrase: PassphraseSource): Identity | null {
  const plain = parseKey(file.contents);
  if (plain?.isPrivateKey() === true) return unlockedIdentity(file.path, plain);
  if (plain) {
    const unlock = () => Promise.resolve(null);
    return { label: file.path, publicKey: plain, isPublicOnly: true, unlock };
  }
  if (!/PRIVATE KEY-----/.test(file.contents.toString('latin1', 0, 64 * 1024))) return null;
  const publicKey =
    embeddedPublicKey(file.contents) ?? (file.publicContents && parseKey(file.publicContents));
  return {
    label: file.path,
    publicKey,
    async unlock() {
      for (let attempt = 1; attempt <= maxPassphraseAttempts; attempt += 1) {
        const passphrase = await askPassphrase(file.path, attempt);
        if (passphrase === null || passphrase === '') return null;
        const key = parseKey(file.contents, passphrase);
        if (key) return signerOf(key);
      }
      return null;
    },
  };
}

function unlockedIdentity(label: string, key: ParsedKey): Identity {
  return { label, publicKey: key, unlock: () => Promise.resolve(signerOf(key)) };
}

function signerOf(key: ParsedKey): Signer {
  return {
    publicKey: key,
    sign(data, hash) {
      // The declared type knows neither the hash nor that a failure is returned, not thrown.
      const sign = key.sign.bind(key) as (data: Buffer, hash?: string) => Buffer | Error;
      const signature = sign(data, hash);
      return signature instanceof Error ? Promise.reject(signature) : Promise.resolve(signature);
    },
  };
}

/** The public half that an encrypted `openssh-key-v1` file carries in the clear. */
export function embeddedPublicKey(contents: Buffer): ParsedKey | null {
  const match =
    /-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----/.exec(
      contents.toString('latin1'),
    );
  if (!match?.[1]) return null;
  const bytes = Buffer.from(match[1], 'base64');
  const magic = 'openssh-key-v1\0';
  if (bytes.toString('latin1', 0, magic.length) !== magic) return null;
  let at = magic.length;
  for (let skipped = 0; skipped < 3; skipped += 1) {
    if (at + 4 > bytes.length) return null;
    at += 4 + bytes.readUInt32BE(at);
  }
  at += 4;
  if (at + 4 > bytes.length) return null;
  const blob = bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at));
  if (blob.length < 8) return null;
  const typeLength = blob.readUInt32BE(0);
  const type = blob.toString('latin1', 4, 4 + Math.min(typeLength, 64));
  return parseKey(`${type} ${blob.toString('base64')}`);
}

/** The agent's keys, as far as they are of types that this client can offer. */
/** The agent behind a socket; the package opens it, once per question. */
export function connectAgent(socketPath: string): BaseAgent {
  return ssh2.createAgent(socketPath);
}

export async function agentIdentities(agent: BaseAgent): Promise<Identity[]> {
  const keys = await new Promise<readonly unknown[]>((resolve, reject) => {
    agent.getIdentities((error, list) => (error ? reject(error) : resolve(list ?? [])));
  });
  const identities: Identity[] = [];
  for (const key of keys) {
    const parsed = parseKey(key as Buffer);
    if (parsed) identities.push(agentIdentity(agent, parsed));
  }
  return identities;
}

function agentIdentity(agent: BaseAgent, publicKey: ParsedKey): Identity {
  const sign = (data: Buffer, hash: string | undefined): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const options: SigningRequestOptions = {};
      if (hash === 'sha256' || hash === 'sha512') options.hash = hash;
      agent.sign(publicKey, data, options, (error, signature) => {
        if (error || !signature) reject(error ?? new Error('the agent gave no signature'));
        else resolve(signature);
      });
    });
  return {
    label: publicKey.comment || 'agent',
    publicKey,
    unlock: () => Promise.resolve({ publicKey, sign }),
  };
}

const blobOf = (identity: Identity): string =>
  identity.publicKey?.getPublicSSH().toString('base64') ?? '';

/**
 * The order of ssh: the agent's keys that a file names, then (unless IdentitiesOnly) the agent's
 * other keys; the same of cards; then keys of files. A file's own half of a card's key stays: the card
 * may be locked.
 */
export function orderIdentities(
  files: readonly Identity[],
  agent: readonly Identity[],
  isFilesOnly: boolean,
  cards: readonly Identity[] = [],
): Identity[] {
  const ofFiles = new Map(files.map((file) => [blobOf(file), file]));
  const inAgent = new Set(agent.map(blobOf));
  const onCards = cards.filter((identity) => !inAgent.has(blobOf(identity)));
  const named = (held: readonly Identity[]) => held.filter((one) => ofFiles.has(blobOf(one)));
  const others = (held: readonly Identity[]) =>
    isFilesOnly ? [] : held.filter((one) => !ofFiles.has(blobOf(one)));
  const onlyInFiles = files.filter(
    (file) => !file.isPublicOnly && (file.publicKey === null || !inAgent.has(blobOf(file))),
  );
  return [...named(agent), ...others(agent), ...named(onCards), ...others(onCards), ...onlyInFiles];
}
