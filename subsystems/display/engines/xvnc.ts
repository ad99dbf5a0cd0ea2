/**
 * TigerVNC's Xvnc: RFB on a Unix socket in the user's own directory, no TCP port, no VNC password
 * (who connects is decided before). Runs in: monitor (the program itself runs as the user).
 */
import { join } from 'node:path';
import type { DisplayEngine } from '../../../src/broker/engine.ts';

const file = '/usr/bin/Xvnc';

const socketName = 'rfb.sock';

function socketPath(userDirectory: string): string {
  return join(userDirectory, socketName);
}

export const xvnc: DisplayEngine = {
  name: 'xvnc',
  protocol: 'rfb',
  types: ['unix-desktop', 'unix-default'],
  depths: [16, 24],
  // Its start says so.
  missing: () => undefined,
  seenBy: 'It speaks RFB: open it with sshdesk connect, or with a VNC viewer and --protocol rfb.',
  isRootless: () => false,
  socketPath,
  // Geometry and depth are all that it is told.
  readParameters: () => ({ is: 'taken', parameters: new Map() }),
  environment: () => [],
  session: (_order, usual) => ({ command: usual }),
  command({ display, xauthorityPath, width, height, depth }) {
    return [
      file,
      `:${display}`,
      ...['-displayfd', '3'],
      ...['-auth', xauthorityPath],
      ...['-geometry', `${width}x${height}`],
      ...['-depth', String(depth)],
      ...['-rfbport', '-1'],
      // From where it is started: the whole path may be longer than a socket's address.
      ...['-rfbunixpath', socketName],
      ...['-rfbunixmode', '0600'],
      ...['-SecurityTypes', 'None'],
      ...['-nolisten', 'tcp'],
      '-AlwaysShared',
      '-noreset',
      // Otherwise any X client could change parameters of the server.
      ...['-AllowOverride', ''],
    ];
  },
  isDisplayTaken(logTail) {
    return logTail.some((line) =>
      /server already running|Cannot establish any listening sockets|Server is already active/.test(
        line,
      ),
    );
  },
};
