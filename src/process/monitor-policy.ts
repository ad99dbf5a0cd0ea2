/**
 * What a configuration means for the connections that are made while it holds: an immutable value.
 * SIGHUP puts another one in its place; a connection keeps the one that it began with. Declarations
 * only. Runs in: monitor.
 */
import type { HostKeys } from '../monitor/host-keys.ts';
import type { DesktopConfig, ServerConfig } from '../policy/config.ts';
import type { LoadedDesktop } from '../policy/load.ts';
import type { MatchSubject } from '../policy/match.ts';

export interface MonitorPolicy {
  readonly config: ServerConfig;
  readonly configFor: (subject: MatchSubject) => ServerConfig;
  readonly desktopConfig: DesktopConfig;
  /** What a Match of sshdesk_config says to the desktops of one user. */
  readonly desktopConfigFor: LoadedDesktop['configFor'];
  readonly hostKeys: HostKeys;
  /** The identification string. */
  readonly version: string;
}
