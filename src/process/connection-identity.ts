/** By what the log knows a connection: its id, and the number in place of a pid. Runs in: monitor. */
import { randomBytes, randomInt } from 'node:crypto';

/** Beyond every pid (Linux: 2^22), so that it cannot be taken for that of a process. */
const leastLogNumber = 2 ** 22;
const logNumberSpread = 2 ** 30;

/** Two daemons at once, one of them draining, do not number their connections alike. */
export function firstLogNumber(): number {
  return leastLogNumber + randomInt(logNumberSpread);
}

export function newId(): string {
  return randomBytes(8).toString('hex');
}
