/**
 * nx-libs' nxagent: an X server whose one viewer speaks NX, by a proxy on a Unix socket in the user's own
 * directory; no TCP port. It is suspended when its viewer leaves and resumed by SIGHUP, with options
 * and a cookie of their own for each viewer. Runs in: monitor (the program itself runs as the user).
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type {
  DisplayEngine,
  EngineFile,
  EngineOrder,
  ViewerState,
} from '../../../../src/broker/engine.ts';
import { xauthority } from '../../../../src/broker/x-display.ts';
import { isRootless, optionsOf, readParameters } from './parameters.ts';
import { nxTypes, sessionOf } from './session-types.ts';

const file = '/usr/bin/nxagent';
/** Asks at the close button; without it there is nobody who could answer. */
const dialogProgram = '/usr/bin/nxdialog';
const below = 'nx';
const socketName = 'proxy.sock';

const placeOf = (userDirectory: string): string => join(userDirectory, below);
const socketPath = (userDirectory: string): string => join(placeOf(userDirectory), socketName);

/** What the program would read as the end of an option. */
function isPlain(path: string): boolean {
  return !/[,=:\s]/.test(path);
}

function optionsText(order: EngineOrder, cookie: string): string {
  const { display, id, type, parameters, userDirectory, width, height } = order;
  const fullscreen = parameters.get('geometry') === 'fullscreen';
  const options = [
    ...optionsOf(parameters),
    `type=${isRootless(type, parameters) ? 'rootless' : 'desktop'}`,
    'menu=0',
    ...(fullscreen ? ['fullscreen=1'] : [`geometry=${width}x${height}`]),
    `cookie=${cookie}`,
    `id=${id}`,
    `state=${join(placeOf(userDirectory), 'state')}`,
    `listen=unix:${socketPath(userDirectory)}`,
  ];
  return `nx/nx,${options.join(',')}:${display}\n`;
}

/** Its lines that tell of a change, newest last; the program writes them from the first column on. */
const stateLines: readonly (readonly [RegExp, ViewerState])[] = [
  [/^Info: Waiting for connection from /, 'waiting'],
  [/^Info: Accepted connection from /, 'changing'],
  [/^Session: Session (?:started|resumed) at /, 'running'],
  [/^Session: Session suspended at /, 'suspended'],
  [/^Session: (?:Starting|Resuming|Suspending|Terminating|Aborting) session at /, 'changing'],
  [/^Session: Display failure detected at /, 'changing'],
];

function stateOf(logTail: string): ViewerState | undefined {
  for (const line of logTail.split('\n').reverse()) {
    const found = stateLines.find(([pattern]) => pattern.test(line));
    if (found !== undefined) {
      return found[1];
    }
  }
  return undefined;
}

export const nxagent: DisplayEngine = {
  name: 'nxagent',
  protocol: 'nx',
  types: nxTypes,
  depths: [16, 24],
  missing: () =>
    existsSync(file)
      ? undefined
      : `Protocol nx needs ${file} (Debian's nxagent), which is not installed on this server.`,
  seenBy: 'It speaks NX: open it with sshdesk connect --protocol nx, or with a client of NX.',
  isRootless: ({ type, parameters }) => isRootless(type, parameters),
  readParameters,
  socketPath,
  command({ display, type, parameters, userDirectory }) {
    return [
      file,
      '-persistent',
      isRootless(type, parameters) ? '-R' : '-D',
      ...['-options', join(placeOf(userDirectory), 'options')],
      ...['-name', `NX - :${display}`],
      ...['-auth', join(placeOf(userDirectory), 'authority')],
      ...['-nolisten', 'tcp'],
      `:${display}`,
    ];
  },
  environment({ display, userDirectory }) {
    const place = placeOf(userDirectory);
    if (!isPlain(place)) {
      throw new Error(`${place}: nxagent cannot have its files in a folder of this name`);
    }
    return [
      `DISPLAY=nx/nx,options=${join(place, 'options')}:${display}`,
      `XAUTHORITY=${join(place, 'authority')}`,
      `NX_ROOT=${place}`,
      `NX_TEMP=${place}`,
      `NX_CLIENT=${existsSync(dialogProgram) ? dialogProgram : '/bin/true'}`,
    ];
  },
  session({ type, parameters }, usual) {
    return sessionOf(type, parameters, isRootless(type, parameters), usual);
  },
  isDisplayTaken(logTail) {
    return logTail.some((line) =>
      /Server is already active for display|Cannot establish any listening sockets|server already running/.test(
        line,
      ),
    );
  },
  single: {
    below,
    files(order, cookie, displayCookie): readonly EngineFile[] {
      return [
        { name: 'options', content: Buffer.from(optionsText(order, cookie)) },
        // The program has one file for both: it shows the first entry at the viewer's screen, where the
        // proxy takes the viewer's cookie alone, and takes either from its own clients.
        {
          name: 'authority',
          content: Buffer.concat([
            xauthority(Buffer.from(cookie, 'hex')),
            xauthority(displayCookie),
          ]),
        },
      ];
    },
    stateOf,
  },
};
