/** What a login has open, as the monitor knows it: for `sshdesk who`. Pure. */
import type { Connection } from './connection.ts';

export interface OpenSession {
  /** `shell`, `command 'ls'`, `subsystem 'sftp'`. */
  readonly kind: string;
  /** `pts/0`; empty: none. */
  readonly terminal: string;
  readonly startedAtMs: number;
}

export interface OpenThings {
  readonly sessions: readonly OpenSession[];
  /** Listeners of -R. */
  readonly listeners: number;
  readonly agent: boolean;
  /** Forwarded displays. */
  readonly x11: number;
  /** Ids of the desktops that are looked at; one for each viewer. */
  readonly desktops: readonly string[];
}

const maxShownSessions = 32;

export function openThings(connection: Connection, desktops: readonly string[]): OpenThings {
  const sessions = [...connection.sessions.values()].filter(({ what }) => what !== undefined);
  return {
    sessions: sessions.slice(0, maxShownSessions).map(({ what }) => ({
      kind: what?.kind ?? '',
      terminal: what?.terminal ?? '',
      startedAtMs: what?.startedAtMs ?? 0,
    })),
    listeners: connection.listeners.size,
    agent: connection.agentSocket !== undefined,
    x11: sessions.filter(({ x11 }) => typeof x11 === 'object').length,
    desktops,
  };
}
