/** What the broker needs of the machine. Runs in: monitor. */
import type { Log } from '../audit/log.ts';
import type { EngineTable } from './engine.ts';
import type { LeftoverPort } from './leftovers.ts';
import type { BrokerLimits } from './limits.ts';
import type { StartHost } from './start.ts';
import type { DesktopStore } from './store.ts';

export interface BrokerHost extends Omit<StartHost, 'log'> {
  readonly log: Log;
  readonly store: DesktopStore;
  readonly engines: EngineTable;
  readonly limits: BrokerLimits;
  readonly leftovers: LeftoverPort;
  /** Holds one directory per desktop; made by the process, 0711. */
  readonly desktopsDirectory: string;
  nowMs(): number;
}
