/**
 * One request of the method publickey, each part as a test wants it, from a client with nothing of our
 * own codec in it. Runs in: test.
 */
import { sign } from 'node:crypto';
import { no, payload, type RawKey, RawSsh, str, yes } from './raw-ssh.ts';

export const hostBound = 'publickey-hostbound-v00@openssh.com';
export const webauthn = 'webauthn-sk-ecdsa-sha2-nistp256@openssh.com';
export const certificateType = 'ssh-ed25519-cert-v01@openssh.com';
export const accepted = 52;
export const refused = 51;
export const acceptable = 60;

/** A signer for an Ed25519 key. */
export function signer(key: RawKey, name = 'ssh-ed25519'): (data: Buffer) => Buffer {
  return (data) => Buffer.concat([str(name), str(sign(null, data, key.privateKey))]);
}

export interface Attempt {
  readonly method?: string;
  readonly algorithm?: string;
  readonly blob: Buffer;
  readonly hostKey?: Buffer;
  /** Makes the signature; undefined: asks only whether the key would do. */
  readonly sign?: (data: Buffer) => Buffer;
  /** What is signed in place of the request. */
  readonly signedAs?: Attempt;
}

function request(attempt: Attempt, isSigned: boolean): Buffer {
  const { method = 'publickey', algorithm = 'ssh-ed25519', blob, hostKey } = attempt;
  return payload(
    50,
    ...[str('alice'), str('ssh-connection'), str(method), isSigned ? yes : no],
    ...[str(algorithm), str(blob)],
    ...(hostKey === undefined ? [] : [str(hostKey)]),
  );
}

/** The answer's number; undefined: the connection was ended. */
export async function answerTo(port: number, attempt: Attempt): Promise<number | undefined> {
  using client = await RawSsh.shaken(port);
  await client.requestUserauth();
  const head = request(attempt, attempt.sign !== undefined);
  if (attempt.sign === undefined) {
    client.send(head);
  } else {
    const signed = request(attempt.signedAs ?? attempt, true);
    const data = Buffer.concat([str(client.sessionId as Buffer), signed]);
    client.send(Buffer.concat([head, str(attempt.sign(data))]));
  }
  for (;;) {
    const message = await client.next();
    if (message === undefined || message[0] === 1) {
      return undefined;
    }
    if ([accepted, refused, acceptable].includes(message[0] as number)) {
      return message[0];
    }
  }
}
