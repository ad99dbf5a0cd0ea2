/**
 * Run by the test of `process/monitor-connections.ts` under a small limit of descriptors: the table
 * is full when a connection is accepted. Prints what became of it.
 */
import { openSync } from 'node:fs';
import { Log } from '../../src/audit/log.ts';
import { socketPair } from '../../src/base/link.native.ts';
import { MonitorConnections } from '../../src/process/monitor-connections.ts';
import type { WorkerPool } from '../../src/process/worker-pool.ts';
import type { ServerConfig } from '../../src/policy/config.ts';

const lines: string[] = [];
const log = new Log({ write: (_level, _prefix, line) => void lines.push(line) }, 'INFO');
const config = {
  maxStartups: { start: 10, ratePercent: 30, full: 100 },
  perSourceMaxStartups: Number.POSITIVE_INFINITY,
  perSourceNetBlockSize: { bits4: 32, bits6: 128 },
  sourcePenalties: { isOn: false },
  loginGraceTimeMs: 0,
} as unknown as ServerConfig;
const events = {
  began: () => {},
  startLeader: () => Promise.reject(),
  killLeader: () => {},
  authenticated: () => {},
  ended: () => {},
};
const connections = new MonitorConnections(config, log, false, events);
const pool = { choose: () => ({ number: 1 }), retireIfSpent: () => {} } as unknown as WorkerPool;

const [descriptor] = socketPair();
try {
  for (;;) {
    openSync('/dev/null', 'r');
  }
} catch {
  // Full.
}
const endpoints = {
  remoteAddress: '192.0.2.1',
  remotePort: 1,
  localAddress: '192.0.2.2',
  localPort: 22,
};
connections.accept({ ...endpoints, descriptor }, pool);
process.stdout.write(JSON.stringify({ lines, count: connections.count }));
