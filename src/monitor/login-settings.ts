/**
 * The times of a connection: LoginGraceTime in front of the login, what the worker watches over behind
 * it. Runs in: monitor.
 */
import { longestTimerMs } from '../base/limits.ts';
import type { ServerConfig } from '../policy/config.ts';
import type { LoginSettings } from './connection.ts';

/** LoginGraceTime; undefined: no limit. */
export function graceTimer(
  { loginGraceTimeMs }: Pick<ServerConfig, 'loginGraceTimeMs'>,
  onOver: () => void,
): NodeJS.Timeout | undefined {
  return loginGraceTimeMs === 0
    ? undefined
    : setTimeout(onOver, Math.min(loginGraceTimeMs, longestTimerMs));
}

/** Beyond every class of IPQoS. */
const noClass = 256;

export function loginSettings(config: ServerConfig): LoginSettings {
  const { interactive = noClass, bulk = noClass } = config.trafficClasses;
  return {
    aliveIntervalMs: Math.min(config.clientAliveIntervalMs, longestTimerMs),
    aliveCountMax: config.clientAliveCountMax,
    channelTimeouts: config.channelTimeouts.map(({ pattern, seconds }) => ({ pattern, seconds })),
    unusedSeconds: config.unusedConnectionTimeoutSeconds,
    interactiveClass: interactive,
    bulkClass: bulk,
    rekeyBytes: BigInt(config.rekeyLimit.bytes),
    rekeyMs: BigInt(config.rekeyLimit.ms),
  };
}
