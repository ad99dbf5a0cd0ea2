/** `startsession`: a new desktop, ready for `bye`. Pure. */
import { displayEngines } from '../engines/index.ts';
import { maxSide, minSide } from '../../../src/broker/limits.ts';
import { defaultName } from '../../../src/broker/naming.ts';
import { type Command, prompt } from '../command.ts';
import { openSession } from '../open-session.ts';
import { type Parameters, parseGeometry, type WantedGeometry } from '../parameters.ts';
import { failureLines, sessionError, unencryptedRefused } from '../replies.ts';

/** For a geometry that cannot be read. */
const fallback: WantedGeometry = { width: 800, height: 600, depth: 0 };
const unsaid: WantedGeometry = { width: 0, height: 0, depth: 0 };

function bounded(side: number): number {
  return side === 0 ? 0 : Math.min(Math.max(side, minSide), maxSide);
}

/** Full screen takes the client's screen; depths are rounded to those an X server has. */
export function wantedGeometry(parameters: Parameters): WantedGeometry {
  const text = parameters.get('geometry');
  const screen = parseGeometry(parameters.get('screeninfo') ?? '');
  const isFull = text?.toLowerCase() === 'fullscreen' || parameters.get('fullscreen') === '1';
  const said = isFull ? (screen ?? fallback) : text === undefined ? unsaid : parseGeometry(text);
  const size = said ?? fallback;
  const asked = Number(/^\d{1,2}$/.exec(parameters.get('depth') ?? '')?.[0] ?? 0);
  const depth = asked || size.depth || (screen?.depth ?? 0);
  return {
    width: bounded(size.width),
    height: bounded(size.height),
    depth: depth === 0 ? 0 : depth <= 16 ? 16 : 24,
  };
}

export const startsession: Command = {
  verb: 'startsession',
  phases: ['ready', 'session'],
  takesParameters: true,
  async run(context, parameters) {
    const { desktops } = context;
    const protocol = (parameters.get('protocol') ?? context.defaultProtocol).toLowerCase();
    const engine = Object.hasOwn(displayEngines, protocol) ? displayEngines[protocol] : undefined;
    if (parameters.get('encryption') === '0') {
      return prompt(unencryptedRefused);
    }
    if (engine === undefined) {
      return prompt(sessionError(`Error: Protocol ${protocol} is not supported.`));
    }
    const type = (parameters.get('type') ?? engine.types[0] ?? '').toLowerCase();
    if (!engine.types.includes(type)) {
      return prompt(sessionError(`Error: Session type ${type} is not supported.`));
    }
    const name = parameters.get('session') ?? defaultName;
    const order = { name, protocol, type, ...wantedGeometry(parameters), parameters };
    const started = await desktops.start(order);
    return started.is === 'failed'
      ? prompt(failureLines(started, desktops.user, name))
      : openSession(context, started.value, 'starting', { protocol, parameters });
  },
};
