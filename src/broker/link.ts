/**
 * Desktop requests of workers (numbers 80–99), joined to the monitor's table in `process/monitor`.
 * A call's failure carries a code of `desktopFailure` and the text for the user; lines of the
 * engine's log follow the first line, separated by LF. `session` counts from 1.
 */
import {
  type AnyFields,
  bool,
  byte,
  list,
  record,
  string,
  text,
  uint32,
} from '../ssh/wire/field.ts';
import { type Call, call, notice } from '../ssh/wire/call.ts';

/** Why a desktop request failed, so that each front can say it in its own words. No errno. */
export const desktopFailure = {
  engine: 1001,
  notFound: 1002,
  nameTaken: 1003,
  userLimit: 1004,
  totalLimit: 1005,
  refused: 1006,
  badRequest: 1007,
  /** DesktopReauth: `desktop-reauthenticate` comes first. */
  reauthentication: 1008,
} as const;
export type DesktopFailure = keyof typeof desktopFailure;

/** id: 32 upper-case hex digits. state: `starting running detached ending ended failed`. */
export const desktop = record({
  id: text,
  name: text,
  owner: text,
  state: text,
  engine: text,
  type: text,
  rootless: bool,
  display: uint32,
  width: uint32,
  height: uint32,
  depth: uint32,
  startedAt: text,
  lastUsedAt: text,
  viewers: uint32,
});

/** `session` is the session of this connection that runs a desktop subsystem (0: direct-tcpip). */
const from = { connection: uint32, session: uint32 };
/** What the client said, by lower-case name; the engine passes over what it does not know. */
const parameters = list(record({ name: text, value: text }), 128);

export const DesktopList = call(80, 'desktop-list', from, { desktops: list(desktop, 1024) });
/** width, height, depth 0: the defaults. Refused when the name is live. */
export const DesktopStart = call(
  81,
  'desktop-start',
  {
    ...from,
    name: text,
    engine: text,
    type: text,
    width: uint32,
    height: uint32,
    depth: uint32,
    parameters,
  },
  { desktop },
);
/** Finds by id (32 hex) or name among the user's own live ones. Creates `default` if create = 1. */
export const DesktopFind = call(
  82,
  'desktop-find',
  { ...from, which: text, create: byte },
  { desktop },
);
/**
 * One descriptor comes: a stream connected to the display. viewer is given back in ViewerEnd. cookie: by
 * which an engine that takes one viewer at a time knows this one; empty: it needs none.
 * Refused where the desktop's engine speaks another protocol.
 */
export const DesktopAttach = call(
  83,
  'desktop-attach',
  { ...from, id: text, protocol: text, parameters },
  { viewer: uint32, cookie: text },
);
export const DesktopDetach = notice(84, 'desktop-detach', { connection: uint32, viewer: uint32 });
export const DesktopSuspend = call(85, 'desktop-suspend', { ...from, id: text }, {});
export const DesktopTerminate = call(86, 'desktop-terminate', { ...from, id: text }, {});

export const reauthenticationIs = { accepted: 0, refused: 1, prompt: 2 } as const;
/** instruction: PAM's words in front of the prompts, or with which it refuses. Bytes as PAM gave them. */
const reauthentication = {
  is: byte,
  instruction: string,
  prompts: list(record({ text: string, echo: bool }), 256),
};
/**
 * Of a login only: PAM asks its user again, and what comes of it holds for this desktop. One at a time.
 * 87, 88 and 89: `remote.ts`.
 */
export const DesktopReauthenticate = call(
  90,
  'desktop-reauthenticate',
  { ...from, id: text },
  reauthentication,
);
/** Another number of answers than of prompts gives it up. */
export const DesktopAnswer = call(
  91,
  'desktop-answer',
  { ...from, answers: list(string, 256) },
  reauthentication,
);

/** All that a session of a desktop subsystem asks. */
export const desktopCalls: readonly Call<AnyFields, AnyFields>[] = [
  DesktopList,
  DesktopStart,
  DesktopFind,
  DesktopAttach,
  DesktopSuspend,
  DesktopTerminate,
];
