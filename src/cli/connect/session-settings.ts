/**
 * Of ssh_config(5), what a connection carries: forwards, and the environment and terminal of a
 * command. Runs in: user.
 */
import { ClientFailure } from '../../ssh/client/failure.ts';
import { type ForwardKind, parseForward } from '../../ssh/client/forward-spec.ts';
import { matchesGlob } from '../../ssh/client/glob.ts';
import type { OptionName, OptionValues } from '../../ssh/client/options.ts';
import type { ForwardSettings } from './forwards.ts';

export interface ProgramSettings {
  /** Sent with the request; the server takes what its AcceptEnv names. */
  readonly environment: readonly (readonly [string, string])[];
  readonly requestTty: 'no' | 'yes' | 'force' | 'auto';
  readonly isStdinNull: boolean;
}

const kinds: readonly (readonly [OptionName, string, ForwardKind])[] = [
  ['localforward', 'LocalForward (-L)', 'local'],
  ['remoteforward', 'RemoteForward (-R)', 'remote'],
  ['dynamicforward', 'DynamicForward (-D)', 'dynamic'],
];
const forms: Readonly<Record<ForwardKind, string>> = {
  local: '[bind:]port:host:hostport, [bind:]port:/socket, /socket:host:hostport or /socket:/socket',
  remote:
    '[bind:]port:host:hostport, [bind:]port:/socket, [bind:]port or /socket in place of a port',
  dynamic: '[bind:]port',
};
const defaultSocketMask = 0o177;
const maxVariables = 256;

/** `expand`: the tokens of ssh_config(5), which paths of Unix sockets may have. */
export function forwardSettings(
  { text, lists }: OptionValues,
  isBatch: boolean,
  expand: (text: string) => string,
): ForwardSettings {
  const isCleared = text.get('clearallforwardings') === 'yes';
  const forwards = kinds.flatMap(([option, name, kind]) =>
    (isCleared ? [] : (lists.get(option) ?? [])).map((written) => {
      const isPath = /(?:^|[\s:])(?:\/|~\/|%|\$\{)/.test(written);
      const forward = parseForward(kind, isPath ? expand(written) : written);
      if (!forward) {
        throw new ClientFailure('usage', `${name}: ${forms[kind]} is expected, not ${written}`);
      }
      return { ...forward, kind };
    }),
  );
  const exits = text.get('exitonforwardfailure');
  return {
    forwards,
    isEachNeeded: exits === undefined ? isBatch : exits === 'yes',
    isGateway: text.get('gatewayports') === 'yes',
    socketMask: maskOf(text.get('streamlocalbindmask')),
    unlinksFirst: text.get('streamlocalbindunlink') === 'yes',
  };
}

function maskOf(written: string | undefined): number {
  if (written === undefined) return defaultSocketMask;
  if (!/^0?[0-7]{3}$/.test(written)) {
    throw new ClientFailure('usage', `StreamLocalBindMask: an octal mask is expected: ${written}`);
  }
  return Number.parseInt(written, 8);
}

export function programSettings(
  { text, lists }: OptionValues,
  environment: Readonly<Record<string, string | undefined>>,
): ProgramSettings {
  return {
    environment: sentEnvironment(
      lists.get('sendenv') ?? [],
      lists.get('setenv') ?? [],
      environment,
    ),
    requestTty: (text.get('requesttty') ?? 'auto') as ProgramSettings['requestTty'],
    isStdinNull: text.get('stdinnull') === 'yes',
  };
}

/** SendEnv by patterns, a `-` before one takes back; SetEnv has the last word. */
function sentEnvironment(
  patterns: readonly string[],
  set: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): (readonly [string, string])[] {
  const sent = new Map<string, string>();
  const wanted = patterns.flatMap((line) => line.split(' '));
  const isSent = (name: string): boolean => {
    let is = false;
    for (const pattern of wanted) {
      if (matchesGlob(name, pattern.replace(/^-/, ''))) is = !pattern.startsWith('-');
    }
    return is;
  };
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && isSent(name)) sent.set(name, value);
  }
  for (const assignment of set) {
    const at = assignment.indexOf('=');
    if (at < 1) throw new ClientFailure('usage', `SetEnv: NAME=VALUE is expected: ${assignment}`);
    sent.set(assignment.slice(0, at), assignment.slice(at + 1));
  }
  if (sent.size > maxVariables) {
    throw new ClientFailure('usage', `SendEnv and SetEnv: more than ${maxVariables} variables`);
  }
  return [...sent];
}
