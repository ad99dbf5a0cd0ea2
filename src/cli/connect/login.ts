/**
 * From settings to an authenticated session: dial, host key, keys and agent, the person's answers.
 * Runs in: user.
 */
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { readPublicLine } from '../../../keys/public-line.ts';
import { ClientFailure } from '../../ssh/client/failure.ts';
import {
  agentIdentities,
  connectAgent,
  fileIdentity,
  orderIdentities,
} from '../../ssh/client/identities.ts';
import type { Identity, KeyFile } from '../../ssh/client/identities.ts';
import { type HostTrust, preferKnownAlgorithms } from '../../ssh/client/host-trust.ts';
import { withCertificates } from '../../ssh/client/certificates.ts';
import { openSession } from '../../ssh/client/session.ts';
import type { ClientSession } from '../../ssh/client/session.ts';
import type { Conversation, GssapiPlan, UserauthPlan } from '../../ssh/client/method.ts';
import type { Cards } from './cards.ts';
import { HostKeyPolicy, type HostKeyVerdict, readHostTrust } from './host-key.ts';
import { type HopLogin, reach } from './jump.ts';
import type { Questioning } from './questions.ts';
import type { Settings } from './settings.ts';
import type { Terminal } from './terminal.ts';
import { readCertificates } from './certificate-files.ts';
import { updateHostKeys } from './update-host-keys.ts';

const handshakeTimeoutMs = 60 * 1000;
const maxKeyFileBytes = 1024 * 1024;

/**
 * Resolves with a session that is logged in; throws ClientFailure otherwise. `hopsAhead`: how many
 * hosts are to be reached through this one.
 */
export async function login(
  settings: Settings,
  terminal: Terminal,
  signal: AbortSignal,
  hopsAhead = 0,
): Promise<ClientSession> {
  const trust = await readHostTrust(settings);
  const cards = openCards(settings, terminal);
  try {
    return await loginWith({ cards, trust, terminal }, settings, signal, hopsAhead);
  } finally {
    // Not waited for: the card is given back while the work begins.
    void cards.then((opened) => opened?.close());
  }
}

interface Means {
  readonly cards: Promise<Cards | null>;
  readonly trust: HostTrust;
  readonly terminal: Terminal;
}

async function loginWith(
  means: Means,
  settings: Settings,
  signal: AbortSignal,
  hopsAhead: number,
): Promise<ClientSession> {
  const { terminal } = means;
  terminal.progress(`connecting to ${settings.host} port ${settings.port} …`);
  const hopLogin: HopLogin = (hop, ahead) => login(hop, terminal, signal, ahead);
  const { socket, through } = await reach(settings, hopsAhead, hopLogin, signal);
  try {
    const session = await loginOver(socket, means, settings, signal);
    // The sessions on the way have no other purpose.
    void session.ended.then(() => through?.close());
    return session;
  } catch (error) {
    await through?.close();
    throw error;
  }
}

async function loginOver(
  socket: Duplex,
  { cards, trust, terminal }: Means,
  settings: Settings,
  signal: AbortSignal,
): Promise<ClientSession> {
  const policy = new HostKeyPolicy(settings, terminal, trust);
  const cut = (): void => void socket.destroy();
  signal.addEventListener('abort', cut);
  let verdict: HostKeyVerdict = { mayUsePasswords: true, mayUpdate: false };
  try {
    const session = await openSession({
      socket,
      offer: settings.isHostKeyOrderKept
        ? settings.offer
        : { ...settings.offer, hostKey: preferKnownAlgorithms(settings.offer.hostKey, trust) },
      async verifyHostKey(blob) {
        verdict = await policy.verify(blob);
        return true;
      },
      planUserauth() {
        terminal.progress(`authenticating as ${settings.user} …`);
        return planUserauth(cards, settings, terminal, verdict.mayUsePasswords);
      },
      onBanner: (text) => terminal.line(text),
      onHostKeys(prover, keys) {
        if (verdict.mayUpdate && settings.updateHostKeys !== 'no') {
          void updateHostKeys(prover, keys, settings, trust, terminal);
        }
      },
      handshakeTimeoutMs,
      keepaliveIntervalMs: settings.keepaliveIntervalMs,
      keepaliveCountMax: settings.keepaliveCountMax,
    });
    session.isHostKeyChanged = !verdict.mayUsePasswords;
    return session;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', cut);
  }
}

/** Loaded when there is one to open: all of it happens while the connection is made. */
async function openCards(settings: Settings, terminal: Terminal): Promise<Cards | null> {
  const { pkcs11Provider: module, isBatch, connectTimeoutMs: listMs } = settings;
  const { cardProcess: process } = settings;
  if (module === null || !settings.methods.includes('publickey')) {
    process?.giveUp();
    return null;
  }
  const cards = await import('./cards.ts').catch((error: Error) => error);
  if (cards instanceof Error) {
    // As on a system for which our native part is not built.
    terminal.line(`Warning: smart cards cannot be used here: ${cards.message}`);
    return null;
  }
  return new cards.Cards({ module, isBatch, listMs, process }, terminal);
}

