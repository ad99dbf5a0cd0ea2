/** One request to the daemon over its control socket. Runs in: user. */
import { createConnection } from 'node:net';
import type { ControlReply, ControlRequest } from '../../broker/control.ts';

const answerTimeoutMs = 60_000;
const maxReplyBytes = 4 * 1024 * 1024;

/** Nobody listens on any of the paths, or what listens does not answer. */
export class NoDaemon extends Error {}

function parseReply(line: string, path: string): ControlReply {
  try {
    const reply = JSON.parse(line) as ControlReply;
    if (reply.is === 'done' || reply.is === 'failed') {
      return reply;
    }
  } catch {
    // Said below: it is no daemon of ours.
  }
  throw new NoDaemon(`what listens on ${path} is not sshdesk`);
}

/** Undefined: nobody listens there. */
function ask(path: string, request: ControlRequest): Promise<ControlReply | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
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

/** The first path on which somebody listens. */
export async function askDaemon(
  paths: readonly string[],
  request: ControlRequest,
): Promise<ControlReply> {
  for (const path of paths) {
    const reply = await ask(path, request);
    if (reply !== undefined) {
      return reply;
    }
  }
  throw new NoDaemon(`no daemon is reached (${paths.join(', ')})`);
}
