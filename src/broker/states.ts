/** The states of a desktop as a table: what is not in it cannot happen. Pure; runs in: monitor. */
export const desktopStates = {
  starting: { ready: 'running', fail: 'failed', end: 'ending' },
  running: {
    'last viewer left': 'detached',
    end: 'ending',
    'ended by itself': 'ended',
    fail: 'failed',
  },
  detached: { attach: 'running', end: 'ending', 'ended by itself': 'ended', fail: 'failed' },
  ending: { 'ended by itself': 'ended', fail: 'failed' },
  ended: {},
  failed: {},
} as const satisfies Record<string, Readonly<Record<string, string>>>;

export type DesktopState = keyof typeof desktopStates;
export type DesktopEvent =
  | 'ready'
  | 'attach'
  | 'last viewer left'
  | 'end'
  | 'ended by itself'
  | 'fail';

/** The name can be asked for and is refused to a second desktop. */
export const liveStates: readonly DesktopState[] = ['starting', 'running', 'detached'];

export function isLive(state: DesktopState): boolean {
  return liveStates.includes(state);
}

/** Undefined: the event does not count in this state. */
export function nextState(state: DesktopState, event: DesktopEvent): DesktopState | undefined {
  const row: Readonly<Partial<Record<DesktopEvent, DesktopState>>> = desktopStates[state];
  return row[event];
}

/** The table as Markdown, for `docs/reference/`. */
export function drawDesktopStates(): string {
  const rows = Object.entries(desktopStates).flatMap(([state, events]) =>
    Object.entries(events).map(([event, next]) => `| ${state} | ${event} | ${next} |`),
  );
  return ['| state | event | next |', '|---|---|---|', ...rows, ''].join('\n');
}
