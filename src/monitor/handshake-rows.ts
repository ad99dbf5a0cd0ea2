/**
 * The monitor's table as a connection of the account `nx` meets it: keys in front of the dialogue, one
 * login in it, the desktops of whoever logged in behind it. Every other request ends the connection,
 * whatever the worker says. Runs in: monitor.
 */
import { verifySignature } from '../../keys/signature.ts';
import { MonitorRefusal } from '../base/errors.ts';
import type { Values } from '../ssh/wire/field.ts';
import type { AuthReply } from './auth-reply.ts';
import type { Connection } from './connection.ts';
import { type Handshake, handshakeOf } from './handshake.ts';
import type { KeyFiles } from './key-files.ts';
import * as link from './link.ts';
import { type OfferedKey, readOffer } from './offered-key.ts';
import type { AnyRow } from './request-table.ts';
import { isOfThisServer, signedBytes } from './signed-request.ts';

export interface HandshakePlace {
  /** NXKeyFile. */
  readonly keyFile: string;
  readonly keyFiles: KeyFiles;
}

/** What runs as it does everywhere: a key exchange, and what is this account's alone. */
const asEverywhere: readonly string[] = [link.SignExchange.name, link.NxLogin.name];

type Asked = Values<(typeof link.QueryKey)['request']>;

function read(handshake: Handshake, { algorithm, blob, hostKey }: Asked): OfferedKey | undefined {
  const { config, log, connection } = handshake;
  if (!isOfThisServer(connection, hostKey)) {
    log.error('userauth_pubkey: hostbound key mismatch with initial hostkey [preauth]');
    return undefined;
  }
  const offer = readOffer(algorithm, blob, config);
  if (!offer.ok) {
    log.at(offer.level, `${offer.text} [preauth]`);
    return undefined;
  }
  return offer.offered;
}

/** Listed, and not revoked; a certificate is nobody's here. */
async function isListed(
  { config, log, isValid }: Handshake,
  { key, certificate }: OfferedKey,
  { keyFile, keyFiles }: HandshakePlace,
): Promise<boolean> {
  if (!isValid || certificate !== undefined) {
    return false;
  }
  const { revokedKeys } = config;
  try {
    const revoked = revokedKeys === undefined ? undefined : await keyFiles.revoked(revokedKeys);
    return !(revoked?.revokesKey(key) ?? false) && (await keyFiles.trusts(keyFile, key));
  } catch (error) {
    log.error(
      `NXKeyFile ${keyFile} or RevokedKeys: ${(error as Error).message}; nobody comes in as nx`,
    );
    return false;
  }
}

async function queryKey(
  handshake: Handshake,
  asked: Asked,
  place: HandshakePlace,
): Promise<AuthReply> {
  const offered = read(handshake, asked);
  const isGood =
    offered !== undefined && handshake.mayAskForKeys && (await isListed(handshake, offered, place));
  return isGood ? handshake.acceptable() : handshake.refuse('publickey', offered?.logged);
}

async function checkKey(
  handshake: Handshake,
  asked: Values<(typeof link.CheckKey)['request']>,
  place: HandshakePlace,
): Promise<AuthReply> {
  const offered = read(handshake, asked);
  if (offered === undefined || !(await isListed(handshake, offered, place))) {
    return handshake.refuse('publickey', offered?.logged);
  }
  const { algorithm, blob, signature, hostKey } = asked;
  const signed = signedBytes(handshake, 'ssh-connection', algorithm, blob, hostKey);
  const verified = verifySignature(
    offered.algorithm.signature.name,
    offered.key,
    signature,
    signed,
  );
  return verified === undefined
    ? handshake.refuse('publickey', offered.logged)
    : handshake.accept(offered.logged);
}

type Handler = (handshake: Handshake, values: never) => Promise<AuthReply> | AuthReply;

function handlers(place: HandshakePlace): ReadonlyMap<string, Handler> {
  const never =
    (method: string): Handler =>
    (handshake) =>
      handshake.refuse(method);
  return new Map<string, Handler>([
    [link.TryNone.name, (handshake) => handshake.none()],
    [link.QueryKey.name, (handshake, values: Asked) => queryKey(handshake, values, place)],
    [
      link.CheckKey.name,
      (handshake, values: Values<(typeof link.CheckKey)['request']>) =>
        checkKey(handshake, values, place),
    ],
    [
      link.CheckPassword.name,
      (handshake, { password }: Values<(typeof link.CheckPassword)['request']>) => {
        password.fill(0);
        return handshake.refuse('password');
      },
    ],
    [link.StartKeyboardInteractive.name, never('keyboard-interactive')],
    [link.StartGssapi.name, never('gssapi-with-mic')],
    [
      link.RefuseMethod.name,
      (handshake, { method }: Values<(typeof link.RefuseMethod)['request']>) =>
        handshake.refuse(method),
    ],
  ]);
}

/** `ofLogin`: rows that whoever has logged in may use. */
export function rowsWithHandshake(
  rows: readonly AnyRow[],
  ofLogin: readonly AnyRow[],
  place: HandshakePlace,
): readonly AnyRow[] {
  const own = handlers(place);
  const open = new Set([...asEverywhere, ...ofLogin.map(({ schema }) => schema.name)]);
  return rows.map((row) => {
    const { name } = row.schema;
    const handler = own.get(name);
    return open.has(name)
      ? row
      : {
          ...row,
          handle: async (connection: Connection, values: never) => {
            if (connection.handshake === undefined) {
              return row.handle(connection, values);
            }
            if (handler === undefined) {
              throw new MonitorRefusal(`${name} on a connection of the account nx`);
            }
            const handshake = handshakeOf(connection);
            handshake.beginAttempt();
            return { values: { ...(await handler(handshake, values)) } };
          },
        };
  });
}
