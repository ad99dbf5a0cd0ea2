/**
 * Runs a command on a pty and hands the master over as a plain descriptor, as a leader does. The
 * opener is a few lines of Python, so that nothing under test takes part in it.
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { once } from 'node:events';
import { SeqpacketLink, socketPair } from '../../src/base/link.native.ts';

const opener = `
import os, pty, socket, sys
link = socket.socket(fileno=3)
child, master = pty.fork()
if child == 0:
    link.close()
    os.execvp(sys.argv[1], sys.argv[1:])
socket.send_fds(link, [b'master'], [master])
os.close(master)
_, status = os.waitpid(child, 0)
link.send(b'%d' % status)
`;

export interface PtyChild {
  readonly master: number;
  /** The wait status of the command. */
  readonly exited: Promise<number>;
}

export async function spawnOnPty(command: readonly string[]): Promise<PtyChild> {
  const [ours, theirs] = socketPair();
  const child = spawn('python3', ['-c', opener, ...command], {
    stdio: ['ignore', 'inherit', 'inherit', theirs],
  });
  closeSync(theirs);
  const link = new SeqpacketLink(ours);
  const { promise: master, resolve: haveMaster, reject } = Promise.withResolvers<number>();
  const { promise: status, resolve: haveStatus } = Promise.withResolvers<number>();
  link.onEnd = () => reject(new Error('no pty came'));
  link.onFrame = (frame, descriptors) => {
    if (descriptors[0] === undefined) {
      haveStatus(Number(frame.toString()));
    } else {
      haveMaster(descriptors[0]);
    }
  };
  const gone = once(child, 'exit');
  const exited = status.then(async (value) => {
    await gone;
    link.close();
    return value;
  });
  return { master: await master, exited };
}