async function planUserauth(
  cards: Promise<Cards | null>,
  settings: Settings,
  terminal: Terminal,
  mayUsePasswords: boolean,
): Promise<UserauthPlan> {
  const files = await identitiesOfFiles(settings, terminal);
  const agent = await identitiesOfAgent(settings, terminal);
  const onCards = (await (await cards)?.identities()) ?? [];
  return {
    user: settings.user,
    host: settings.originalHost,
    methods: mayUsePasswords ? settings.methods : settings.methods.filter((m) => m === 'publickey'),
    identities: withCertificates(
      orderIdentities(files, agent, settings.isIdentitiesOnly, onCards),
      await readCertificates(settings, (text) => terminal.line(text)),
    ),
    gssapi: await gssapiPlan(settings, terminal),
    conversation: settings.isBatch ? null : conversationOn(terminal),
    promptAttempts: settings.promptAttempts,
  };
}

/** Nobody is asked in batch mode, and not by a host whose key has changed: it may be anybody's. */
export function questioningOn(
  settings: Settings,
  terminal: Terminal,
  isHostKeyChanged: boolean,
): Questioning {
  return {
    conversation: settings.isBatch || isHostKeyChanged ? null : conversationOn(terminal),
    ...(isHostKeyChanged
      ? { obstacle: 'a host whose key has changed is told no password and no code' }
      : {}),
    attempts: settings.promptAttempts,
    login: `${settings.user}@${settings.originalHost}`,
  };
}

/** Null where our native part is not built, as on a Mac or Windows: tickets are for Linux so far. */
async function loadGss() {
  try {
    return await import('../../base/gss.native.ts');
  } catch {
    return null;
  }
}

/** The name is the one that is dialled: what DNS makes of it is krb5.conf's affair. */
async function gssapiPlan(settings: Settings, terminal: Terminal): Promise<GssapiPlan | null> {
  if (!settings.gssapiAuthentication) return null;
  const gss = await loadGss();
  if (gss === null) return null;
  return {
    delegates: settings.gssapiDelegateCredentials,
    open: () => new gss.GssContext(settings.host, settings.gssapiDelegateCredentials),
    note: (text) => terminal.line(text),
  };
}

function conversationOn(terminal: Terminal): Conversation {
  return {
    show: (text) => terminal.show(text),
    async ask(questions) {
      const answers = await terminal.ask(questions);
      if (!answers) {
        throw new ClientFailure('authentication', 'there is no terminal to ask questions on');
      }
      return answers;
    },
  };
}

async function identitiesOfFiles(settings: Settings, terminal: Terminal): Promise<Identity[]> {
  const identities: Identity[] = [];
  for (const { path, isExplicit } of settings.identityFiles) {
    const file = await readKeyFile(path, isExplicit, terminal);
    const identity =
      file &&
      fileIdentity(file, async (label, attempt) => {
        if (settings.isBatch) return null;
        if (attempt > 1) terminal.line('Bad passphrase, try again.');
        const text = `Enter passphrase for key '${label}': `;
        return (await terminal.ask([{ text, isEchoed: false }]))?.[0] ?? null;
      });
    if (identity) identities.push(identity);
    else if (file && isExplicit) terminal.line(`Warning: ${path}: not a key that can be used`);
  }
  return identities;
}

/** Null: none, or one that others could have read (said aloud). */
async function readKeyFile(
  path: string,
  isExplicit: boolean,
  terminal: Terminal,
): Promise<KeyFile | null> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { mode, uid, size } = await file.stat();
    if (size > maxKeyFileBytes) return null;
    const contents = await file.readFile();
    // With -i a public key names one that an agent or a card holds: everybody may read it.
    const isPublic = readPublicLine(contents) !== undefined;
    if (!isPublic && uid === process.getuid?.() && (mode & 0o077) !== 0) {
      contents.fill(0);
      const shown = (mode & 0o777).toString(8).padStart(4, '0');
      terminal.line(`Warning: ${path}: mode ${shown} lets others read this key; it is not used`);
      return null;
    }
    return { path, contents, publicContents: await readPublicKey(path) };
  } catch (error) {
    const contents = await readPublicKey(path);
    if (contents !== null) return { path, contents, publicContents: null };
    if (isExplicit) {
      terminal.line(`Warning: Identity file ${path} not accessible: ${(error as Error).message}`);
    }
    return null;
  }
}

async function readPublicKey(path: string): Promise<Buffer | null> {
  try {
    return await readFile(`${path}.pub`);
  } catch {
    // The public half is a convenience: without it the passphrase is asked earlier.
    return null;
  }
}

async function identitiesOfAgent(settings: Settings, terminal: Terminal): Promise<Identity[]> {
  if (settings.agentPath === null || !settings.methods.includes('publickey')) return [];
  try {
    return await agentIdentities(connectAgent(settings.agentPath));
  } catch (error) {
    terminal.line(`Warning: the agent at ${settings.agentPath}: ${(error as Error).message}`);
    return [];
  }
}
