/** One request to the daemon over its control socket. Runs in: user. */
import { closeSync, constants, openSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import type { ControlReply, ControlRequest, LoginRequest } from '../../broker/control.ts';

const answerTimeoutMs = 60_000;
const maxReplyBytes = 4 * 1024 * 1024;

/** Nobody listens on any of the paths, or what listens does not answer. */
export class NoDaemon extends Error {}

function parseReply(line: string, path: string): ControlReply {
  try {
    const reply = JSON.parse(line) as ControlReply;
    if (['done', 'who', 'last', 'failed'].includes(reply.is)) {
      return reply;
    }
  } catch {
    // Said below: it is no daemon of ours.
  }
  throw new NoDaemon(`what listens on ${path} is not sshdesk`);
}

/** What `sockaddr_un` holds, without the final zero. */
const maxAddressBytes = 107;

/** A path that is too long for an address is gone by way of its directory. */
function connectTo(path: string): Socket {
  if (Buffer.byteLength(path) <= maxAddressBytes) {
    return createConnection(path);
  }
  let directory: number;
  try {
    directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    // Told as what it is: nobody listens there.
    return createConnection('/nonexistent/control.sock');
  }
  const socket = createConnection(`/proc/self/fd/${directory}/${basename(path)}`);
  socket.once('close', () => closeSync(directory));
  return socket;
}

/** Undefined: nobody listens there. */
function ask(
  path: string,
  request: ControlRequest | LoginRequest,
): Promise<ControlReply | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connectTo(path);
    let input = '';
    let isConnected = false;
    const fail = (why: string): void => {
      socket.destroy();
      reject(new NoDaemon(why));
    };
    socket.setTimeout(answerTimeoutMs, () => fail(`no answer on ${path}`));
    socket.setEncoding('utf8');
    socket.on('connect', () => {
      isConnected = true;
      socket.write(`${JSON.stringify(request)}\n`);
    });
    socket.on('data', (text: string) => {
      input += text;
      const end = input.indexOf('\n');
      if (end >= 0) {
        socket.destroy();
        try {
          resolve(parseReply(input.slice(0, end), path));
        } catch (error) {
          reject(error as Error);
        }
      } else if (input.length > maxReplyBytes) {
        fail(`too long an answer on ${path}`);
      }
    });
    socket.on('error', (error) => {
      if (isConnected) {
        fail(`${path}: ${error.message}`);
      } else {
        resolve(undefined);
      }
    });
    socket.on('end', () => fail(`no answer on ${path}`));
  });
}

/** `path`: where somebody listens, the first of them. */
export async function askDaemon(
  paths: readonly string[],
  request: ControlRequest | LoginRequest,
): Promise<{ readonly path: string; readonly reply: ControlReply }> {
  for (const path of paths) {
    const reply = await ask(path, request);
    if (reply !== undefined) {
      return { path, reply };
    }
  }
  throw new NoDaemon(`no daemon is reached (${paths.join(', ')})`);
}
