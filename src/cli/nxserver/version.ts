/** `--version`: it stands in the first line of every answer. Runs in: launcher. */
import { done, type NxOrder } from './order.ts';

export const version: NxOrder = {
  name: 'version',
  value: 'none',
  describe: 'the version that clients are told',
  run: () => done(),
};
